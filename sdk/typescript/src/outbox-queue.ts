import { askedWaitMs, backoffMs } from "./backoff.ts";
import type { RookeryError } from "./errors.ts";
import type { Content, Send } from "./protocol.ts";

/** A message that waits for its ack, as it is kept. */
export interface OutboxEntry {
  /** Its place among all messages of this outbox: they are sent in this order. */
  readonly place: number;
  readonly to: string;
  /** The same in every retransmission. */
  readonly client_msg_id: string;
  readonly content: Content;
  readonly mentions?: string[];
  readonly reply_to?: number;
  readonly created_at_ms: number;
  /** Set once it was refused for good: it is kept for its author to decide. */
  readonly failed?: { readonly code: string; readonly message: string };
}

/** The body of the command that sends it. */
export function sendBody(entry: OutboxEntry): Send {
  const { to, client_msg_id, content, mentions, reply_to } = entry;
  return {
    to,
    client_msg_id,
    content,
    ...(mentions === undefined ? {} : { mentions }),
    ...(reply_to === undefined ? {} : { reply_to }),
  };
}

interface Waiting {
  entry: OutboxEntry;
  /** Whether it is on disk; before that it is not sent. */
  kept: boolean;
  inFlight: boolean;
  /** Whether an attempt ended without an answer, so that the server may have it. */
  maybeStored: boolean;
  /** Whether this session's server awaits it: it was refused in a way that a retry cures. */
  awaited: boolean;
  /** Whether it was seen in the log. It is sent again only because the server awaits it. */
  seen: boolean;
}

interface Lane {
  /** After a refusal: nothing is sent until all that is in flight was answered, then everything from the oldest on. */
  recovering: boolean;
  notBeforeMs: number;
  failures: number;
}

/** The longest wait before a refused message comes again. The server gives up its place after 30 s. */
const LANE_BACKOFF_MAX_MS = 20_000;

/**
 * The order in which messages are sent, and sent again, until each is acked.
 *
 * Each conversation is a lane of its own: messages of one lane are on their way in the order in which they were
 * written, several at a time. A refusal that a retry can cure closes the lane, here as at the server, until everything
 * in flight was answered; then the lane starts again from the oldest message.
 *
 * Knows no socket, no disk and no clock.
 */
export class OutboxQueue {
  /** By rising place. */
  readonly #waiting: Waiting[] = [];
  readonly #lanes = new Map<string, Lane>();

  get size(): number {
    return this.#waiting.length;
  }

  get inFlight(): number {
    return this.#waiting.reduce((count, { inFlight }) => count + (inFlight ? 1 : 0), 0);
  }

  /** What waits, oldest first; without what is sent again only because the server awaits it. */
  entries(): OutboxEntry[] {
    return this.#waiting.filter(({ seen }) => !seen).map(({ entry }) => entry);
  }

  get(clientMsgId: string): OutboxEntry | undefined {
    const waiting = this.#find(clientMsgId);
    return waiting?.seen === false ? waiting.entry : undefined;
  }

  isInFlight(clientMsgId: string): boolean {
    return this.#find(clientMsgId)?.inFlight ?? false;
  }

  /** Takes a message that was just written. It is not sent before `kept`. */
  add(entry: OutboxEntry): void {
    this.#insert(entry, false);
  }

  /** Takes a message of an earlier run: it may have been sent then. */
  restore(entry: OutboxEntry): void {
    this.#insert(entry, true);
  }

  /** The message is on disk, or will never be. */
  kept(clientMsgId: string): void {
    const waiting = this.#find(clientMsgId);
    if (waiting !== undefined) waiting.kept = true;
  }

  /** What to send now, in this order. Each counts as in flight until it is answered or the connection is lost. */
  next(nowMs: number, atOnce: number): OutboxEntry[] {
    const due: OutboxEntry[] = [];
    let room = atOnce - this.inFlight;
    const shut = this.#shutLanes(nowMs);
    for (const waiting of this.#waiting) {
      if (room <= 0) break;
      const { to } = waiting.entry;
      if (waiting.inFlight || shut.has(to)) continue;
      if (!waiting.kept) {
        // What was written after it may not overtake it.
        shut.add(to);
        continue;
      }
      waiting.inFlight = true;
      due.push(waiting.entry);
      room -= 1;
    }
    return due;
  }

  /** When a lane that is shut opens, if nothing else happens. */
  opensAtMs(nowMs: number): number | undefined {
    let opens: number | undefined;
    for (const { entry, inFlight } of this.#waiting) {
      const at = this.#lanes.get(entry.to)?.notBeforeMs ?? 0;
      if (!inFlight && at > nowMs && (opens === undefined || at < opens)) opens = at;
    }
    return opens;
  }

