import type { Call, CommandBody, CommandName, CommandReply } from "./calls.ts";
import { Connection, type ConnectionState } from "./connection.ts";
import { groupOf } from "./conversation.ts";
import { CursorThrottle } from "./cursor-throttle.ts";
import { Emitter } from "./emitter.ts";
import type { RookeryError } from "./errors.ts";
import { FriendCalls } from "./friend-calls.ts";
import { GroupCalls } from "./group-calls.ts";
import { GAP_WAIT_MS, GroupSync, PULL_AGAIN_MS } from "./group-sync.ts";
import { type Draft, MemoryOutboxStorage, Outbox, type OutboxStorage } from "./outbox.ts";
import type { OutboxEntry } from "./outbox-queue.ts";
import { PresenceCalls } from "./presence-calls.ts";
import type {
  Content,
  ConversationsPage,
  Device,
  DevicesEnded,
  DevicesPage,
  Event,
  FriendState,
  HistoryPage,
  LoggedIn,
  Message,
  Platform,
  Presence,
  ReadCount,
  Send,
  Sent,
  Sync,
  Synced,
  ReadEvent as WireReadEvent,
} from "./protocol.ts";
import {
  globalWebSocket,
  systemTimers,
  type Timers,
  type WebSocketConstructor,
} from "./runtime.ts";
import { StreamOrder } from "./stream-order.ts";
import type { GetToken } from "./token-keeper.ts";
import { type OpenTransport, webSocketTransport } from "./transport.ts";
import { UuidMint } from "./uuid.ts";

/** Groups whose positions a sync names at most; the server tells the heads of all others. */
const GROUPS_IN_SYNC = 500;
/** Groups whose positions a heartbeat carries at most. */
const GROUPS_IN_PING = 50;

/** What a device has: everything of that history up to that inbox number, and up to those seqs of its groups. */
export interface Position {
  readonly epoch: string;
  readonly inbox: number;
  /** A group that is not named is taken up where it stands when the client comes back. */
  readonly groups?: Readonly<Record<string, number>>;
}

export interface ClientOptions {
  /** The server's WebSocket, such as `wss://chat.example.org/v1/ws`. */
  readonly url: string;
  /** The app; 1 when left out. */
  readonly app?: number;
  readonly user: string;
  /** Two clients of one user need two ids: the same device in a second place ends the session in the first. */
  readonly device: Device;
  /** Called before each login, and when a token runs out: it is given that one then, and gets another. */
  readonly token: GetToken;
  /** Where unsent messages are kept; in memory when left out. */
  readonly outbox?: OutboxStorage;
  /** Where the device was, if its messages were kept. Without it only what comes from now on is told. */
  readonly position?: Position;
  /** For a runtime without a WebSocket of its own. */
  readonly WebSocket?: WebSocketConstructor;
  readonly timers?: Timers;
  readonly random?: () => number;
  readonly nowMs?: () => number;
  /** Another way to reach the server than a WebSocket. */
  readonly open?: OpenTransport;
}

export type DeliveredEvent = Extract<Event, { event: "message.delivered" }>["body"];
/** Somebody's cursor rose: the peer's in a pair, or one's own on another device. */
export type ReadEvent = Extract<WireReadEvent, { user: string }>;
/** More members of a group have read what this user wrote. */
export interface ReadersEvent {
  readonly conversation: string;
  readonly counts: readonly ReadCount[];
}

export interface ClientEvents {
  state: ConnectionState;
  /**
   * An entry of a log, each once; one's own too. Those of pairs come in the order of the inbox, those of a group in the
   * order of its log. `content.type` may be one that this version does not know.
   */
  message: Message;
  /** A message of this device is stored. It comes as `message` too, in its turn. */
  sent: { entry: OutboxEntry; sent: Sent };
  /** A message of this device was refused for good. */
  failed: { entry: OutboxEntry; error: RookeryError };
  /** An entry of the outbox came, went or changed its state. */
  outbox: OutboxEntry;
  /** An entry could not be written to its storage, and would not outlive the process. */
  notKept: { entry: OutboxEntry; error: unknown };
  delivered: DeliveredEvent;
  read: ReadEvent;
  readers: ReadersEvent;
  /** A group's name or membership changed. The notice in its log says how, and may come before or after. */
  group: { group: string };
  /** Somebody is a friend from now on, or no longer. */
  friend: { user: string; state: FriendState };
  /** How these users are now. A hint: what was lost on the way is told by `presence.get` alone. */
  presence: readonly Presence[];
  /** The session's token runs out then, by the server's clock. Another one is asked for by itself. */
  tokenExpiring: { expiresAtMs: number };
  /**
   * What came before has to be read by list and history. `first`: this device had no position. `epoch`: the server's
   * database lost committed data, and all seqs belong to another history.
   */
  reset: "first" | "epoch";
  /**
   * A session stands; one-to-one messages and the groups on screen are in step, the other groups follow. Cursors may
   * have moved while there was none.
   */
  synced: LoggedIn;
}

