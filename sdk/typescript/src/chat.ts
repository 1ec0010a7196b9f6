import { groupOf, nameIn } from "./conversation.ts";
import type { OutboxEntry } from "./outbox-queue.ts";
import type {
  Content,
  ConversationRow,
  GroupInfo,
  GroupKind,
  HistoryPage,
  Member,
  Message,
  Notice,
  Peer,
  ReadCount,
  Role,
} from "./protocol.ts";

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

/** What is known of the group that a conversation belongs to. */
export interface ChatGroup {
  readonly kind: GroupKind;
  readonly name: string;
  readonly members: number;
  /** Whether this user is a former member, who sees what was said until then. */
  readonly left: boolean;
  /** Nobody can write any more. */
  readonly dissolved: boolean;
  /** As what this user is a member; none while it is not known, and for those who are none. */
  readonly role?: Role;
}

/** A conversation as it is shown. Never changed: a newer state is another object. */
export interface Chat {
  /** As the protocol names it: `user:bob`, `group:eng`. */
  readonly id: string;
  /** The other side, or the id of the group. */
  readonly peer: string;
  /** What people call it: the other side, or the group's name, and its id while that is not known. */
  readonly name: string;
  /** For groups, once it is known. */
  readonly group?: ChatGroup;
  /** The first entry that this user may see. */
  readonly minSeq: number;
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
  /** In groups: how many have read this user's messages, as was last told, by rising seq. */
  readonly counts: readonly ReadCount[];
  /** In groups whose server tells: up to where each other member has read, as was last asked. */
  readonly reads: readonly number[];
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

/** Counts of readers that a chat keeps: those of the newest messages. */
const COUNTS_KEPT = 200;

/** What a tick at one's own message says. */
export type Receipt = "waiting" | "sending" | "failed" | "sent" | "delivered" | "read";

export function receiptOf(chat: Chat, message: ChatMessage): Receipt {
  if (message.state !== "stored") return message.state;
  const seq = message.seq ?? 0;
  if (groupOf(chat.id) !== undefined) {
    const others = (chat.group?.members ?? 0) - 1;
    return others > 0 && readersOf(chat, message) >= others ? "read" : "sent";
  }
  if (seq <= chat.peerRead) return "read";
  return seq <= chat.peerDelivered ? "delivered" : "sent";
}

/** How many others in a group have read this user's message, as far as is known. */
export function readersOf(chat: Chat, { seq = Infinity }: ChatMessage): number {
  const cursors = chat.reads.filter((read) => read >= seq).length;
  // Who has read a later one has read this one too.
  const counted = chat.counts.filter((count) => count.seq >= seq).map(({ readers }) => readers);
  return Math.max(cursors, ...counted);
}

/** Whether there is something that somebody else said after what this user has read. */
export function hasUnread({ messages, read }: Chat): boolean {
  return messages.some(
    (message) => !message.mine && !isNotice(message) && (message.seq ?? 0) > read,
  );
}

export function isNotice({ content }: ChatMessage): boolean {
  return content.type === "notice";
}

export function emptyChat(id: string): Chat {
  return {
    id,
    peer: nameIn(id),
    name: nameIn(id),
    minSeq: 1,
    head: 0,
    unread: 0,
    read: 0,
    peerDelivered: 0,
    peerKept: 0,
    peerRead: 0,
    counts: [],
    reads: [],
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
  const counts = isNews && seq > chat.read && counted(chat, [message], 0) > 0;
  return {
    ...chat,
    ...withWindow(chat, message, seq),
    pending: without(chat.pending, message),
    ...(isNews ? { head: seq, last: message } : {}),
    unread: chat.unread + (counts ? 1 : 0),
  };
}

/** The chat after what a notice tells, if it is news. How many members there are now is told by `group.get`. */
export function withNotice(chat: Chat, from: string, notice: Notice, me: string): Chat {
  const name = notice.name ?? chat.name;
  if (chat.group === undefined) return { ...chat, name };
  const outside = withLeft(chat);
  const isMeant = notice.users?.includes(me) ?? false;
  switch (notice.action) {
    case "left":
      if (from === me) return outside;
      break;
    case "removed":
      if (isMeant) return outside;
      break;
    case "dissolved":
      return withLeft({ ...chat, group: { ...chat.group, members: 0, dissolved: true } });
    case "added":
      if (isMeant) return { ...chat, group: { ...chat.group, left: false } };
      break;
    case "joined":
      if (from === me) return { ...chat, group: { ...chat.group, left: false } };
      break;
  }
  return { ...chat, name, group: { ...chat.group, name } };
}

/** The group as the server tells it now. */
export function withGroup(chat: Chat, info: GroupInfo): Chat {
  const { kind, name, members, role, dissolved = false } = info;
  const group: ChatGroup = {
    kind,
    name,
    members,
    left: role === undefined,
    dissolved,
    ...(role === undefined ? {} : { role }),
  };
  const fresh: Chat = { ...chat, name, group };
  // Until the kind was known, nothing was counted.
  if (chat.group !== undefined) return fresh;
  return { ...fresh, unread: counted(fresh, chat.messages, chat.read) };
}

/** The chat of a group that its server says this user is no member of. */
export function withLeft(chat: Chat): Chat {
  if (chat.group === undefined) return chat;
  const { kind, name, members, dissolved } = chat.group;
  return { ...chat, group: { kind, name, members, left: true, dissolved } };
}

/** The chat after its members were asked how far they have read. */
export function withReads(chat: Chat, members: readonly Member[], me: string): Chat {
  const reads = members.filter(({ user }) => user !== me).map(({ read = 0 }) => read);
  return { ...chat, reads, counts: [] };
}

/** The chat after more members have read. */
export function withCounts(chat: Chat, counts: readonly ReadCount[]): Chat {
  const told = new Set(counts.map(({ seq }) => seq));
  const all = [...chat.counts.filter(({ seq }) => !told.has(seq)), ...counts];
  all.sort((a, b) => a.seq - b.seq);
  return { ...chat, counts: all.slice(-COUNTS_KEPT) };
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
  return { messages: [message], hasOlder: seq > chat.minSeq };
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
    minSeq: page.min_seq,
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
    minSeq: page.min_seq,
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
  const known = withSummary(chat, row);
  const since = isNewer ? 0 : counted(known, chat.messages, row.head);
  const merged: Chat = {
    ...withPeer(known, row.peer),
    head,
    ...(isNewer ? { last: storedMessage(row.last_message, me) } : {}),
    unread: row.unread + since,
    read: row.read,
  };
  return read > row.read ? withRead(merged, read) : merged;
}

/** What a row of the list says of a group; its role and its end are told by `group.get` alone. */
function withSummary(chat: Chat, { group }: ConversationRow): Chat {
  if (group === undefined) return chat;
  const { kind, name, members, min_seq, left = false } = group;
  const { dissolved = false, role } = chat.group ?? {};
  return {
    ...chat,
    name,
    minSeq: min_seq,
    group: {
      kind,
      name,
      members,
      left,
      dissolved,
      ...(role === undefined || left ? {} : { role }),
    },
  };
}

/** The chat after this user read it up to there. */
export function withRead(chat: Chat, seq: number): Chat {
  if (seq <= chat.read) return chat;
  const read = seq;
  if (read >= chat.head) return { ...chat, read, unread: 0 };
  const first = chat.messages[0]?.seq ?? Infinity;
  const known = first <= read + 1 ? counted(chat, chat.messages, read) : chat.head - read;
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

/** How many of these messages count as unread above a seq: others' words, where unread is counted at all. */
function counted(chat: Chat, messages: readonly ChatMessage[], above: number): number {
  const isGroup = groupOf(chat.id) !== undefined;
  if (isGroup && chat.group?.kind !== "work") return 0;
  return messages.filter(
    (message) => !message.mine && !isNotice(message) && (message.seq ?? 0) > above,
  ).length;
}
