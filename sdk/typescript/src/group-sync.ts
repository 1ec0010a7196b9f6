import type { CommandBody } from "./calls.ts";
import { conversationOf } from "./conversation.ts";
import type { ErrorCode, RookeryError } from "./errors.ts";
import type { GroupHead, HistoryPage, Message } from "./protocol.ts";
import type { Timers } from "./runtime.ts";
import { StreamOrder } from "./stream-order.ts";

/** How long a gap may close by itself before it is pulled, give or take a quarter. */
export const GAP_WAIT_MS = 200;
/** The wait before a pull that failed is tried again in the same session. */
export const PULL_AGAIN_MS = 1_000;
/** Groups whose logs are pulled at the same time. */
const PULLS_AT_ONCE = 4;
/** Refusals that say that a log is not this user's to see, whenever it is asked for. */
const NOT_OURS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "not_found",
  "not_a_member",
  "forbidden",
]);

export interface GroupSyncOptions {
  readonly user: string;
  readonly timers: Timers;
  readonly random: () => number;
}

export interface GroupSyncHooks {
  history(body: CommandBody<"message.history">): Promise<HistoryPage>;
  /** Entries of one group, each once and in order. */
  deliver(messages: Message[]): void;
  isOnScreen(conversation: string): boolean;
}

/** What is known of the log of one group. */
interface Log {
  readonly order: StreamOrder<Message>;
  /** Whether the user's membership has ended, as far as is known; at its last entry the log is forgotten. */
  hasLeft: boolean;
  isPulling: boolean;
  gapTimer?: unknown;
}

/**
 * Keeps the logs of a user's groups in step with the server, each by its own seqs.
 *
 * Owns the positions. Never decides when to sync: it is told what a sync said, and pulls what that shows to be lacking.
 */
export class GroupSync {
  readonly #options: GroupSyncOptions;
  readonly #hooks: GroupSyncHooks;
  readonly #logs = new Map<string, Log>();
  /** Raised whenever a session begins or ends: answers to pulls of an older one mean nothing. */
  #session = 0;
  #isOpen = false;
  /** Whether this session's sync has named all groups: one that is met after it was joined since. */
  #isSettled = false;
  #pageSize = 0;

