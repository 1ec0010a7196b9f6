import type { OutboxEntry } from "./outbox-queue.ts";
import type { Content, ConversationRow, HistoryPage, Message, Peer } from "./protocol.ts";

/** A message as it is shown. */
export interface ChatMessage {
  /** The same from its writing on: what a view knows it by. */
  readonly key: string;
  readonly clientMsgId: string;
  readonly from: string;
  readonly mine: boolean;
  readonly sentAtMs: number;
  readonly content: Content;
  /** Its place in the conversation, once it is stored. */
  readonly seq?: number;
  readonly state: "waiting" | "sending" | "stored" | "failed";
  /** Why it failed. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** A conversation as it is shown. Never changed: a newer state is another object. */
export interface Chat {
  /** As the protocol names it: `user:bob`. */
  readonly id: string;
  /** The other side. */
  readonly peer: string;
  /** The seq up to which `unread` and `last` take everything into account. */
  readonly head: number;
  readonly last?: ChatMessage;
  readonly unread: number;
  /** This user's own read cursor. */
  readonly read: number;
  /** How far a device of the other side has it, and how far the server answered for them. */
  readonly peerDelivered: number;
  readonly peerKept: number;
  readonly peerRead: number;
  /** Stored messages, without a gap, to the newest that is known. */
  readonly messages: readonly ChatMessage[];
  /** One's own that are on their way, or failed. */
  readonly pending: readonly ChatMessage[];
  /** Whether there is more before the first of `messages`. */
  readonly hasOlder: boolean;
  /** Whether `messages` were read from the log at least once. */
  readonly loaded: boolean;
  /** Whether `messages` belong to another history and wait to be replaced. */
  readonly stale: boolean;
}

/** What a tick at one's own message says. */
export type Receipt = "waiting" | "sending" | "failed" | "sent" | "delivered" | "read";

export function receiptOf(chat: Chat, message: ChatMessage): Receipt {
  if (message.state !== "stored") return message.state;
  const seq = message.seq ?? 0;
  if (seq <= chat.peerRead) return "read";
  return seq <= chat.peerDelivered ? "delivered" : "sent";
}

const USER = "user:";

export function emptyChat(id: string): Chat {
  return {
    id,
    peer: id.startsWith(USER) ? id.slice(USER.length) : id,
    head: 0,
    unread: 0,
    read: 0,
    peerDelivered: 0,
    peerKept: 0,
    peerRead: 0,
    messages: [],
    pending: [],
    hasOlder: true,
    loaded: false,
    stale: false,
  };
}

export function storedMessage(message: Message, me: string): ChatMessage {
  return {
    key: `${message.from}/${message.client_msg_id}`,
    clientMsgId: message.client_msg_id,
    from: message.from,
    mine: message.from === me,
    sentAtMs: message.sent_at_ms,
    content: message.content,
    seq: message.seq,
    state: "stored",
  };
}

export function pendingMessage(
  entry: OutboxEntry,
  me: string,
  state: "waiting" | "sending" | "failed",
): ChatMessage {
  return {
    key: `${me}/${entry.client_msg_id}`,
    clientMsgId: entry.client_msg_id,
    from: me,
    mine: true,
    sentAtMs: entry.created_at_ms,
    content: entry.content,
    state,
    ...(entry.failed === undefined ? {} : { error: entry.failed }),
  };
}

/** The chat with the next entry of its log. */
export function withMessage(chat: Chat, message: ChatMessage): Chat {
  const seq = message.seq ?? 0;
  const isNews = seq > chat.head;
  const counts = isNews && !message.mine && seq > chat.read;
  return {
    ...chat,
    ...withWindow(chat, message, seq),
    pending: without(chat.pending, message),
    ...(isNews ? { head: seq, last: message } : {}),
    unread: chat.unread + (counts ? 1 : 0),
  };
}

function withWindow(
  chat: Chat,
  message: ChatMessage,
  seq: number,
): Pick<Chat, "messages" | "hasOlder"> {
  const { messages, hasOlder } = chat;
  const last = messages.at(-1)?.seq;
  // What is stale is replaced as a whole soon, by a page that has this entry too.
  if (chat.stale || (last !== undefined && seq <= last)) return { messages, hasOlder };
  if (seq - 1 === last) return { messages: [...messages, message], hasOlder };
  // Nothing was loaded, or there is a hole: what is older is read from the log when it is looked for.
  return { messages: [message], hasOlder: seq > 1 };
}

/** The chat with the newest page of its log. */
export function withNewestPage(chat: Chat, page: HistoryPage, me: string): Chat {
  const fresh = page.messages.map((message) => storedMessage(message, me));
  const first = fresh[0]?.seq;
  const last = fresh.at(-1)?.seq ?? 0;
  const known = chat.stale ? [] : chat.messages;
  const joins = first === undefined || (known.at(-1)?.seq ?? 0) >= first - 1;
  const before = joins ? known.filter(({ seq = 0 }) => first !== undefined && seq < first) : [];
  const after = known.filter(({ seq = 0 }) => seq > last);
  return {
    ...withPeer(chat, page.peer),
    messages: [...before, ...fresh, ...after],
    pending: chat.pending.filter(
      (own) => !fresh.some(({ key }) => key === own.key) && (own.seq ?? Infinity) > last,
    ),
    hasOlder: before.length > 0 ? chat.hasOlder : page.has_more,
    loaded: true,
    stale: false,
  };
}

/** The chat with the page before what it has. */
export function withOlderPage(chat: Chat, page: HistoryPage, me: string): Chat {
  const first = chat.messages[0]?.seq ?? Infinity;
  const older = page.messages
    .filter(({ seq }) => seq < first)
    .map((message) => storedMessage(message, me));
  return {
    ...withPeer(chat, page.peer),
    messages: [...older, ...chat.messages],
    hasOlder: page.has_more,
  };
}

/** The chat with what the list says of it. */
export function withRow(chat: Chat, row: ConversationRow, me: string): Chat {
  const read = Math.max(chat.read, row.read);
  const isNewer = row.head >= chat.head;
  const head = isNewer ? row.head : chat.head;
  // Messages may have come while the list was on its way.
  const since = isNewer ? 0 : unreadIn(chat.messages, row.head);
  const merged: Chat = {
    ...withPeer(chat, row.peer),
    head,
    ...(isNewer ? { last: storedMessage(row.last_message, me) } : {}),
    unread: row.unread + since,
    read: row.read,
  };
  return read > row.read ? withRead(merged, read) : merged;
}

/** The chat after this user read it up to there. */
export function withRead(chat: Chat, seq: number): Chat {
  if (seq <= chat.read) return chat;
  const read = seq;
  if (read >= chat.head) return { ...chat, read, unread: 0 };
  const first = chat.messages[0]?.seq ?? Infinity;
  const known = first <= read + 1 ? unreadIn(chat.messages, read) : chat.head - read;
  return { ...chat, read, unread: Math.min(chat.unread, known) };
}

/** The chat after a cursor of the other side moved. */
export function withPeer(chat: Chat, peer: Peer | undefined): Chat {
  if (peer === undefined) return chat;
  const peerRead = Math.max(chat.peerRead, peer.read ?? 0);
  const delivered = peer.by === "device" ? peer.delivered : 0;
  return {
    ...chat,
    peerRead,
    peerDelivered: Math.max(chat.peerDelivered, delivered, peerRead),
    peerKept: Math.max(chat.peerKept, peer.delivered),
  };
}

/** The chat with one of its own messages on its way, or further on it. */
export function withPending(chat: Chat, message: ChatMessage): Chat {
  const at = chat.pending.findIndex(({ key }) => key === message.key);
  const pending =
    at < 0
      ? [...chat.pending, message]
      : chat.pending.map((own, index) => (index === at ? message : own));
  return { ...chat, pending };
}

export function withoutPending(chat: Chat, clientMsgId: string): Chat {
  return { ...chat, pending: chat.pending.filter((own) => own.clientMsgId !== clientMsgId) };
}

function without(pending: readonly ChatMessage[], message: ChatMessage): readonly ChatMessage[] {
  return pending.some(({ key }) => key === message.key)
    ? pending.filter(({ key }) => key !== message.key)
    : pending;
}

function unreadIn(messages: readonly ChatMessage[], above: number): number {
  return messages.filter(({ mine, seq = 0 }) => !mine && seq > above).length;
}
