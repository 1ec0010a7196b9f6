import {
  type Chat,
  emptyChat,
  hasUnread,
  pendingMessage,
  storedMessage,
  withCounts,
  withGroup,
  withLeft,
  withMessage,
  withNewestPage,
  withNotice,
  withOlderPage,
  withoutPending,
  withPeer,
  withPending,
  withRead,
  withReads,
  withRow,
} from "./chat.ts";
import type { DeliveredEvent, ReadEvent, RookeryClient } from "./client.ts";
import { conversationOf, groupOf } from "./conversation.ts";
import type { RookeryError } from "./errors.ts";
import type { OutboxEntry } from "./outbox-queue.ts";
import type { Member, Message, Sent } from "./protocol.ts";

const PAGE = 50;
const LIST_PAGE = 100;
const MEMBERS_PAGE = 200;
/** Beyond this many members, a group's server does not tell how far each has read. */
const MOST_WITH_READS = 500;
/** Messages that a chat keeps when it is left; what is older is read again when it is looked for. */
const KEPT_WHEN_LEFT = 100;

/** How far the list of conversations is known. */
export interface ListState {
  readonly loaded: boolean;
  readonly hasMore: boolean;
}

/**
 * What a chat application shows: its conversations with their messages, in memory, kept in step with the server.
 *
 * Everything that it hands out is a snapshot that never changes.
 */
export class ChatStore {
  readonly #client: RookeryClient;
  readonly #chats = new Map<string, Chat>();
  readonly #listeners = new Set<() => void>();
  readonly #open = new Set<string>();
  readonly #loading = new Map<string, Promise<void>>();
  readonly #changedAgain = new Set<string>();
  #list: readonly Chat[] = [];
  #listState: ListState = { loaded: false, hasMore: false };
  #next: string | undefined;
  #refreshing: Promise<void> | undefined;
  #telling = false;

