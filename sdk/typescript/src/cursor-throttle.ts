/** A cursor of one conversation is told at most this often. */
export const CURSOR_EVERY_MS = 1_000;
/** Cursors that are told at once, of all conversations: after a long absence there may be hundreds. */
const AT_ONCE = 8;

interface Cursor {
  wanted: number;
  told: number;
  lastAtMs: number;
  inFlight: boolean;
}

/**
 * Decides when to tell the server of a cursor: at once when idle, else once a second and only the highest.
 *
 * Time is an argument, so that it can be tested without waiting.
 */
export class CursorThrottle {
  readonly #cursors = new Map<string, Cursor>();

  /** Raises the cursor; one that was raised further is left as it is. */
  raise(conversation: string, seq: number): void {
    const cursor = this.#cursors.get(conversation);
    if (cursor === undefined) {
      this.#cursors.set(conversation, {
        wanted: seq,
        told: 0,
        lastAtMs: Number.NEGATIVE_INFINITY,
        inFlight: false,
      });
    } else {
      cursor.wanted = Math.max(cursor.wanted, seq);
    }
  }

  /** What is to be told now; each counts as being told until `told` or `failed`. */
  due(nowMs: number): Array<{ conversation: string; seq: number }> {
    const due: Array<{ conversation: string; seq: number }> = [];
    let inFlight = 0;
    for (const cursor of this.#cursors.values()) if (cursor.inFlight) inFlight += 1;
    for (const [conversation, cursor] of this.#cursors) {
      if (cursor.inFlight || cursor.wanted <= cursor.told) continue;
      if (nowMs - cursor.lastAtMs < CURSOR_EVERY_MS) continue;
      if (inFlight >= AT_ONCE) break;
      inFlight += 1;
      cursor.inFlight = true;
      cursor.lastAtMs = nowMs;
      due.push({ conversation, seq: cursor.wanted });
    }
    return due;
  }

  /** When `due` will next have something, if nothing else happens; what is told makes room for more at once. */
  nextAtMs(): number | undefined {
    let next: number | undefined;
    for (const cursor of this.#cursors.values()) {
      if (cursor.inFlight || cursor.wanted <= cursor.told) continue;
      const at = cursor.lastAtMs + CURSOR_EVERY_MS;
      if (next === undefined || at < next) next = at;
    }
    return next;
  }

  told(conversation: string, seq: number): void {
    const cursor = this.#cursors.get(conversation);
    if (cursor === undefined) return;
    cursor.told = Math.max(cursor.told, seq);
    cursor.inFlight = false;
    if (cursor.wanted <= cursor.told) cursor.wanted = cursor.told;
  }

  /** It was not told. A final refusal gives that seq up; a later one may still be told. */
  failed(conversation: string, seq: number, curable: boolean): void {
    const cursor = this.#cursors.get(conversation);
    if (cursor === undefined) return;
    cursor.inFlight = false;
    if (!curable) cursor.told = Math.max(cursor.told, seq);
  }

  /** The seqs belong to another history. */
  reset(): void {
    this.#cursors.clear();
  }
}