  /** The server has it. Returns it, unless it was seen in the log before. */
  acked(clientMsgId: string): OutboxEntry | undefined {
    const waiting = this.#remove(clientMsgId);
    if (waiting === undefined) return undefined;
    const lane = this.#lane(waiting.entry.to);
    lane.failures = 0;
    return waiting.seen ? undefined : waiting.entry;
  }

  /** It was seen in the log, as another session or the inbox shows it. Returns it, unless that was known. */
  found(conversation: string, clientMsgId: string): OutboxEntry | undefined {
    const waiting = this.#find(clientMsgId);
    if (waiting === undefined || waiting.seen || waiting.entry.to !== conversation)
      return undefined;
    if (waiting.awaited) {
      // Without its resend the server would hold back all later messages until it gives this one up.
      waiting.seen = true;
    } else {
      this.#remove(clientMsgId);
    }
    return waiting.entry;
  }

  /** A refusal that a retry can cure. */
  refused(clientMsgId: string, error: RookeryError, nowMs: number, random: number): void {
    const waiting = this.#find(clientMsgId);
    if (waiting === undefined) return;
    waiting.inFlight = false;
    waiting.awaited = true;
    if (error.code === "outcome_unknown") waiting.maybeStored = true;

    const lane = this.#lane(waiting.entry.to);
    if (!lane.recovering) {
      lane.recovering = true;
      lane.failures += 1;
    }
    const waitMs = this.#waitMs(lane, error, random);
    lane.notBeforeMs = Math.max(lane.notBeforeMs, nowMs + waitMs);
  }

  /** A refusal for good. Returns the message, unless it was seen in the log after all. */
  failed(clientMsgId: string): OutboxEntry | undefined {
    const waiting = this.#remove(clientMsgId);
    return waiting === undefined || waiting.seen ? undefined : waiting.entry;
  }

  /**
   * Gives a message a new id, in the same place, after the server refused the old one as minted too far ahead.
   * Refuses when the server may have it under the old one.
   */
  renamed(clientMsgId: string, newId: string): OutboxEntry | undefined {
    const waiting = this.#find(clientMsgId);
    if (waiting === undefined || waiting.maybeStored) return undefined;
    waiting.entry = { ...waiting.entry, client_msg_id: newId };
    waiting.inFlight = false;
    waiting.kept = false;
    return waiting.entry;
  }

  /** Everything in flight is without an answer, and the next session awaits nothing. */
  connectionLost(): void {
    for (const waiting of [...this.#waiting]) {
      if (waiting.seen) {
        this.#remove(waiting.entry.client_msg_id);
        continue;
      }
      waiting.maybeStored ||= waiting.inFlight;
      waiting.inFlight = false;
      waiting.awaited = false;
    }
    for (const lane of this.#lanes.values()) lane.recovering = false;
  }

  #insert(entry: OutboxEntry, restored: boolean): void {
    this.#waiting.push({
      entry,
      kept: restored,
      inFlight: false,
      maybeStored: restored,
      awaited: false,
      seen: false,
    });
    this.#waiting.sort((a, b) => a.entry.place - b.entry.place);
  }

  #shutLanes(nowMs: number): Set<string> {
    const shut = new Set<string>();
    const busy = new Set<string>();
    for (const { entry, inFlight } of this.#waiting) if (inFlight) busy.add(entry.to);
    for (const [to, lane] of this.#lanes) {
      if (lane.recovering && !busy.has(to)) lane.recovering = false;
      if (lane.recovering || lane.notBeforeMs > nowMs) shut.add(to);
    }
    return shut;
  }

  #waitMs(lane: Lane, error: RookeryError, random: number): number {
    if (error.retryAfterMs !== undefined) return askedWaitMs(error.retryAfterMs, random);
    // What follows a refused message is refused only because of it: its turn comes with that one's.
    if (error.code === "order_broken" && lane.failures <= 1) return 0;
    return backoffMs(lane.failures - 1, random, LANE_BACKOFF_MAX_MS);
  }

  #lane(to: string): Lane {
    let lane = this.#lanes.get(to);
    if (lane === undefined) {
      lane = { recovering: false, notBeforeMs: 0, failures: 0 };
      this.#lanes.set(to, lane);
    }
    return lane;
  }

  #find(clientMsgId: string): Waiting | undefined {
    return this.#waiting.find(({ entry }) => entry.client_msg_id === clientMsgId);
  }

  #remove(clientMsgId: string): Waiting | undefined {
    const index = this.#waiting.findIndex(({ entry }) => entry.client_msg_id === clientMsgId);
    const waiting = this.#waiting[index];
    if (waiting === undefined) return undefined;
    this.#waiting.splice(index, 1);
    const { to } = waiting.entry;
    if (!this.#waiting.some(({ entry }) => entry.to === to)) this.#lanes.delete(to);
    return waiting;
  }
}
