import type { ConnectionState } from "@rookery/client";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Messenger } from "../messenger.ts";

const BACK_FOR_MS = 3_000;

/** The line that says when the connection is lost, and when it is back. */
export function ConnectionLine({ messenger }: { messenger: Messenger }) {
  const state = messenger.connection.value;
  const isBack = useBack(state);
  const seconds = useCountdown(state);
  const notice = messenger.notice.value;
  const wasOnline = useWasOnline(state);
  const text = lineOf(state, isBack, seconds, wasOnline ? "Connection lost." : "No connection.");

  return (
    <>
      <div class={`line line-${isBack ? "back" : state.phase}`} role="status" hidden={text === ""}>
        <span>{text}</span>
        {state.phase === "waiting" && (
          <button type="button" class="link" onClick={() => messenger.tryNow()}>
            Try now
          </button>
        )}
      </div>
      {notice !== undefined && (
        <div class="line line-notice" role="alert">
          <span>{notice}</span>
          <button
            type="button"
            class="link"
            onClick={() => {
              messenger.notice.value = undefined;
            }}
          >
            Dismiss
          </button>
        </div>
      )}
    </>
  );
}

function lineOf(state: ConnectionState, isBack: boolean, seconds: number, lost: string): string {
  switch (state.phase) {
    case "waiting":
      return seconds > 1 ? `${lost} Trying again in ${seconds} seconds.` : `${lost} Trying again.`;
    case "connecting":
      return state.failures > 0 ? `${lost} Trying again.` : "Connecting.";
    case "syncing":
      return "Catching up.";
    case "online":
      return isBack ? "Connected again." : "";
    case "idle":
    case "ended":
      return "";
  }
}

function useWasOnline({ phase }: ConnectionState): boolean {
  const wasOnline = useRef(false);
  if (phase === "online") wasOnline.current = true;
  return wasOnline.current;
}

/** Whether the connection came back a moment ago, after it was lost. */
function useBack(state: ConnectionState): boolean {
  const wasLost = useRef(false);
  const [isBack, setBack] = useState(false);
  const { phase } = state;

  useEffect(() => {
    if (phase === "waiting") wasLost.current = true;
    if (phase !== "online") {
      setBack(false);
      return;
    }
    if (!wasLost.current) return;
    wasLost.current = false;
    setBack(true);
    const timer = setTimeout(() => setBack(false), BACK_FOR_MS);
    return () => clearTimeout(timer);
  }, [phase]);

  return isBack && phase === "online";
}

function useCountdown(state: ConnectionState): number {
  const retryAtMs = state.phase === "waiting" ? state.retryAtMs : undefined;
  const [nowMs, setNowMs] = useState(0);

  useEffect(() => {
    if (retryAtMs === undefined) return;
    setNowMs(Date.now());
    const timer = setInterval(() => setNowMs(Date.now()), 500);
    return () => clearInterval(timer);
  }, [retryAtMs]);

  return retryAtMs === undefined || nowMs === 0 ? 0 : Math.ceil((retryAtMs - nowMs) / 1_000);
}
