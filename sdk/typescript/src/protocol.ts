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
} | { "type": "notice" } & Notice;

/** What happened to a group, for its log. */
export type Notice = {
  /** What happened. */
  action: NoticeAction;
  /** To whom: who became or ceased to be a member; empty where no member moved. */
  users?: Array<string>;
  /** The group's name from then on, where it was given one. */
  name?: string;
  /** The group's owner from then on, where it has another one. */
  owner?: string;
};

/** What can happen to a group. */
export type NoticeAction = "created" | "added" | "joined" | "left" | "removed" | "renamed" | "dissolved";

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

/** The kind of a group: which rules hold in it. */
export type GroupKind = "work" | "meeting";

/** What a member may do in a group. */
export type Role = "owner" | "member";

/** A group as one who may see it sees it: the reply to `group.get`, and a row of `group.list`. */
export type GroupInfo = {
  /** Its id. */
  group: string;
  /** The conversation to send to. */
  conversation: string;
  /** Its kind. */
  kind: GroupKind;
  /** What people call it. */
  name: string;
  /** Its owner; none once it was dissolved. */
  owner?: string;
  /** How many members it has. */
  members: number;
  /** When it was made. */
  created_at_ms: number;
  /** The reader's own role; absent for one who is not a member. */
  role?: Role;
  /** Whether it was dissolved; absent means no. */
  dissolved?: boolean;
};

/** A group beside its row in the list of conversations. */
export type GroupSummary = {
  /** Its kind. */
  kind: GroupKind;
  /** What people call it. */
  name: string;
  /** How many members it has. */
  members: number;
  /** The first entry that the reader may see. */
  min_seq: number;
  /** Whether the reader is a former member; absent means no. */
  left?: boolean;
};

/** A group in the reply to `sync`: it moved, or the client did not name it, or the client named it and has left it. */
export type GroupHead = {
  /** The group. */
  group: string;
  /** Its head; for a former member the last entry that one may see. */
  head: number;
  /** The first entry that the reader may see. */
  min_seq: number;
  /** Whether the reader is a former member; absent means no. */
  left?: boolean;
};

/** One member of a group. */
export type Member = {
  /** Who. */
  user: string;
  /** As what. */
  role: Role;
  /** Since when. */
  joined_at_ms: number;
  /** Up to where the member has read; absent in groups of more than 500, and where `receipts.read` is `off`. */
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
  /** The seqs up to which the client has everything of these groups, at most 500. */
  groups?: Record<string, number>;
  /** Where the page of groups begins, as the last reply's `next` gave it; all else is sent again unchanged. */
  after?: string;
};

/** The reply to `sync`. */
export type Synced = {
  /** The epoch of the store; another one than the client's ends all its positions. */
  epoch: string;
  /** The inbox's head. */
  inbox: number;
  /** The reader's groups that moved or that the client did not name, and those that it named and has left. */
  groups: Array<GroupHead>;
  /** Where the next page of groups begins, if there is one: send the same again with `after` set to it. */
  next?: string;
};

/** The body of `ping`: the client's position in what is on screen. */
export type Ping = {
  /** The inbox number up to which the client has everything. */
  inbox?: number;
  /** The seqs up to which the client has everything of these groups, at most 50. */
  groups?: Record<string, number>;
};

/** The heads of what a client lacks. */
export type Behind = {
  /** The inbox's head. */
  inbox?: number;
  /** The heads of groups that the client named and lacks something of. */
  groups?: Record<string, number>;
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
  /** Messages of others above the viewer's read cursor; always 0 in a `meeting`, which counts none. */
  unread: number;
  /** The viewer's own read cursor. */
  read: number;
  /** The viewer's own delivered cursor; absent for groups, which have none. */
  delivered?: number;
  /** How far the other side is; absent in a pair with oneself. */
  peer?: Peer;
  /** The group; absent for one-to-one conversations. */
  group?: GroupSummary;
};