/** One user on one device: stays connected, sends what is written, tells what happens, in order and once. */
export class RookeryClient {
  readonly user: string;
  /** The commands about groups. */
  readonly groups: GroupCalls;
  /** The commands about friends. */
  readonly friends: FriendCalls;
  /** The commands about who is there. */
  readonly presence: PresenceCalls;
  readonly #options: ClientOptions;
  readonly #timers: Timers;
  readonly #random: () => number;
  readonly #nowMs: () => number;
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #order = new StreamOrder<Message>();
  readonly #groups: GroupSync;
  readonly #onScreen = new Set<string>();
  readonly #received = new CursorThrottle();
  readonly #read = new CursorThrottle();
  #epoch: string | undefined;
  #serverAheadMs = 0;
  #session: LoggedIn | undefined;
  /** The session whose inbox is being pulled. */
  #pulling: LoggedIn | undefined;
  #gapTimer: unknown;
  #cursorTimer: unknown;

  /** Makes a client with the unsent messages of its earlier runs. It connects when told to. */
  static async create(options: ClientOptions): Promise<RookeryClient> {
    const client = new RookeryClient(options);
    await client.#outbox.load();
    return client;
  }

  private constructor(options: ClientOptions) {
    this.user = options.user;
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#random = options.random ?? Math.random;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#groups = this.#makeGroups();
    const call: Call = (cmd, body) => this.call(cmd, body);
    this.groups = new GroupCalls(call, (group, seq, isJoining) =>
      this.#groups.hearOf(group, seq, isJoining),
    );
    this.friends = new FriendCalls(call);
    this.presence = new PresenceCalls(call);
    if (options.position !== undefined) {
      this.#epoch = options.position.epoch;
      this.#order.start(options.position.inbox);
      this.#groups.load(options.position.groups ?? {});
    }
    this.#connection = this.#makeConnection();
    this.#outbox = this.#makeOutbox();
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** The server's time, as far as it is known. */
  get serverNowMs(): number {
    return this.#nowMs() + this.#serverAheadMs;
  }

  /** The position to come back with after a restart, if everything told so far was kept. */
  get position(): Position | undefined {
    const inbox = this.#order.position;
    if (this.#epoch === undefined || inbox === undefined) return undefined;
    return { epoch: this.#epoch, inbox, groups: this.#groups.positions() };
  }

  /** The bounds that the server told at login. */
  get limits(): LoggedIn["limits"] | undefined {
    return this.#session?.limits;
  }

  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (value: ClientEvents[Name]) => void,
  ): () => void {
    return this.#emitter.on(name, listener);
  }

  /**
   * Connects as a person does who opens the app: sessions that may not stand beside it give way. An app that comes back
   * by itself, such as a page that is loaded again, names the session that it goes on with by its `loginNo`: then others
   * stay, and `state` is `ended` if that session was ended meanwhile.
   */
  connect(resume?: string): void {
    this.#connection.connect(resume);
  }

  /** The number of this client's last login, to come back with after a restart. */
  get loginNo(): string | undefined {
    return this.#connection.loginNo;
  }

  disconnect(): void {
    this.#connection.disconnect();
  }

  /** Ends the session at the server too. */
  async logout(): Promise<void> {
    try {
      await this.#connection.call("logout", {});
    } catch {
      // Without a session there is none to end.
    }
    this.#connection.disconnect();
  }

  /** The network may have changed, or the device woke up: find out now. */
  wake(): void {
    this.#connection.wake();
  }

  /**
   * Takes a message to be sent as soon as it can be, and tells its client message id. What becomes of it is told by
   * `sent` or `failed`.
   */
  send(to: string, content: Content, more: Omit<Draft, "to" | "content"> = {}): string {
    return this.#outbox.post({ to, content, ...more }).client_msg_id;
  }

  /** Sends a message and waits until it is stored or refused for good. */
  post(to: string, content: Content, more: Omit<Draft, "to" | "content"> = {}): Promise<Sent> {
    const { place } = this.#outbox.post({ to, content, ...more });
    return new Promise((resolve, reject) => {
      const over = [
        this.on("sent", ({ entry, sent }) => {
          if (entry.place === place) settle(() => resolve(sent));
        }),
        this.on("failed", ({ entry, error }) => {
          if (entry.place === place) settle(() => reject(error));
        }),
      ];
      const settle = (how: () => void): void => {
        for (const end of over) end();
        how();
      };
    });
  }

  /** What waits to be sent and what failed, oldest first. */
  get outbox(): OutboxEntry[] {
    return this.#outbox.entries();
  }

  outboxStateOf(clientMsgId: string): "waiting" | "sending" | "failed" | undefined {
    return this.#outbox.stateOf(clientMsgId);
  }

  /** Sends a message that failed once more, as a new message. */
  retry(clientMsgId: string): void {
    this.#outbox.retry(clientMsgId);
  }

  /** Forgets a message that failed. */
  discard(clientMsgId: string): void {
    this.#outbox.discard(clientMsgId);
  }

  /**
   * Takes up an unsent message that another device of this user left on this machine. Fails when it cannot be written
   * to the storage of this one; it is sent even so.
   */
  adopt(entry: OutboxEntry): Promise<void> {
    return this.#outbox.adopt(entry);
  }

  /** A conversation came on screen, or left it: heartbeats look after what is, and it is the first to be pulled. */
  setOnScreen(conversation: string, isOnScreen: boolean): void {
    if (isOnScreen) this.#onScreen.add(conversation);
    else this.#onScreen.delete(conversation);
  }

  /** Tells that this user has read the conversation up to there. */
  markRead(conversation: string, seq: number): void {
    this.#read.raise(conversation, seq);
    this.#tellCursors();
  }

  /**
   * Tells that this device has the messages of others up to there. What is pushed or pulled is told by itself. Groups
   * have no such receipt.
   */
  markReceived(conversation: string, seq: number): void {
    if (groupOf(conversation) !== undefined) return;
    this.#received.raise(conversation, seq);
    this.#tellCursors();
  }

  history(body: CommandBody<"message.history">): Promise<HistoryPage> {
    return this.call("message.history", body);
  }

  conversations(body: CommandBody<"conversation.list"> = {}): Promise<ConversationsPage> {
    return this.call("conversation.list", body);
  }

  /** The devices that this user has logged in from, last login first. */
  devices(body: CommandBody<"device.list"> = {}): Promise<DevicesPage> {
    return this.call("device.list", body);
  }

  /** Ends the session of a device of this user. It does not come back by itself. */
  kickDevice(device: string, platform?: Platform): Promise<DevicesEnded> {
    return this.call("device.kick", { device, ...(platform === undefined ? {} : { platform }) });
  }

  /** Ends all sessions of this user but this one. */
  kickOthers(): Promise<DevicesEnded> {
    return this.call("device.kick", { all: true });
  }

  /** Any command of the protocol. */
  call<Name extends CommandName>(cmd: Name, body: CommandBody<Name>): Promise<CommandReply<Name>> {
    return this.#connection.call(cmd, body);
  }

  /** A message was met in a page of history: an own one that waits for its ack is stored, then. */
  seen(message: Message): void {
    if (message.from !== this.user) return;
    const entry = this.#outbox.found(message.conversation, message.client_msg_id);
    if (entry === undefined) return;
    const { conversation, seq, message_id, sent_at_ms } = message;
    const sent: Sent = { conversation, seq, message_id, sent_at_ms, duplicate: true };
    this.#emitter.emit("sent", { entry, sent });
    this.#emitter.emit("outbox", entry);
  }

  #makeConnection(): Connection {
    const { url, app, user, device, token, open, WebSocket } = this.#options;
    return new Connection(
      {
        open: open ?? webSocketTransport(url, WebSocket ?? globalWebSocket()),
        ...(app === undefined ? {} : { app }),
        user,
        device,
        token,
        timers: this.#timers,
        random: this.#random,
        nowMs: this.#nowMs,
      },
      {
        position: () => this.#asked(),
        onScreen: () => ({
          ...(this.#order.position === undefined ? {} : { inbox: this.#order.position }),
          ...filled({ groups: this.#groups.onScreen(GROUPS_IN_PING) }),
        }),
        stateChanged: (state) => this.#emitter.emit("state", state),
        loggedIn: (session, asked) => void this.#sync(session, asked),
        event: (event) => this.#eventCame(event),
        serverTime: (ms) => this.#learnTime(ms),
        behind: ({ inbox, groups = {} }) => {
          if (inbox !== undefined) this.#order.hearOf(inbox);
          for (const [group, head] of Object.entries(groups)) this.#groups.hearOf(group, head);
          void this.#pull();
          void this.#groups.pull(Object.keys(groups));
        },
        lost: () => this.#lost(),
      },
    );
  }

  #makeGroups(): GroupSync {
    return new GroupSync(
      { user: this.user, timers: this.#timers, random: this.#random },
      {
        history: (body) => this.call("message.history", body),
        deliver: (messages) => this.#deliver(messages),
        isOnScreen: (conversation) => this.#onScreen.has(conversation),
      },
    );
  }

  #makeOutbox(): Outbox {
    return new Outbox(
      {
        storage: this.#options.outbox ?? new MemoryOutboxStorage(),
        mint: new UuidMint(),
        timers: this.#timers,
        nowMs: this.#nowMs,
        random: this.#random,
      },
      {
        send: (body) => this.#send(body),
        serverNowMs: () => this.serverNowMs,
        serverTime: (ms) => this.#learnTime(ms),
        sent: (entry, sent) => this.#sent(entry, sent),
        failed: (entry, error) => this.#emitter.emit("failed", { entry, error }),
        changed: (entry) => this.#emitter.emit("outbox", entry),
        notKept: (entry, error) => this.#emitter.emit("notKept", { entry, error }),
      },
    );
  }

  /** A token that ran out stops the outbox until there is another: what was refused for it must not be overtaken. */
  async #send(body: Send): Promise<Sent> {
    const session = this.#session;
    const { token } = this.#connection;
    try {
      return await this.#connection.callOnce("message.send", body);
    } catch (thrown) {
      if ((thrown as RookeryError).code === "token_expired" && session === this.#session) {
        this.#outbox.pause();
        void this.#connection.renew(token).then((isRenewed) => {
          if (!isRenewed || session === undefined || session !== this.#session) return;
          this.#outbox.resume(session.limits.frame_bytes);
        });
      }
      throw thrown;
    }
  }

  #learnTime(serverMs: number): void {
    this.#serverAheadMs = serverMs - this.#nowMs();
  }