  constructor(options: GroupSyncOptions, hooks: GroupSyncHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** Takes the positions that the app has kept. */
  load(positions: Readonly<Record<string, number>>): void {
    for (const [group, seq] of Object.entries(positions)) this.#log(group).order.start(seq);
  }

  /** Up to where this device has each group, those on screen first; `limit` of them. */
  positions(limit = Number.POSITIVE_INFINITY): Record<string, number> {
    return this.#positionsOf([...this.#logs.keys()].sort(this.#onScreenFirst), limit);
  }

  /** The same of what is on screen and nothing else. */
  onScreen(limit: number): Record<string, number> {
    return this.#positionsOf([...this.#logs.keys()].filter(this.#isOnScreen), limit);
  }

  /** A session stands. */
  opened(pageSize: number): void {
    this.#session += 1;
    this.#isOpen = true;
    this.#pageSize = pageSize;
  }

  /** The session is over. */
  lost(): void {
    this.#session += 1;
    this.#isOpen = false;
    this.#isSettled = false;
    for (const log of this.#logs.values()) {
      this.#options.timers.clear(log.gapTimer);
      log.gapTimer = undefined;
      log.isPulling = false;
      log.order.letGo();
    }
  }

  /** A sync begins, in a session that had one before: what is pushed meanwhile waits for what it says. */
  syncing(): void {
    this.#isSettled = false;
  }

  /** A page of a sync. A group in which we have no position has the head for one. */
  meet(heads: readonly GroupHead[]): void {
    for (const { group, head, min_seq, left = false } of heads) {
      const log = this.#log(group);
      log.hasLeft = left;
      this.#deliver(log, log.order.skipTo(min_seq - 1));
      if (log.order.position === undefined) this.#deliver(log, log.order.start(head));
      else log.order.hearOf(head);
      this.#tidy(group, log);
    }
  }

  /** The positions are of another history. What was pushed in this session, and is held back, is of the new one. */
  forgetPositions(): void {
    for (const [group, { order }] of this.#logs) {
      order.forgetPosition();
      if (order.lowestHeld === undefined) this.#logs.delete(group);
    }
  }

  /** The last page of a sync was met: groups that no page named and that were pushed to us are new. */
  settle(): void {
    this.#isSettled = true;
    for (const [group, log] of this.#logs) {
      const first = log.order.lowestHeld;
      if (log.order.position === undefined && first !== undefined) {
        this.#deliver(log, log.order.start(first - 1));
        this.#watchGap(group, log);
      }
    }
  }

  /** An entry of a group, pushed or acked. */
  offer(group: string, message: Message): void {
    const log = this.#log(group);
    if (this.#isSettled && log.order.position === undefined) log.order.start(message.seq - 1);
    this.#deliver(log, log.order.offer(message.seq, message));
    this.#tidy(group, log);
    this.#watchGap(group, log);
  }

  /** Whether entries of that group are told. */
  knows(group: string): boolean {
    return this.#logs.has(group);
  }

  /** A head was told without its entry. `isJoining`: it is the first entry that this user may see. */
  hearOf(group: string, head: number, isJoining = false): void {
    if (isJoining && this.#isSettled && !this.knows(group)) this.#log(group).order.start(head - 1);
    const log = this.#logs.get(group);
    if (log === undefined) return;
    log.order.hearOf(head);
    this.#watchGap(group, log);
  }

  /** Pulls at once what these groups lack, and resolves when it is here or cannot be had in this session. */
  async pull(groups: Iterable<string>): Promise<void> {
    const queue = [...groups].values();
    const worker = async (): Promise<void> => {
      for (const group of queue) {
        const log = this.#logs.get(group);
        if (log !== undefined) await this.#pull(group, log);
      }
    };
    await Promise.all(Array.from({ length: PULLS_AT_ONCE }, worker));
  }

  /** The groups of which something is lacking, those on screen first. */
  behind(): string[] {
    const groups = [...this.#logs].filter(([, { order }]) => order.behind).map(([group]) => group);
    return groups.sort(this.#onScreenFirst);
  }

  readonly #isOnScreen = (group: string): boolean => this.#hooks.isOnScreen(conversationOf(group));

  readonly #onScreenFirst = (a: string, b: string): number =>
    Number(this.#isOnScreen(b)) - Number(this.#isOnScreen(a));

  #positionsOf(groups: string[], limit: number): Record<string, number> {
    const known = groups
      .map((group) => [group, this.#logs.get(group)?.order.position] as const)
      .filter((entry): entry is [string, number] => entry[1] !== undefined);
    return Object.fromEntries(known.slice(0, limit));
  }

  #log(group: string): Log {
    let log = this.#logs.get(group);
    if (log === undefined) {
      log = { order: new StreamOrder(), hasLeft: false, isPulling: false };
      this.#logs.set(group, log);
    }
    return log;
  }

  #deliver(log: Log, messages: Message[]): void {
    if (messages.length === 0) return;
    for (const message of messages) {
      log.hasLeft = endsMembership(message, this.#options.user) ?? log.hasLeft;
    }
    this.#hooks.deliver(messages);
  }

  /** Who has left a group has a position in it until the last entry that is still theirs to see. */
  #tidy(group: string, log: Log): void {
    if (!log.hasLeft || log.order.behind) return;
    this.#options.timers.clear(log.gapTimer);
    if (this.#logs.get(group) === log) this.#logs.delete(group);
  }

  /** Gives a gap a moment to close by itself: frames of two actors may overtake each other. */
  #watchGap(group: string, log: Log): void {
    if (log.gapTimer !== undefined || log.isPulling || !this.#isOpen || !log.order.behind) return;
    const { timers, random } = this.#options;
    const waitMs = GAP_WAIT_MS * (0.75 + 0.5 * random());
    log.gapTimer = timers.set(() => {
      log.gapTimer = undefined;
      void this.#pull(group, log);
    }, waitMs);
  }

  /** Pulls the log until nothing is lacking. Only one pull of it runs in a session. */
  async #pull(group: string, log: Log): Promise<void> {
    if (!this.#isOpen || log.isPulling) return;
    const session = this.#session;
    log.isPulling = true;
    while (this.#session === session && log.order.behind) {
      await this.#pullPage(group, log, session);
    }
    if (this.#session !== session) return;
    log.isPulling = false;
    this.#tidy(group, log);
  }

  async #pullPage(group: string, log: Log, session: number): Promise<void> {
    const { order } = log;
    const after = order.position ?? 0;
    try {
      const page = await this.#hooks.history({
        conversation: conversationOf(group),
        after,
        limit: this.#pageSize,
      });
      if (this.#session !== session) return;
      // Who left and came back may not see what was said between.
      this.#deliver(log, order.skipTo(page.min_seq - 1));
      for (const message of page.messages) this.#deliver(log, order.offer(message.seq, message));
      this.#deliver(log, order.skipTo(page.messages.at(-1)?.seq ?? page.head));
      if (page.has_more) return;
      order.heardAll();
      // Something beyond a gap is here, and the server does not see what is before it yet.
      if (order.behind && order.position === after) await this.#pause(PULL_AGAIN_MS);
    } catch (thrown) {
      if (this.#session !== session) return;
      const { code, retryAfterMs } = thrown as RookeryError;
      if (NOT_OURS.has(code)) this.#giveUp(group, log);
      else await this.#pause(retryAfterMs ?? PULL_AGAIN_MS);
    }
  }

  #giveUp(group: string, log: Log): void {
    log.order.letGo();
    if (this.#logs.get(group) === log) this.#logs.delete(group);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.timers.set(resolve, ms));
  }
}

/** Whether an entry of a group's log ends that user's membership, or begins it; nothing when it does neither. */
function endsMembership({ from, content }: Message, user: string): boolean | undefined {
  if (content.type !== "notice") return undefined;
  const isMeant = content.users?.includes(user) ?? false;
  switch (content.action) {
    case "created":
    case "added":
      return isMeant ? false : undefined;
    case "joined":
      return from === user ? false : undefined;
    case "left":
      return from === user ? true : undefined;
    case "removed":
      return isMeant ? true : undefined;
    case "dissolved":
      return true;
    default:
      return undefined;
  }
}
