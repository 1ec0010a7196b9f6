import type { Timers } from "@rookery/client";

declare const TICKER_URL: string;

/** Timers that keep their pace while the tab is hidden. */
export function unthrottledTimers(): Timers {
  let worker: Worker;
  try {
    worker = new Worker(TICKER_URL, { type: "module" });
  } catch {
    // A browser without workers of that kind: its own timers do, with pauses in hidden tabs.
    return {
      set: (callback, afterMs) => setTimeout(callback, afterMs),
      clear: (timer) => clearTimeout(timer as number),
    };
  }

  const callbacks = new Map<number, () => void>();
  let lastId = 0;
  worker.onmessage = ({ data: id }: MessageEvent<number>) => {
    const callback = callbacks.get(id);
    callbacks.delete(id);
    callback?.();
  };
  return {
    set: (callback, afterMs) => {
      lastId += 1;
      callbacks.set(lastId, callback);
      worker.postMessage({ id: lastId, afterMs });
      return lastId;
    },
    clear: (timer) => {
      if (typeof timer === "number" && callbacks.delete(timer)) worker.postMessage({ id: timer });
    },
  };
}
