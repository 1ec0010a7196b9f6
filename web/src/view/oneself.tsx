import type { Messenger } from "../messenger.ts";
import { Dialog } from "./dialog.tsx";
import { OwnDevices } from "./own-devices.tsx";
import { OwnStatus } from "./own-status.tsx";

/** What one tells others of oneself, and where one is logged in. */
export function Oneself({ messenger, onClose }: { messenger: Messenger; onClose: () => void }) {
  return (
    <Dialog title={messenger.account.user} onClose={onClose}>
      <OwnStatus messenger={messenger} onDone={onClose} />
      <OwnDevices messenger={messenger} />
    </Dialog>
  );
}
