import { RookeryError } from "./errors.ts";
import { type OutboxEntry, OutboxQueue, sendBody } from "./outbox-queue.ts";
import type { Content, Send, Sent } from "./protocol.ts";
import type { Timers } from "./runtime.ts";
import type { UuidMint } from "./uuid.ts";

/** Messages that wait at most; a client that cannot send them in hours has another trouble. */
export const OUTBOX_CAPACITY = 1_000;
/** Sends in flight at most: half of what the server allows, so that other commands find room. */
const AT_ONCE = 16;
/** What a frame holds beside the body of the command. */
const FRAME_OVERHEAD_BYTES = 64;

/** Where unsent messages outlive the page or the process. */
export interface OutboxStorage {
  /** Everything kept, in any order. */
  load(): Promise<OutboxEntry[]>;
  /** Keeps an entry, over one of the same place if there is one. */
  put(entry: OutboxEntry): Promise<void>;
  remove(entry: OutboxEntry): Promise<void>;
}

/** Keeps nothing beyond the process. */
export class MemoryOutboxStorage implements OutboxStorage {
  readonly #entries = new Map<number, OutboxEntry>();

  async load(): Promise<OutboxEntry[]> {
    return [...this.#entries.values()];
  }

  async put(entry: OutboxEntry): Promise<void> {
    this.#entries.set(entry.place, entry);
  }

  async remove(entry: OutboxEntry): Promise<void> {
    this.#entries.delete(entry.place);
  }
}

export interface OutboxHooks {
  /** Puts a message on the wire. */
  send(body: Send): Promise<Sent>;
  serverNowMs(): number;
  /** The refusal tells that our idea of the server's time is wrong. */
  serverTime(ms: number): void;
  sent(entry: OutboxEntry, sent: Sent): void;
  failed(entry: OutboxEntry, error: RookeryError): void;
  /** An entry came, went or changed its state. */
  changed(entry: OutboxEntry): void;
  /** The entry is not on disk: it is sent all the same, but would not outlive the page. */
  notKept(entry: OutboxEntry, error: unknown): void;
}

export interface OutboxOptions {
  readonly storage: OutboxStorage;
  readonly mint: UuidMint;
  readonly timers: Timers;
  readonly nowMs: () => number;
  readonly random: () => number;
}

export interface Draft {
  readonly to: string;
  readonly content: Content;
  readonly mentions?: string[];
  readonly reply_to?: number;
}

/** Sends what was written, in order, again and again until it is acked or refused for good. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #hooks: OutboxHooks;
  readonly #queue = new OutboxQueue();
  readonly #failed = new Map<string, OutboxEntry>();
  #lastPlace = 0;
  #open = false;
  #frameBytes = Number.POSITIVE_INFINITY;
  #timer: unknown;
  /** Raised whenever a session ends: answers to sends of an older one mean nothing. */
  #session = 0;

