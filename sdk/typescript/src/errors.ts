import type { Code, Device, ErrorBody } from "./protocol.ts";

/**
 * Why something was not done: a code of the server, or one of the client's own.
 *
 * `offline`: there is no session now. `closed`: the connection broke before the answer came, so it may have been done.
 * `deadline`: no answer came in time. `outbox_full`: too much waits to be sent.
 */
export type ErrorCode = Code | "offline" | "closed" | "deadline" | "outbox_full";

const CURABLE: ReadonlySet<string> = new Set<ErrorCode>([
  "rate_limited",
  "busy",
  "unavailable",
  "outcome_unknown",
  "order_broken",
  "offline",
  "closed",
  "deadline",
]);

export class RookeryError extends Error {
  override readonly name = "RookeryError";
  readonly code: ErrorCode;
  /** When to try again, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** The field that is wrong. */
  readonly field: string | undefined;
  /** The server's time, where the client's clock was the fault. */
  readonly serverTimeMs: number | undefined;
  /** The message that must come first. */
  readonly clientMsgId: string | undefined;
  /** The devices that are in, where the app turned this one away for them. */
  readonly devices: readonly Device[] | undefined;

  constructor(code: ErrorCode, message: string, body?: ErrorBody) {
    super(message);
    this.code = code;
    this.retryAfterMs = body?.retry_after_ms;
    this.field = body?.field;
    this.serverTimeMs = body?.server_time_ms;
    this.clientMsgId = body?.client_msg_id;
    this.devices = body?.devices;
  }

  static of(body: ErrorBody): RookeryError {
    return new RookeryError(body.code, body.message, body);
  }

  /** Whether trying again can succeed. A code of a later server counts as curable when it says when to come back. */
  get curable(): boolean {
    return CURABLE.has(this.code) || this.retryAfterMs !== undefined;
  }
}
