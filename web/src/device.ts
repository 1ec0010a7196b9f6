// Each tab is a device of its own. Its id lives as long as the tab, over reloads; a lock shows that the tab is alive,
// so that a duplicated tab, which starts with a copy of the id, takes a new one.

const KEY = "rookery.device";
/** How long a page that is being reloaded may take to let go of its lock. */
const RELOAD_MS = 1_000;

function lockName(device: string): string {
  return `rookery.device.${device}`;
}

/** The id of this tab. Call it once. */
export async function ownDevice(): Promise<string> {
  const kept = sessionStorage.getItem(KEY);
  const device = kept !== null && (await hold(kept)) ? kept : await fresh();
  sessionStorage.setItem(KEY, device);
  return device;
}

/** Does `work` if the tab that has that id is gone, and keeps others from doing the same meanwhile. */
export async function ifGone(device: string, work: () => Promise<void>): Promise<void> {
  if (navigator.locks === undefined) return work();
  await navigator.locks.request(lockName(device), { ifAvailable: true }, async (lock) => {
    if (lock !== null) await work();
  });
}

async function fresh(): Promise<string> {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const device = `web-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  await hold(device);
  return device;
}

/** Takes the lock for as long as the page lives. */
function hold(device: string): Promise<boolean> {
  // Away on plain http of another host. Then no id can be trusted to be free, and each load takes a new one.
  if (navigator.locks === undefined) return Promise.resolve(false);
  const reloaded = performance
    .getEntriesByType("navigation")
    .some((entry) => (entry as PerformanceNavigationTiming).type === "reload");
  const options: LockOptions = reloaded
    ? { signal: AbortSignal.timeout(RELOAD_MS) }
    : { ifAvailable: true };
  return new Promise((resolve) => {
    navigator.locks
      .request(lockName(device), options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise<never>(() => {});
      })
      .catch(() => resolve(false));
  });
}