  constructor(options: OutboxOptions, hooks: OutboxHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** Takes up what an earlier run left. */
  async load(): Promise<void> {
    const entries = await this.#options.storage.load();
    for (const entry of entries) {
      this.#lastPlace = Math.max(this.#lastPlace, entry.place);
      if (entry.failed === undefined) this.#queue.restore(entry);
      else this.#failed.set(entry.client_msg_id, entry);
    }
  }

  /** What waits and what failed, oldest first. */
  entries(): OutboxEntry[] {
    return [...this.#queue.entries(), ...this.#failed.values()].sort((a, b) => a.place - b.place);
  }

  /** How far a message of this outbox is; none when it was sent or discarded. */
  stateOf(clientMsgId: string): "waiting" | "sending" | "failed" | undefined {
    if (this.#failed.has(clientMsgId)) return "failed";
    if (this.#queue.get(clientMsgId) === undefined) return undefined;
    return this.#queue.isInFlight(clientMsgId) ? "sending" : "waiting";
  }

  post(draft: Draft): OutboxEntry {
    if (this.#queue.size >= OUTBOX_CAPACITY) {
      throw new RookeryError("outbox_full", `${OUTBOX_CAPACITY} messages wait to be sent already`);
    }
    const nowMs = this.#hooks.serverNowMs();
    const entry: OutboxEntry = {
      place: this.#nextPlace(),
      client_msg_id: this.#options.mint.mint(nowMs),
      created_at_ms: Math.floor(nowMs),
      ...draft,
      content: wellFormed(draft.content),
    };
    this.#queue.add(entry);
    void this.#keepThenSend(entry);
    this.#hooks.changed(entry);
    return entry;
  }

  /** Takes up an entry that another device of this user left behind. Fails when it cannot be kept; it is sent even so. */
  async adopt(left: OutboxEntry): Promise<void> {
    if (this.stateOf(left.client_msg_id) !== undefined) return;
    const entry = { ...left, place: this.#nextPlace() };
    if (entry.failed === undefined) this.#queue.restore(entry);
    else this.#failed.set(entry.client_msg_id, entry);
    this.#hooks.changed(entry);
    this.#pump();
    await this.#options.storage.put(entry);
  }

  /** Forgets a message that failed. */
  discard(clientMsgId: string): void {
    const entry = this.#failed.get(clientMsgId);
    if (entry === undefined) return;
    this.#failed.delete(clientMsgId);
    this.#forget(entry);
    this.#hooks.changed(entry);
  }

  /** Sends a message that failed once more, as a new message with a new id. */
  retry(clientMsgId: string): OutboxEntry | undefined {
    const entry = this.#failed.get(clientMsgId);
    if (entry === undefined) return undefined;
    const { to, content, mentions, reply_to } = entry;
    // The old one goes last: the new one may be refused for want of room.
    const again = this.post({
      to,
      content,
      ...(mentions === undefined ? {} : { mentions }),
      ...(reply_to === undefined ? {} : { reply_to }),
    });
    this.discard(clientMsgId);
    return again;
  }

  /** The session is in step with the server: what waits may go. */
  resume(frameBytes: number): void {
    this.#open = true;
    this.#frameBytes = frameBytes;
    this.#pump();
  }

  /** The session is over. */
  pause(): void {
    this.#open = false;
    this.#session += 1;
    this.#options.timers.clear(this.#timer);
    this.#queue.connectionLost();
  }

  /** A message of one's own was seen in the log. Returns its entry if it was still waiting for its ack. */
  found(conversation: string, clientMsgId: string): OutboxEntry | undefined {
    const failed = this.#failed.get(clientMsgId);
    if (failed !== undefined && failed.to === conversation) {
      this.discard(clientMsgId);
      return failed;
    }
    const entry = this.#queue.found(conversation, clientMsgId);
    if (entry !== undefined) {
      this.#forget(entry);
      this.#pump();
    }
    return entry;
  }

  #nextPlace(): number {
    this.#lastPlace += 1;
    return this.#lastPlace;
  }

  /** Should this fail, a later run sends the message once more and the server says that it has it. */
  #forget(entry: OutboxEntry): void {
    this.#options.storage.remove(entry).catch(() => {});
  }

  async #keepThenSend(entry: OutboxEntry): Promise<void> {
    try {
      await this.#options.storage.put(entry);
    } catch (error) {
      this.#hooks.notKept(entry, error);
    }
    this.#queue.kept(entry.client_msg_id);
    this.#pump();
  }

  #pump(): void {
    if (!this.#open) return;
    const { nowMs, timers } = this.#options;
    for (const entry of this.#queue.next(nowMs(), AT_ONCE)) void this.#send(entry);

    timers.clear(this.#timer);
    const opensAtMs = this.#queue.opensAtMs(nowMs());
    if (opensAtMs !== undefined) {
      this.#timer = timers.set(() => this.#pump(), Math.max(1, opensAtMs - nowMs()));
    }
  }

  async #send(entry: OutboxEntry): Promise<void> {
    const id = entry.client_msg_id;
    const session = this.#session;
    this.#hooks.changed(entry);

    const body = sendBody(entry);
    // The server closes the connection at a frame that is too large, and would do so again at each retry.
    if (utf8Bytes(JSON.stringify(body)) + FRAME_OVERHEAD_BYTES > this.#frameBytes) {
      const error = new RookeryError("too_large", "the message is too long");
      // Not at once: whoever wrote it has not got its id yet.
      await Promise.resolve();
      this.#giveUp(id, error);
      return;
    }

    try {
      const sent = await this.#hooks.send(body);
      const acked = this.#queue.acked(id);
      if (acked !== undefined) {
        this.#forget(acked);
        this.#hooks.sent(acked, sent);
        this.#hooks.changed(acked);
      }
    } catch (thrown) {
      if (session !== this.#session) return;
      this.#refused(id, thrown as RookeryError);
    }
    this.#pump();
  }

  #refused(id: string, error: RookeryError): void {
    if (isOfTheSession(error)) return;
    if (error.curable) {
      const { nowMs, random } = this.#options;
      this.#queue.refused(id, error, nowMs(), random());
      const entry = this.#queue.get(id);
      if (entry !== undefined) this.#hooks.changed(entry);
    } else if (!(error.code === "clock_ahead" && this.#rename(id, error))) {
      this.#giveUp(id, error);
    }
  }

  /** The local clock was ahead when it was written, and the server had not told its time yet. */
  #rename(id: string, error: RookeryError): boolean {
    if (error.serverTimeMs !== undefined) this.#hooks.serverTime(error.serverTimeMs);
    const old = this.#queue.get(id);
    const entry = this.#queue.renamed(id, this.#options.mint.mint(this.#hooks.serverNowMs()));
    if (old === undefined || entry === undefined) return false;
    this.#hooks.changed(old);
    void this.#keepThenSend(entry);
    this.#hooks.changed(entry);
    return true;
  }

  #giveUp(id: string, error: RookeryError): void {
    const entry = this.#queue.failed(id);
    if (entry === undefined) return;
    const failed = { ...entry, failed: { code: error.code, message: error.message } };
    this.#failed.set(id, failed);
    this.#options.storage.put(failed).catch((reason) => this.#hooks.notKept(failed, reason));
    this.#hooks.failed(failed, error);
    this.#hooks.changed(failed);
  }
}

/** Whether a refusal is about the session and not the message: the next session sends it again. */
function isOfTheSession({ code }: RookeryError): boolean {
  return (
    code === "offline" ||
    code === "closed" ||
    code === "deadline" ||
    code === "not_logged_in" ||
    code === "bad_token" ||
    code === "token_expired"
  );
}

/** Half a surrogate pair has no form in UTF-8, and the server could not read it. */
function wellFormed(content: Content): Content {
  const mend = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");
  switch (content.type) {
    case "text":
      return { ...content, text: mend(content.text) };
    case "custom":
      return { ...content, data: mend(content.data) };
    default:
      return content;
  }
}

/** How many bytes a text takes in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4;
  }
  return bytes;
}
