import { SUBPROTOCOL } from "./protocol.ts";
import type { WebSocketConstructor } from "./runtime.ts";

/** What a transport tells. `closed` is the last, and comes once. */
export interface TransportEvents {
  opened(): void;
  frame(text: string): void;
  closed(code: number, reason: string): void;
}

/** One connection that carries frames. */
export interface Transport {
  send(frame: string): void;
  /** Ends it. Nothing is told any more. */
  close(code?: number, reason?: string): void;
}

export type OpenTransport = (events: TransportEvents) => Transport;

/** The close code of a connection that broke without a word. */
export const CLOSED_ABNORMALLY = 1006;

export function webSocketTransport(url: string, WebSocket: WebSocketConstructor): OpenTransport {
  return (events) => {
    const socket = new WebSocket(url, [SUBPROTOCOL]);
    let over = false;
    const close = (code: number, reason: string): void => {
      if (over) return;
      over = true;
      events.closed(code, reason);
    };

    socket.addEventListener("open", () => {
      if (!over) events.opened();
    });
    socket.addEventListener("message", ({ data }) => {
      if (!over && typeof data === "string") events.frame(data);
    });
    socket.addEventListener("close", ({ code, reason }) => close(code, String(reason)));
    // A close event follows, with what little is known; without a listener Node would throw.
    socket.addEventListener("error", () => {});

    return {
      send: (frame) => socket.send(frame),
      close: (code, reason) => {
        over = true;
        // Does not wait for the other side, which may be out of reach.
        socket.close(code, reason);
      },
    };
  };
}
