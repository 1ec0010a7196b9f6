import { useLayoutEffect, useRef } from "preact/hooks";
import type { Messenger } from "../messenger.ts";

/** Another session took the place of this one: it comes back only when a person says so. */
export function TakenOver({
  messenger,
  onSignOut,
}: {
  messenger: Messenger;
  onSignOut: () => void;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  // The browser puts what is shown last over all else, an open form among it.
  useLayoutEffect(() => {
    box.current?.showModal();
    button.current?.focus();
  }, []);

  return (
    <dialog
      ref={box}
      class="dialog taken-over"
      role="alertdialog"
      aria-labelledby="taken-over"
      aria-describedby="taken-over-why"
      onCancel={(event) => event.preventDefault()}
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div class="card">
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
      </div>
    </dialog>
  );
}
