// What the language itself does not have, and browsers and Node both do. Named here, so that nothing else of the
// platform slips in.

/** The part of a WebSocket that is used: the browser's, Node's and the `ws` package's all have it. */
export interface WebSocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { code: number; reason: string }) => void,
  ): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** How to be woken later. A browser slows a hidden tab's own timers down, so an app may bring others. */
export interface Timers {
  set(callback: () => void, afterMs: number): unknown;
  clear(timer: unknown): void;
}

interface Runtime {
  WebSocket?: WebSocketConstructor;
  crypto?: { getRandomValues(bytes: Uint8Array): Uint8Array };
  setTimeout(callback: () => void, afterMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

const runtime = globalThis as unknown as Runtime;

export const systemTimers: Timers = {
  set: (callback, afterMs) => runtime.setTimeout(callback, afterMs),
  clear: (timer) => runtime.clearTimeout(timer),
};

export function globalWebSocket(): WebSocketConstructor {
  const found = runtime.WebSocket;
  if (found === undefined) {
    throw new TypeError("this runtime has no WebSocket; pass one as the option WebSocket");
  }
  return found;
}

export function randomBytes(bytes: Uint8Array): Uint8Array {
  // Node 18 has no global crypto. The ids made of this are no secrets: they need only differ among one sender's
  // messages of the same millisecond.
  if (runtime.crypto !== undefined) return runtime.crypto.getRandomValues(bytes);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(Math.random() * 256);
  return bytes;
}