  constructor(client: RookeryClient) {
    this.#client = client;
    client.on("message", (message) => this.#came(message));
    client.on("sent", ({ entry, sent }) => this.#sent(entry, sent));
    client.on("outbox", (entry) => this.#outboxChanged(entry));
    client.on("delivered", (event) => this.#delivered(event));
    client.on("read", (event) => this.#read(event));
    client.on("readers", ({ conversation, counts }) => {
      this.#put(withCounts(this.chat(conversation), counts));
    });
    client.on("group", ({ group }) => this.#groupChanged(conversationOf(group)));
    client.on("reset", (why) => {
      if (why === "epoch") this.#historyChanged();
    });
    client.on("synced", () => this.#catchUp());
    for (const entry of client.outbox) this.#outboxChanged(entry);
  }

  /** All known conversations, the one with the latest message first. */
  get chats(): readonly Chat[] {
    return this.#list;
  }

  get listState(): ListState {
    return this.#listState;
  }

  /** Messages of others that were not read, over all known conversations. */
  get unread(): number {
    return this.#list.reduce((sum, { unread }) => sum + unread, 0);
  }

  chat(id: string): Chat {
    return this.#chats.get(id) ?? emptyChat(id);
  }

  /** Calls `listener` after changes, once for all of a turn. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A chat is on screen: its newest messages are read. Fails as `history` does. */
  async open(id: string): Promise<void> {
    this.#open.add(id);
    this.#client.setOnScreen(id, true);
    this.#groupChanged(id);
    const { loaded, stale } = this.chat(id);
    if (!loaded || stale) await this.#loadNewest(id);
  }

  /** A chat left the screen. */
  close(id: string): void {
    this.#open.delete(id);
    this.#client.setOnScreen(id, false);
    const chat = this.#chats.get(id);
    if (chat === undefined || chat.messages.length <= KEPT_WHEN_LEFT) return;
    this.#put({ ...chat, messages: chat.messages.slice(-KEPT_WHEN_LEFT), hasOlder: true });
  }

  /** Reads the page before what is known. Fails as `history` does. */
  loadOlder(id: string): Promise<void> {
    return this.#once(`older ${id}`, async () => {
      const first = this.chat(id).messages[0]?.seq;
      if (first === undefined || !this.chat(id).hasOlder) return;
      const page = await this.#client.history({ conversation: id, before: first, limit: PAGE });
      // The chat was left or replaced meanwhile.
      if (this.chat(id).messages[0]?.seq !== first) return;
      for (const message of page.messages) this.#client.seen(message);
      this.#put(withOlderPage(this.chat(id), page, this.#client.user));
    });
  }

  /** Reads more of the list of conversations. Fails as `conversations` does. */
  loadMore(): Promise<void> {
    return this.#once("list", async () => {
      if (this.#next === undefined) return;
      await this.#loadList(this.#next);
    });
  }

  /** This user has seen everything that the chat shows. */
  markRead(id: string): void {
    const chat = this.chat(id);
    const seq = chat.messages.at(-1)?.seq ?? 0;
    if (seq <= chat.read || chat.stale) return;
    // A meeting counts nothing as unread, and its authors are told all the same who has read.
    if (chat.unread === 0 && (groupOf(id) === undefined || !hasUnread(chat))) return;
    this.#put(withRead(chat, seq));
    this.#client.markRead(id, seq);
  }

  /**
   * Asks how far the members of a group have read. Nothing where the server does not tell. Fails as `groups.members`
   * does.
   */
  async loadReads(id: string): Promise<readonly Member[] | undefined> {
    const group = groupOf(id);
    if (group === undefined || (this.chat(id).group?.members ?? 0) > MOST_WITH_READS) return;
    const members: Member[] = [];
    let after: string | undefined;
    do {
      const page = await this.#client.groups.members({
        group,
        limit: MEMBERS_PAGE,
        ...(after === undefined ? {} : { after }),
      });
      if (page.members.every(({ read }) => read === undefined)) return undefined;
      members.push(...page.members);
      after = page.next;
    } while (after !== undefined);
    this.#put(withReads(this.chat(id), members, this.#client.user));
    return members;
  }

  #came(message: Message): void {
    const { conversation, from, content, seq } = message;
    const me = this.#client.user;
    const before = this.chat(conversation);
    const chat = withMessage(before, storedMessage(message, me));
    const isNotice = content.type === "notice";
    this.#put(isNotice && seq > before.head ? withNotice(chat, from, content, me) : chat);
    if (isNotice || chat.group === undefined) this.#groupChanged(conversation);
  }

  /** Asks anew about a group that is looked at, or of which nothing is known yet. */
  #groupChanged(id: string): void {
    const group = groupOf(id);
    if (group === undefined) return;
    if (this.chat(id).group !== undefined && !this.#open.has(id)) return;
    if (this.#client.state.phase !== "online" && this.#client.state.phase !== "syncing") return;
    const what = `group ${id}`;
    // What is on its way may be older than what has just changed: once more, then.
    if (this.#loading.has(what)) this.#changedAgain.add(id);
    else void this.#once(what, () => this.#loadGroup(id, group));
  }

  /** A failure leaves what is known as it is, and is made good at the next look. */
  async #loadGroup(id: string, group: string): Promise<void> {
    try {
      do {
        this.#changedAgain.delete(id);
        const info = await this.#client.groups.get(group);
        this.#put(withGroup(this.chat(id), info));
        if (this.#open.has(id) && this.chat(id).group?.left === false) await this.loadReads(id);
      } while (this.#changedAgain.has(id));
    } catch (thrown) {
      this.#changedAgain.delete(id);
      const { code } = thrown as RookeryError;
      if (code === "not_found" || code === "not_a_member") this.#put(withLeft(this.chat(id)));
    }
  }

  #sent(entry: OutboxEntry, sent: Sent): void {
    const chat = this.chat(entry.to);
    // A repeat that the log showed already; its place is there.
    if (sent.duplicate && sent.seq <= Math.max(chat.head, chat.messages.at(-1)?.seq ?? 0)) {
      this.#put(withoutPending(chat, entry.client_msg_id));
      return;
    }
    const { seq, sent_at_ms } = sent;
    this.#put(
      withPending(chat, {
        ...pendingMessage(entry, this.#client.user, "sending"),
        seq,
        sentAtMs: sent_at_ms,
        state: "stored",
      }),
    );
  }

  #outboxChanged(entry: OutboxEntry): void {
    const chat = this.chat(entry.to);
    const state = this.#client.outboxStateOf(entry.client_msg_id);
    if (state !== undefined) {
      this.#put(withPending(chat, pendingMessage(entry, this.#client.user, state)));
      return;
    }
    // One that is stored stays where it is until its turn in the log.
    const own = chat.pending.find(({ clientMsgId }) => clientMsgId === entry.client_msg_id);
    if (own !== undefined && own.state !== "stored") {
      this.#put(withoutPending(chat, entry.client_msg_id));
    }
  }

  #delivered({ conversation, seq, by }: DeliveredEvent): void {
    this.#put(withPeer(this.chat(conversation), { delivered: seq, by }));
  }

  #read({ conversation, seq, user }: ReadEvent): void {
    const chat = this.chat(conversation);
    if (user === this.#client.user) {
      this.#put(withRead(chat, seq));
      return;
    }
    this.#put(withPeer(chat, { delivered: seq, by: "device", read: seq }));
  }

