export const BACKOFF_FIRST_MS = 1_000;
export const BACKOFF_MAX_MS = 60_000;

/**
 * How long to wait before try number `failures` + 1: anything up to a bound that doubles.
 *
 * The whole span is random, not its end: after an outage the clients of a server come back spread out, not in waves.
 */
export function backoffMs(failures: number, random: number, maxMs = BACKOFF_MAX_MS): number {
  return random * Math.min(maxMs, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 30));
}

/** A wait that the server asked for, never shorter, and a little longer so that not all come back in one instant. */
export function askedWaitMs(retryAfterMs: number, random: number): number {
  return retryAfterMs * (1 + 0.25 * random);
}
