import { useLayoutEffect, useRef } from "preact/hooks";
import { deviceTitle, type Ending } from "../ending.ts";
import type { Messenger } from "../messenger.ts";

/** A decision ended this session: it comes back only when a person says so. */
export function SessionEnded({
  messenger,
  ending,
  onSignOut,
}: {
  messenger: Messenger;
  ending: Ending;
  onSignOut: () => void;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  // The browser puts what is shown last over all else, an open form among it.
  useLayoutEffect(() => {
    box.current?.showModal();
    button.current?.focus();
  }, []);
  const { title, text, devices, action } = ending;

  return (
    <dialog
      ref={box}
      class="dialog session-ended"
      role="alertdialog"
      aria-labelledby="session-ended"
      aria-describedby="session-ended-why"
      onCancel={(event) => event.preventDefault()}
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div class="card">
        <h2 id="session-ended">{title}</h2>
        <div id="session-ended-why" class="session-ended-why">
          <p>{text}</p>
          {devices.length > 0 && (
            <ul aria-label="Devices that are in">
              {devices.map((device) => (
                <li key={`${device.platform} ${device.id}`}>
                  <bdi>{deviceTitle(device)}</bdi>
                </li>
              ))}
            </ul>
          )}
        </div>
        <button ref={button} type="button" class="button" onClick={() => messenger.comeBack()}>
          {action}
        </button>
        <button type="button" class="button button-quiet" onClick={onSignOut}>
          Sign out
        </button>
      </div>
    </dialog>
  );
}