  #historyChanged(): void {
    this.#next = undefined;
    for (const chat of this.#chats.values()) {
      const { pending, messages, name, group } = chat;
      const shown = this.#open.has(chat.id) ? messages : [];
      this.#put({
        ...emptyChat(chat.id),
        name,
        ...(group === undefined ? {} : { group }),
        pending,
        messages: shown,
        stale: true,
      });
    }
  }

  #catchUp(): void {
    void this.refresh().catch(() => {});
    for (const id of this.#open) {
      this.#groupChanged(id);
      const { loaded, stale } = this.chat(id);
      // A failure shows at the next look: the chat is still not loaded then.
      if (!loaded || stale) void this.#loadNewest(id).catch(() => {});
    }
  }

  /** Reads the head of the list again: cursors and unread counts may have moved. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#loadList(undefined).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #loadList(after: string | undefined): Promise<void> {
    const page = await this.#client.conversations({
      limit: LIST_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const row of page.conversations) {
      this.#put(withRow(this.chat(row.conversation), row, this.#client.user));
      // They are here now, or one look away. The row's own cursor does not tell whether a device said so already, for
      // the server may have answered for it.
      if (row.unread > 0) this.#client.markReceived(row.conversation, row.head);
    }
    // A refresh reads the head of a list of which more may be known.
    if (after !== undefined || !this.#listState.loaded) this.#next = page.next;
    this.#listState = { loaded: true, hasMore: this.#next !== undefined };
    this.#tell();
  }

  #loadNewest(id: string): Promise<void> {
    return this.#once(`newest ${id}`, async () => {
      const page = await this.#client.history({ conversation: id, limit: PAGE });
      for (const message of page.messages) this.#client.seen(message);
      this.#put(withNewestPage(this.chat(id), page, this.#client.user));
    });
  }

  /** Two wishes for the same thing are one. */
  #once(what: string, work: () => Promise<void>): Promise<void> {
    const running = this.#loading.get(what);
    if (running !== undefined) return running;
    const begun = work().finally(() => this.#loading.delete(what));
    this.#loading.set(what, begun);
    return begun;
  }

  #put(chat: Chat): void {
    if (this.#chats.get(chat.id) === chat) return;
    this.#chats.set(chat.id, chat);
    this.#tell();
  }

  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    void Promise.resolve().then(() => {
      this.#telling = false;
      this.#list = [...this.#chats.values()].filter(hasContent).sort(byLatest);
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

function hasContent({ last, pending, messages }: Chat): boolean {
  return last !== undefined || pending.length > 0 || messages.length > 0;
}

function latestMs({ last, pending, messages }: Chat): number {
  const times = [last, messages.at(-1), pending.at(-1)].map((message) => message?.sentAtMs ?? 0);
  return Math.max(...times);
}

function byLatest(a: Chat, b: Chat): number {
  return latestMs(b) - latestMs(a);
}