/** The reply to `conversation.list`, newest first. */
export type ConversationsPage = {
  /** The rows. */
  conversations: Array<ConversationRow>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** The body of `group.create`. */
export type GroupCreate = {
  /** The group's id; the server makes one when it is left out. */
  group?: string;
  /** The kind of group, for ever. */
  kind: GroupKind;
  /** What people call it: 1 to 30 characters, see [`GroupName`]. */
  name: string;
  /** The first members besides the maker, who becomes the owner; at most 100. */
  members?: Array<string>;
};

/** The reply to `group.create`. */
export type GroupCreated = {
  /** Its id. */
  group: string;
  /** The conversation to send to. */
  conversation: string;
};

/** The body of the commands that name a group and nothing else. */
export type GroupRef = {
  /** The group. */
  group: string;
};

/** The body of `group.list`: the groups that one is a member of. */
export type GroupList = {
  /** Where the page begins, as the last reply's `next` gave it. */
  after?: string;
  /** Rows, 50 when left out, at most 200. */
  limit?: number;
};

/** The reply to `group.list`. */
export type GroupsPage = {
  /** The rows. */
  groups: Array<GroupInfo>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** The body of `group.update`. */
export type GroupUpdate = {
  /** The group. */
  group: string;
  /** Its name from now on. */
  name: string;
};

/** The body of `group.members`. */
export type GroupMembers = {
  /** The group. */
  group: string;
  /** Where the page begins, as the last reply's `next` gave it. */
  after?: string;
  /** Rows, 50 when left out, at most 200. */
  limit?: number;
};

/** The reply to `group.members`. */
export type MembersPage = {
  /** The rows, in an order that stays. */
  members: Array<Member>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** The body of `group.invite` and `group.remove`. */
export type GroupUsers = {
  /** The group. */
  group: string;
  /** One user; this or `users`. */
  user?: string;
  /** Users, at most 100; one who is named twice counts once. */
  users?: Array<string>;
};

/** The reply to the commands that change a group: what it led to. */
export type GroupChanged = {
  /** The group. */
  group: string;
  /** The seq of the notice; absent when everything was so already and nothing was written. */
  seq?: number;
  /** Who became or ceased to be a member. */
  users?: Array<string>;
};

/** The body of `token.renew`. */
export type TokenRenew = {
  /** A new UserSig of the session's user, signed by the app's backend. */
  token: string;
};

/** The reply to `token.renew`. */
export type TokenRenewed = {
  /** Until when the session may go on with it. */
  expires_at_ms: number;
};

/** The body of the lists that are asked for by page and nothing else: `device.list`, `friend.list`. */
export type Page = {
  /** Where the page begins, as the last reply's `next` gave it. */
  after?: string;
  /** Rows, 50 when left out, at most 200. */
  limit?: number;
};

/** One device of a user. */
export type DeviceRow = {
  /** The device. */
  device: Device;
  /** Whether it has a session. */
  online: boolean;
  /** Whether it is the one that asks; absent means no. */
  current?: boolean;
  /** Its last login. */
  login_no: string;
  /** When that was. */
  logged_in_at_ms: number;
  /** When its last session ended; absent while it has one. */
  ended_at_ms?: number;
};

/** The reply to `device.list`: the devices that the user has logged in from, last login first. */
export type DevicesPage = {
  /** The rows. */
  devices: Array<DeviceRow>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** The body of `device.kick`: either `device` or `all`. */
export type DeviceKick = {
  /** The device whose session ends; also one's own. */
  device?: string;
  /** Its platform, where one id is used on several; without it, on all of them. */
  platform?: Platform;
  /** Whether all sessions of the user end but the one that asks; absent means no. */
  all?: boolean;
};

/** The reply to `device.kick`: the sessions that it ended. None of them comes back by itself. */
export type DevicesEnded = {
  /** Whose sessions were ended; none when nobody was in. */
  ended: Array<Device>;
};

/** The body of `friend.add` and `friend.remove`. */
export type FriendRef = {
  /** Who. */
  user: string;
};

/** What somebody is to a user. */
export type FriendState = "friends" | "none";

/** The reply to `friend.add` and `friend.remove`. */
export type FriendReply = {
  /** What the two are from now on. */
  state: FriendState;
};

/** A friend. */
export type Friend = {
  /** Who. */
  user: string;
  /** Since when. */
  since_ms: number;
};

/** The reply to `friend.list`, by their ids. */
export type FriendsPage = {
  /** The rows. */
  friends: Array<Friend>;
  /** Where the next page begins, if there is one. */
  next?: string;
};

/** Whether a device, or a user by the best of their devices, is there. */
export type PresenceState = "online" | "background" | "offline";

/** Whether a connected device is in front of its user. */
export type DeviceState = "online" | "background";

/** What a user says of themselves. */
export type Status = "available" | "away" | "busy" | "dnd" | "invisible";

/** Who sees when a user was last there. */
export type LastSeen = "everyone" | "friends" | "nobody";

/** The best device of one platform. */
export type PlatformPresence = {
  /** The platform. */
  platform: Platform;
  /** Whether it is in front. */
  state: DeviceState;
};

/** Whether somebody is there, as far as the reader may see. */
export type Presence = {
  /** Who. */
  user: string;
  /** The best of their devices. */
  state: PresenceState;
  /** What they are there with, the best first; absent when offline. */
  platforms?: Array<PlatformPresence>;
  /** What they say of themselves; absent when offline. Only oneself sees `invisible`. */
  status?: Status;
  /** The words beside it. */
  text?: string;
  /** Until when that holds. */
  until_ms?: number;
  /** When they were last there, to the minute; only when offline, and only to those who may see it. */
  last_seen_ms?: number;
};

/** The reply to `presence.get` and `presence.set`, and the body of `presence.changed`: each user once, in the order in
* which they were asked for. */
export type Presences = {
  /** The rows. */
  presences: Array<Presence>;
};

/** The body of `presence.set`: what is left out stays as it is. */
export type PresenceSet = {
  /** Whether this device is in front; each login begins in front. */
  state?: DeviceState;
  /** What the user says of themselves, on all devices. Takes the place of the former status, words and end included. */
  status?: Status;
  /** The words beside `status`, at most 128 bytes; none when left out. */
  text?: string;
  /** Until when `status` holds; then it is `available` without words. Without it, until it is set again. */
  until_ms?: number;
  /** Who sees from now on when the user was last there. */
  last_seen?: LastSeen;
};

/** The body of `presence.get`. */
export type PresenceGet = {
  /** Of whom, at most 500; one who is named twice is answered once. */
  users: Array<string>;
};

/** The body of `presence.watch`. */
export type PresenceWatch = {
  /** Whom to watch, at most 200; one who is watched already is watched for longer. */
  users: Array<string>;
  /** For how many seconds, from 1 to 3600; 300 when left out. */
  ttl_s?: number;
};

/** The body of `presence.unwatch`. */
export type PresenceUnwatch = {
  /** Whom not to watch any more; everyone when left out. */
  users?: Array<string>;
};

/** The reply to `presence.watch`. */
export type Watching = {
  /** How those who were named are; changes follow as `presence.changed`. */
  presences: Array<Presence>;
  /** Until when they are watched. */
  until_ms: number;
  /** Who had to make room, and is not watched any more: the ones watched for longest. */
  dropped?: Array<string>;
};

/** Why a command was not carried out. Stable: clients branch on it. */
export type Code = "bad_request" | "unknown_command" | "too_large" | "not_logged_in" | "bad_token" | "token_expired" | "forbidden" | "not_found" | "not_a_member" | "full" | "conflict" | "key_reused" | "stale_key" | "clock_ahead" | "order_broken" | "rate_limited" | "busy" | "unavailable" | "outcome_unknown";

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
  /** The devices that are in, where the app turns newcomers away. */
  devices?: Array<Device>;
};

/** Why a session was ended by a decision. */
export type KickReason = "replaced" | "policy" | "kicked" | "revoked";

/** The body of the event `message.read`. */
export type ReadEvent = {
  /** The conversation. */
  conversation: string;
  /** The seq up to which was read. */
  seq: number;
  /** By whom. */
  user: string;
} | {
  /** The group's conversation. */
  conversation: string;
  /** The receiver's own messages that were newly read, rising; the newest where there are many. */
  counts: Array<ReadCount>;
};

/** How many others have read a message. */
export type ReadCount = {
  /** The message. */
  seq: number;
  /** Members who have read it, its author left out. */
  readers: number;
};

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
  } } | { "event": "message.read", "body": ReadEvent } | { "event": "group.changed", "body": {
    /** The group. */
    group: string;
  } } | { "event": "friend.changed", "body": {
    /** Who. */
    user: string;
    /** What they are from now on. */
    state: FriendState;
  } } | { "event": "presence.changed", "body": Presences } | { "event": "token.expiring", "body": {
    /** When. */
    expires_at_ms: number;
  } } | { "event": "sync.needed", "body": Record<symbol, never> } | { "event": "session.kicked", "body": {
    /** Why. */
    reason: KickReason;
    /** The device that did it by its login or by a command, where one did. */
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
  "group.create": { body: GroupCreate; reply: GroupCreated };
  "group.get": { body: GroupRef; reply: GroupInfo };
  "group.list": { body: GroupList; reply: GroupsPage };
  "group.update": { body: GroupUpdate; reply: GroupChanged };
  "group.members": { body: GroupMembers; reply: MembersPage };
  "group.invite": { body: GroupUsers; reply: GroupChanged };
  "group.join": { body: GroupRef; reply: GroupChanged };
  "group.leave": { body: GroupRef; reply: GroupChanged };
  "group.remove": { body: GroupUsers; reply: GroupChanged };
  "group.dissolve": { body: GroupRef; reply: GroupChanged };
  "token.renew": { body: TokenRenew; reply: TokenRenewed };
  "device.list": { body: Page; reply: DevicesPage };
  "device.kick": { body: DeviceKick; reply: DevicesEnded };
  "friend.add": { body: FriendRef; reply: FriendReply };
  "friend.remove": { body: FriendRef; reply: FriendReply };
  "friend.list": { body: Page; reply: FriendsPage };
  "presence.set": { body: PresenceSet; reply: Presences };
  "presence.get": { body: PresenceGet; reply: Presences };
  "presence.watch": { body: PresenceWatch; reply: Watching };
  "presence.unwatch": { body: PresenceUnwatch; reply: Record<string, never> };
}
