import { backoffMs } from "./backoff.ts";
import type { CommandBody } from "./calls.ts";
import type { RookeryClient } from "./client.ts";
import type { RookeryError } from "./errors.ts";
import type { FriendState, Presence } from "./protocol.ts";
import { systemTimers, type Timers } from "./runtime.ts";

const FRIENDS_PAGE = 200;
/** Users that one question about presence may name. */
const ASKED_AT_ONCE = 500;
const WATCHED_FOR_S = 300;
/** Well before a watch runs out. */
const WATCH_AGAIN_MS = 200_000;

/**
 * What a chat application shows of people: who is a friend, and whether they, oneself and those who are looked at are
 * there. In memory, kept in step with the server.
 */
export class PeopleStore {
  readonly #client: RookeryClient;
  readonly #timers: Timers;
  readonly #listeners = new Set<() => void>();
  readonly #presences = new Map<string, Presence>();
  /** How many views look at somebody. */
  readonly #watched = new Map<string, number>();
  /** For each question on its way: who was told of meanwhile, and is known better than its answer will say. */
  readonly #toldMeanwhile = new Set<Set<string>>();
  /** What became of friendships while the list of friends was on its way. */
  readonly #changedMeanwhile = new Map<string, FriendState>();
  #friends: ReadonlySet<string> = new Set();
  #isLoaded = false;
  #isInFront = true;
  /** Counts the sessions: what was asked in an older one is no concern of a newer. */
  #session = 0;
  #timer: unknown;
  #telling = false;

