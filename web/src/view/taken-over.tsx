import { useEffect, useRef } from "preact/hooks";
import type { Messenger } from "../messenger.ts";

/** Another session took the place of this one: it comes back only when a person says so. */
export function TakenOver({
  messenger,
  onSignOut,
}: {
  messenger: Messenger;
  onSignOut: () => void;
}) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);

  return (
    <div class="veil">
      <section
        class="card"
        role="alertdialog"
        aria-modal="true"
        aria-labelledby="taken-over"
        aria-describedby="taken-over-why"
      >
        <h2 id="taken-over">Signed in elsewhere</h2>
        <p id="taken-over-why">
          This session of <strong>{messenger.account.user}</strong> was ended, because it was opened
          in another place.
        </p>
        <button ref={button} type="button" class="button" onClick={() => messenger.comeBack()}>
          Use it here
        </button>
        <button type="button" class="button button-quiet" onClick={onSignOut}>
          Sign out
        </button>
      </section>
    </div>
  );
}
