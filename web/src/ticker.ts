// A worker that only tells the time. A browser slows the timers of a hidden tab down to one a minute, too slow for
// heartbeats; those of a worker it leaves alone.

interface Port {
  onmessage: ((event: { data: { id: number; afterMs?: number } }) => void) | null;
  postMessage(id: number): void;
}

const port = globalThis as unknown as Port;
const timers = new Map<number, ReturnType<typeof setTimeout>>();

port.onmessage = ({ data: { id, afterMs } }) => {
  if (afterMs === undefined) {
    clearTimeout(timers.get(id));
    timers.delete(id);
    return;
  }
  timers.set(
    id,
    setTimeout(() => {
      timers.delete(id);
      port.postMessage(id);
    }, afterMs),
  );
};