  /** What the client has, as a login or a sync names it. */
  #asked(): Sync {
    const { position } = this;
    if (position === undefined) return {};
    const { epoch, inbox } = position;
    return { epoch, inbox, ...filled({ groups: this.#groups.positions(GROUPS_IN_SYNC) }) };
  }

  /** Pushes were held back since the login was sent; now pull what came before them, show all, then send. */
  async #sync(session: LoggedIn, asked: Sync): Promise<void> {
    this.#session = session;
    this.#groups.opened(session.limits.page);
    const reset = this.#meet(session.sync, asked);
    if (!(await this.#restOf(session.sync, session, asked))) return;
    // What was held back before a reset is gone, and only a look shows whether there was something.
    await Promise.all([this.#pull(reset === "epoch"), this.#pullGroupsOnScreen()]);
    if (this.#session !== session) return;
    this.#connection.caughtUp();
    this.#outbox.resume(session.limits.frame_bytes);
    this.#emitter.emit("synced", session);
    this.#tellCursors();
    void this.#groups.pull(this.#groups.behind());
  }

  /**
   * Compares what we had when we asked with what the server has: the epoch first, for without it numbers mean nothing.
   * By now we may have more than that: a push right behind the answer can be here before whoever awaits the answer.
   */
  #meet(synced: Synced, asked: Sync): ClientEvents["reset"] | undefined {
    const { epoch, inbox: head } = synced;
    const first = this.#epoch === undefined || this.#order.position === undefined;
    // A head behind ours within one epoch cannot be; if it is, our numbers are as worthless as after a new epoch.
    if (first || epoch !== this.#epoch || isBehind(synced, asked)) {
      if (!first) {
        this.#order.reset();
        this.#received.reset();
        this.#read.reset();
      }
      this.#groups.forgetPositions();
      this.#epoch = epoch;
      const reset = first ? "first" : "epoch";
      this.#emitter.emit("reset", reset);
      this.#deliver(this.#order.start(head));
      this.#groups.meet(synced.groups);
      return reset;
    }
    this.#order.hearOf(head);
    this.#groups.meet(synced.groups);
    return undefined;
  }

  /** Meets the other pages of a sync. Returns whether the session still stands. */
  async #restOf({ next }: Synced, session: LoggedIn, asked: Sync): Promise<boolean> {
    while (next !== undefined && this.#session === session) {
      try {
        const page: Synced = await this.call("sync", { ...asked, after: next });
        if (this.#session !== session) return false;
        this.#groups.meet(page.groups);
        next = page.next;
      } catch (thrown) {
        await this.#pause((thrown as RookeryError).retryAfterMs ?? PULL_AGAIN_MS);
      }
    }
    if (this.#session !== session) return false;
    this.#groups.settle();
    return true;
  }

  #pullGroupsOnScreen(): Promise<void> {
    const onScreen = [...this.#onScreen].map(groupOf).filter((group) => group !== undefined);
    return this.#groups.pull(onScreen);
  }

  #eventCame(event: Event): void {
    switch (event.event) {
      case "message.new":
        this.#pushed(event.body);
        break;
      case "message.delivered":
        this.#emitter.emit("delivered", event.body);
        break;
      case "message.read":
        if ("counts" in event.body) this.#emitter.emit("readers", event.body);
        else this.#emitter.emit("read", event.body);
        break;
      case "group.changed":
        this.#emitter.emit("group", event.body);
        break;
      case "friend.changed":
        this.#emitter.emit("friend", event.body);
        break;
      case "presence.changed":
        this.#emitter.emit("presence", event.body.presences);
        break;
      case "token.expiring":
        this.#emitter.emit("tokenExpiring", { expiresAtMs: event.body.expires_at_ms });
        break;
      case "sync.needed":
        void this.#syncAgain();
        break;
    }
  }

  #pushed(message: Message): void {
    const group = groupOf(message.conversation);
    if (group !== undefined) {
      this.#groups.offer(group, message);
    } else if (message.inbox !== undefined) {
      this.#deliver(this.#order.offer(message.inbox, message));
      this.#watchGap();
    }
  }

  #sent(entry: OutboxEntry, sent: Sent): void {
    this.#emitter.emit("sent", { entry, sent });
    const { conversation, seq, message_id, sent_at_ms, inbox, duplicate } = sent;
    const group = groupOf(conversation);
    if (group === undefined && inbox === undefined) {
      // A repeat does not say where the first stands in our inbox. If we lack it, it is beyond our position.
      this.#watchGap(true);
      return;
    }
    // A repeat in a group that was left since is no news of it.
    if (group !== undefined && duplicate && !this.#groups.knows(group)) return;
    const { client_msg_id, content, mentions, reply_to } = entry;
    this.#pushed({
      conversation,
      seq,
      ...(inbox === undefined ? {} : { inbox }),
      message_id,
      client_msg_id,
      from: this.user,
      sent_at_ms,
      content,
      ...(mentions === undefined ? {} : { mentions }),
      ...(reply_to === undefined ? {} : { reply_to }),
    });
  }

  #deliver(messages: Message[]): void {
    for (const message of messages) {
      if (message.from === this.user) this.seen(message);
      else if (message.inbox !== undefined) {
        this.#received.raise(message.conversation, message.seq);
      }
      this.#emitter.emit("message", message);
    }
    if (messages.length > 0) this.#tellCursors();
  }

  /** Gives a gap a moment to close by itself: frames of two actors may overtake each other. */
  #watchGap(evenIfNoneIsSeen = false): void {
    if (this.#gapTimer !== undefined || this.#session === undefined) return;
    if (this.#pulling === this.#session) return;
    if (!this.#order.behind && !evenIfNoneIsSeen) return;
    const waitMs = GAP_WAIT_MS * (0.75 + 0.5 * this.#random());
    this.#gapTimer = this.#timers.set(() => {
      this.#gapTimer = undefined;
      void this.#pull(evenIfNoneIsSeen);
    }, waitMs);
  }

  /** Pulls the inbox until nothing is lacking. Only one pull runs in a session. */
  async #pull(evenIfNoneIsSeen = false): Promise<void> {
    const session = this.#session;
    if (session === undefined || this.#pulling === session) return;
    this.#pulling = session;
    let more = evenIfNoneIsSeen;
    while (this.#session === session && (more || this.#order.behind)) {
      more = await this.#pullPage(session);
    }
    // A pull of an older session may end while one of a newer runs.
    if (this.#pulling === session) this.#pulling = undefined;
  }

  /** Pulls one page. Returns whether there is more for certain. */
  async #pullPage(session: LoggedIn): Promise<boolean> {
    const after = this.#order.position ?? 0;
    try {
      const page = await this.call("message.inbox", { after, limit: session.limits.page });
      if (this.#session !== session) return false;
      for (const message of page.messages) {
        if (message.inbox !== undefined) this.#deliver(this.#order.offer(message.inbox, message));
      }
      this.#deliver(this.#order.skipTo(page.messages.at(-1)?.inbox ?? page.head));
      if (!page.has_more) this.#order.heardAll();
      // Something beyond a gap is here, and the server does not see what is before it yet.
      const stuck = !page.has_more && this.#order.behind && this.#order.position === after;
      if (stuck) await this.#pause(PULL_AGAIN_MS);
      return page.has_more;
    } catch (thrown) {
      if (this.#session !== session) return false;
      await this.#pause((thrown as RookeryError).retryAfterMs ?? PULL_AGAIN_MS);
      return true;
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#timers.set(resolve, ms));
  }

  /** The server left pushes out, and pushes nothing more until it is told where we are. */
  async #syncAgain(): Promise<void> {
    const session = this.#session;
    while (session !== undefined && this.#session === session) {
      try {
        const asked = this.#asked();
        this.#groups.syncing();
        const synced = await this.call("sync", asked);
        if (this.#session !== session) return;
        this.#meet(synced, asked);
        if (!(await this.#restOf(synced, session, asked))) return;
        await Promise.all([this.#pull(true), this.#groups.pull(this.#groups.behind())]);
        if (this.#session === session) this.#emitter.emit("synced", session);
        return;
      } catch (thrown) {
        await this.#pause((thrown as RookeryError).retryAfterMs ?? PULL_AGAIN_MS);
      }
    }
  }

  #tellCursors(): void {
    if (this.#connection.state.phase !== "online") return;
    this.#tell("message.received", this.#received);
    this.#tell("message.read", this.#read);

    const next = [this.#received.nextAtMs(), this.#read.nextAtMs()].filter(
      (at) => at !== undefined,
    );
    this.#timers.clear(this.#cursorTimer);
    if (next.length > 0) {
      const waitMs = Math.max(1, Math.min(...next) - this.#nowMs());
      this.#cursorTimer = this.#timers.set(() => this.#tellCursors(), waitMs);
    }
  }

  #tell(cmd: "message.received" | "message.read", cursors: CursorThrottle): void {
    for (const { conversation, seq } of cursors.due(this.#nowMs())) {
      this.call(cmd, { conversation, seq }).then(
        () => {
          cursors.told(conversation, seq);
          this.#tellCursors();
        },
        (error: RookeryError) => {
          cursors.failed(conversation, seq, error.curable);
          this.#tellCursors();
        },
      );
    }
  }

  #lost(): void {
    this.#session = undefined;
    this.#groups.lost();
    this.#timers.clear(this.#gapTimer);
    this.#gapTimer = undefined;
    this.#timers.clear(this.#cursorTimer);
    this.#outbox.pause();
  }
}

/** Whether the server has less than what we had when we asked. */
function isBehind({ inbox, groups }: Synced, asked: Sync): boolean {
  if (inbox < (asked.inbox ?? 0)) return true;
  const known = new Map(Object.entries(asked.groups ?? {}));
  return groups.some(({ group, head, left }) => left !== true && head < (known.get(group) ?? 0));
}

/** Leaves out a list of groups that names none. */
function filled(named: { groups: Record<string, number> }): { groups?: Record<string, number> } {
  return Object.keys(named.groups).length === 0 ? {} : named;
}
