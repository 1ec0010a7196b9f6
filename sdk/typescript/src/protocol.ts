// Generated from src/protocol/ by a test of the server; do not edit.
// To write it anew: UPDATE=1 cargo test protocol::typescript

/** The WebSocket subprotocol of the JSON codec. */
export const SUBPROTOCOL = "rookery.v1.json";

/** The path at which the WebSocket is opened. */
export const WEBSOCKET_PATH = "/v1/ws";

/** The kind of client that a device is. */
export type Platform = "web" | "ios" | "android" | "windows" | "macos" | "linux" | "api";

/** One installed client of a user. */
export type Device = {
  /** The client's own name for itself, kept for as long as it is installed. */
  id: string;
  /** What kind of client it is. */
  platform: Platform;
  /** What people call it; at most 128 bytes. */
  name?: string;
};

/** The content of an entry; what kind of entry it is stands in `type`. */
export type Content = { "type": "text";
  /** Any Unicode text, NUL included. */
  text: string;
} | { "type": "custom";
  /** The app's own text, often JSON. */
  data: string;
};

/** Who says that a message was delivered. */
export type DeliveredBy = "device" | "server";

/** An entry of a log, as pushes and pages carry it. */
export type Message = {
  /** The conversation, as its reader names it. */
  conversation: string;
  /** Its place in the conversation. */
  seq: number;
  /** Its place in the reader's inbox. */
  inbox?: number;
  /** The message's id. */
  message_id: string;
  /** The id that its sender minted. */
  client_msg_id: string;
  /** Who sent it. */
  from: string;
  /** When, by the server's clock. */
  sent_at_ms: number;
  /** What it says. */
  content: Content;
  /** Users that it calls by name. */
  mentions?: Array<string>;
  /** The seq that it answers. */
  reply_to?: number;
};

/** How far the other side of a pair is. */
export type Peer = {
  /** The seq up to which the messages were delivered. */
  delivered: number;
  /** Who says so. */
  by: DeliveredBy;
  /** The seq up to which the other side has read; absent where `receipts.read` is `off`. */
  read?: number;
};

/** The body of `login`: the first command of a session. */
export type Login = {
  /** The app; 1 when left out. */
  app?: number;
  /** Who logs in. */
  user: string;
  /** A UserSig in Tencent's v2 form, signed by the app's backend. */
  token: string;
  /** From which device. */
  device: Device;
  /** Left out when a person logs in; given when a client comes back by itself. */
  resume?: Resume;
  /** What the client has, as in `sync`; left out means nothing. */
  sync?: Sync;
};

/** The session that a client goes on with. */
export type Resume = {
  /** Its login number. */
  login_no: string;
};

/** The reply to `login`. */
export type LoggedIn = {
  /** Names the session in logs; opaque. */
  session: string;
  /** This session's login number; a client that comes back names it in `resume`. */
  login_no: string;
  /** The epoch of the store. */
  epoch: string;
  /** The server's time, for client message ids. */
  server_time_ms: number;
  /** How often to send `ping`, in seconds. */
  heartbeat_s: number;
  /** The bounds that a client must keep. */
  limits: Limits;
  /** The first page of `sync`. */
  sync: Synced;
};

/** The bounds that a client must keep. */
export type Limits = {
  /** The largest frame that a client may send, in bytes. */
  frame_bytes: number;
  /** The largest content of a message: bytes of its text or data, in UTF-8. */
  content_bytes: number;
  /** Commands in flight; beyond it the socket is not read. */
  in_flight: number;
  /** Entries a page at most. */
  page: number;
};

/** The body of `sync`: the client's position. */
export type Sync = {
  /** The epoch that the position belongs to. */
  epoch?: string;
  /** The inbox number up to which the client has everything. */
  inbox?: number;
};

/** The reply to `sync`. */
export type Synced = {
  /** The epoch of the store; another one than the client's ends all its positions. */
  epoch: string;
  /** The inbox's head. */
  inbox: number;
  /** Groups that moved: none, for there are no groups yet. */
  groups: Array<never>;
};

/** The body of `ping`: the client's position in what is on screen. */
export type Ping = {
  /** The inbox number up to which the client has everything. */
  inbox?: number;
};

/** The heads of what a client lacks. */
export type Behind = {
  /** The inbox's head. */
  inbox?: number;
};

/** The reply to `ping`. */
export type Pong = {
  /** The server's time. */
  server_time_ms: number;
  /** What the client lacks, as far as the server's memory knows. */
  behind?: Behind;
};

/** The body of `message.send`. */
export type Send = {
  /** The conversation that the message goes to. */
  to: string;
  /** A UUIDv7, minted once and the same in every retransmission. */
  client_msg_id: string;
  /** What the message says. */
  content: Content;
  /** Users that the message calls by name, at most 100. */
  mentions?: Array<string>;
  /** The seq of the message that this one answers. */
  reply_to?: number;
};

/** The reply to `message.send`: the message is committed, with this seq. */
export type Sent = {
  /** The conversation. */
  conversation: string;
  /** Its place in the conversation. */
  seq: number;
  /** Its place in the sender's own inbox; absent in a repeat. */
  inbox?: number;
  /** The message's id. */
  message_id: string;
  /** When it was sent, by the server's clock. */
  sent_at_ms: number;
  /** Whether it was stored before, and this is the first answer again. */
  duplicate: boolean;
};

