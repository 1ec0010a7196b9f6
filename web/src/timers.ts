import type { Timers } from "@rookery/client";

declare const TICKER_URL: string;

interface Waiting {
  readonly callback: () => void;
  readonly dueAtMs: number;
}

/** Timers that keep their pace while the tab is hidden. */
export function unthrottledTimers(): Timers {
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  const due = (id: number): void => {
    const found = waiting.get(id);
    waiting.delete(id);
    found?.callback();
  };

  let worker: Worker | undefined = new Worker(TICKER_URL);
  worker.onmessage = ({ data: id }: MessageEvent<number>) => due(id);
  // A browser that will not have it: the page's own timers do, with pauses while it is hidden.
  worker.onerror = () => {
    worker = undefined;
    for (const [id, { dueAtMs }] of waiting) setTimeout(due, dueAtMs - Date.now(), id);
  };

  return {
    set: (callback, afterMs) => {
      lastId += 1;
      waiting.set(lastId, { callback, dueAtMs: Date.now() + afterMs });
      if (worker === undefined) setTimeout(due, afterMs, lastId);
      else worker.postMessage({ id: lastId, afterMs });
      return lastId;
    },
    clear: (timer) => {
      if (typeof timer === "number" && waiting.delete(timer)) worker?.postMessage({ id: timer });
    },
  };
}