  constructor(client: RookeryClient, timers: Timers = systemTimers) {
    this.#client = client;
    this.#timers = timers;
    client.on("friend", ({ user, state }) => this.#friendChanged(user, state));
    client.on("presence", (presences) => this.#told(presences));
    client.on("synced", () => void this.#catchUp());
    client.on("state", () => {
      if (!this.#isConnected) this.#lost();
      this.#tell();
    });
  }

  /** The ids of all friends. */
  get friends(): ReadonlySet<string> {
    return this.#friends;
  }

  /** Whether `friends` were read at least once. */
  get loaded(): boolean {
    return this.#isLoaded;
  }

  /** How somebody is; nothing where it is not known, as for everyone while there is no connection. */
  presence(user: string): Presence | undefined {
    return this.#isConnected ? this.#presences.get(user) : undefined;
  }

  /** Calls `listener` after changes, once for all of a turn. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes somebody a friend. Fails as `friends.add` does. */
  async add(user: string): Promise<void> {
    this.#friendChanged(user, await this.#client.friends.add(user));
  }

  /** Fails as `friends.remove` does. */
  async remove(user: string): Promise<void> {
    this.#friendChanged(user, await this.#client.friends.remove(user));
  }

  /** Sets what this user says of themselves, on all their devices. Fails as `presence.set` does. */
  async setStatus(body: Omit<CommandBody<"presence.set">, "state">): Promise<void> {
    await this.#ask(async () => {
      const own = await this.#client.presence.set(body);
      return own === undefined ? [] : [own];
    });
  }

  /** Says whether the application is in front of its user, now and in later sessions. */
  setInFront(isInFront: boolean): void {
    if (this.#isInFront === isInFront) return;
    this.#isInFront = isInFront;
    if (this.#isConnected) this.#tellInFront();
  }

  /** Somebody is looked at, friend or not. Returns what ends it. */
  watch(user: string): () => void {
    const views = this.#watched.get(user) ?? 0;
    this.#watched.set(user, views + 1);
    // What fails is made good when the next session begins, or a watch is renewed.
    if (views === 0 && this.#isConnected) this.#watch([user]).catch(() => {});
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#unwatch(user);
    };
  }

  #unwatch(user: string): void {
    const views = this.#watched.get(user) ?? 0;
    if (views > 1) {
      this.#watched.set(user, views - 1);
      return;
    }
    this.#watched.delete(user);
    this.#forget(user);
    if (this.#isConnected) this.#client.presence.unwatch([user]).catch(() => {});
  }

  get #isConnected(): boolean {
    const { phase } = this.#client.state;
    return phase === "online" || phase === "syncing";
  }

  #lost(): void {
    this.#session += 1;
    this.#timers.clear(this.#timer);
  }

  /** Reads all of it anew, in each session, and when the server left something out. Tries until it succeeds. */
  async #catchUp(): Promise<void> {
    this.#lost();
    const session = this.#session;
    if (!this.#isInFront) this.#tellInFront();
    for (let failures = 0; session === this.#session; failures += 1) {
      try {
        await this.#load(session);
        return;
      } catch (thrown) {
        const { retryAfterMs } = thrown as RookeryError;
        const waitMs = retryAfterMs ?? backoffMs(failures, Math.random());
        await new Promise<void>((resolve) => {
          this.#timer = this.#timers.set(resolve, waitMs);
        });
      }
    }
  }

  async #load(session: number): Promise<void> {
    this.#changedMeanwhile.clear();
    const friends = await this.#allFriends(session);
    if (session !== this.#session) return;
    for (const [user, state] of this.#changedMeanwhile) {
      if (state === "friends") friends.add(user);
      else friends.delete(user);
    }
    this.#friends = friends;
    this.#isLoaded = true;
    for (const user of this.#presences.keys()) this.#forget(user);
    this.#tell();

    // One without friends and open conversations asks about oneself all the same: that is shown, too.
    const users = [this.#client.user, ...friends];
    for (let at = 0; at < users.length && session === this.#session; at += ASKED_AT_ONCE) {
      await this.#ask(() => this.#client.presence.get(users.slice(at, at + ASKED_AT_ONCE)));
    }
    if (session === this.#session) await this.#watchAgain(session);
  }

  async #allFriends(session: number): Promise<Set<string>> {
    const friends = new Set<string>();
    let after: string | undefined;
    do {
      const page = await this.#client.friends.list({
        limit: FRIENDS_PAGE,
        ...(after === undefined ? {} : { after }),
      });
      for (const { user } of page.friends) friends.add(user);
      after = page.next;
    } while (after !== undefined && session === this.#session);
    return friends;
  }

  async #watchAgain(session: number): Promise<void> {
    if (this.#watched.size > 0) await this.#watch([...this.#watched.keys()]);
    if (session !== this.#session) return;
    this.#timers.clear(this.#timer);
    this.#timer = this.#timers.set(() => {
      this.#watchAgain(session).catch(() => void this.#catchUp());
    }, WATCH_AGAIN_MS);
  }

  #watch(users: string[]): Promise<void> {
    return this.#ask(async () => {
      const { presences } = await this.#client.presence.watch(users, WATCHED_FOR_S);
      return presences;
    });
  }

  #tellInFront(): void {
    const state = this.#isInFront ? "online" : "background";
    // The next session, or the next change, says it again.
    this.#client.presence.set({ state }).catch(() => {});
  }

  #friendChanged(user: string, state: FriendState): void {
    this.#changedMeanwhile.set(user, state);
    const isFriend = state === "friends";
    if (this.#friends.has(user) === isFriend) return;
    const friends = new Set(this.#friends);
    if (isFriend) friends.add(user);
    else friends.delete(user);
    this.#friends = friends;
    this.#forget(user);
    // How somebody is may depend on whether they are a friend.
    if (this.#isKept(user)) this.#ask(() => this.#client.presence.get([user])).catch(() => {});
    this.#tell();
  }

  #told(presences: readonly Presence[]): void {
    for (const presence of presences) {
      const { user } = presence;
      for (const told of this.#toldMeanwhile) told.add(user);
      if (this.#isKept(user)) this.#presences.set(user, presence);
    }
    this.#tell();
  }

  async #ask(question: () => Promise<readonly Presence[]>): Promise<void> {
    const told = new Set<string>();
    this.#toldMeanwhile.add(told);
    try {
      for (const presence of await question()) {
        const { user } = presence;
        if (!told.has(user) && this.#isKept(user)) this.#presences.set(user, presence);
      }
    } finally {
      this.#toldMeanwhile.delete(told);
    }
    this.#tell();
  }

  #isKept(user: string): boolean {
    return user === this.#client.user || this.#friends.has(user) || this.#watched.has(user);
  }

  #forget(user: string): void {
    if (!this.#isKept(user)) this.#presences.delete(user);
  }

  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    void Promise.resolve().then(() => {
      this.#telling = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