/** The body of `message.received` and `message.read`. */
export type CursorCommand = {
  /** The conversation. */
  conversation: string;
  /** The seq up to which it happened; beyond the head counts as the head. */
  seq: number;
};

/** The reply to `message.received` and `message.read`: the cursor as it now stands. */
export type CursorReply = {
  /** The conversation. */
  conversation: string;
  /** The cursor as it now stands. */
  seq: number;
};

/** The body of `message.inbox`: the one-to-one entries of all conversations. */
export type Inbox = {
  /** The inbox number after which the page begins. */
  after: number;
  /** Entries, 50 when left out, at most 200. */
  limit?: number;
};

/** The reply to `message.inbox`, in rising order. */
export type InboxPage = {
  /** The entries. */
  messages: Array<Message>;
  /** The inbox's head. */
  head: number;
  /** Whether there is more after the last entry. */
  has_more: boolean;
};

/** The body of `message.history`: one conversation's log, newest page when neither end is named. */
export type History = {
  /** The conversation. */
  conversation: string;
  /** The page begins after this seq. */
  after?: number;
  /** The page ends before this seq. */
  before?: number;
  /** Entries, 50 when left out, at most 200. */
  limit?: number;
};

/** The reply to `message.history`, in rising order. */
export type HistoryPage = {
  /** The entries. */
  messages: Array<Message>;
  /** The conversation's head. */
  head: number;
  /** The first seq that the reader may see. */
  min_seq: number;
  /** Whether there is more in the direction that was asked for (backwards when neither end was named). */
  has_more: boolean;
  /** How far the other side is; absent in a pair with oneself. */
  peer?: Peer;
};

/** The body of `conversation.list`: newest first. */
export type ConversationList = {
  /** Where the page begins, as the last reply's `next` gave it. */
  after?: string;
  /** Rows, 50 when left out, at most 200. */
  limit?: number;
};

/** One conversation as its viewer sees it. */
export type ConversationRow = {
  /** The conversation. */
  conversation: string;
  /** Its head. */
  head: number;
  /** The last message as it stands now. */
  last_message: Message;
  /** Messages of others above the viewer's read cursor. */
  unread: number;
  /** The viewer's own read cursor. */
  read: number;
  /** The viewer's own delivered cursor. */
  delivered: number;
  /** How far the other side is; absent in a pair with oneself. */
  peer?: Peer;
};

/** The reply to `conversation.list`, newest first. */
export type ConversationsPage = {
  /** The rows. */
  conversations: Array<ConversationRow>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** Why a command was not carried out. Stable: clients branch on it. */
export type Code = "bad_request" | "unknown_command" | "too_large" | "not_logged_in" | "bad_token" | "token_expired" | "forbidden" | "not_found" | "conflict" | "key_reused" | "stale_key" | "clock_ahead" | "order_broken" | "rate_limited" | "busy" | "unavailable" | "outcome_unknown";

/** The `error` of a reply. */
export type ErrorBody = {
  /** Stable, for programs. */
  code: Code;
  /** For people; may change. */
  message: string;
  /** When to try again, in milliseconds from now. */
  retry_after_ms?: number;
  /** The field that is wrong. */
  field?: string;
  /** The server's time, where the client's clock was the fault. */
  server_time_ms?: number;
  /** The message that must come first. */
  client_msg_id?: string;
};

/** Why a session was ended by a decision. */
export type KickReason = "replaced" | "policy";

/** An event. */
export type Event = { "event": "message.new", "body": Message } | { "event": "message.delivered", "body": {
    /** The conversation. */
    conversation: string;
    /** The seq up to which it was delivered. */
    seq: number;
    /** To whom. */
    user: string;
    /** Who says so. */
    by: DeliveredBy;
  } } | { "event": "message.read", "body": {
    /** The conversation. */
    conversation: string;
    /** The seq up to which was read. */
    seq: number;
    /** By whom. */
    user: string;
  } } | { "event": "sync.needed", "body": Record<symbol, never> } | { "event": "session.kicked", "body": {
    /** Why. */
    reason: KickReason;
    /** The device whose login did it, where one did. */
    by?: string;
    /** When. */
    at_ms: number;
  } } | { "event": "session.draining", "body": {
    /** When to come back, in milliseconds from now. */
    reconnect_after_ms: number;
  } } | { "event": "session.closing", "body": {
    /** The close code that follows. */
    code: number;
    /** What it means, for people. */
    reason: string;
    /** When to come back, in milliseconds from now, where coming back makes sense. */
    reconnect_after_ms?: number;
  } };

/** Each command with its body and the `ok` of its reply. */
export interface Commands {
  "login": { body: Login; reply: LoggedIn };
  "logout": { body: Record<string, never>; reply: Record<string, never> };
  "ping": { body: Ping; reply: Pong };
  "sync": { body: Sync; reply: Synced };
  "message.send": { body: Send; reply: Sent };
  "message.received": { body: CursorCommand; reply: CursorReply };
  "message.read": { body: CursorCommand; reply: CursorReply };
  "message.inbox": { body: Inbox; reply: InboxPage };
  "message.history": { body: History; reply: HistoryPage };
  "conversation.list": { body: ConversationList; reply: ConversationsPage };
}
