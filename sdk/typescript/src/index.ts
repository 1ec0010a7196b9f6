export {
  type Chat,
  type ChatGroup,
  type ChatMessage,
  isNotice,
  type Receipt,
  readersOf,
  receiptOf,
} from "./chat.ts";
export {
  type ClientEvents,
  type ClientOptions,
  type DeliveredEvent,
  type Position,
  type ReadEvent,
  type ReadersEvent,
  RookeryClient,
} from "./client.ts";
export type { ConnectionState, Ended } from "./connection.ts";
export { conversationOf, groupOf, nameIn } from "./conversation.ts";
export { type ErrorCode, RookeryError } from "./errors.ts";
export type { FriendCalls } from "./friend-calls.ts";
export type { GroupCalls } from "./group-calls.ts";
export { MemoryOutboxStorage, type OutboxStorage, utf8Bytes } from "./outbox.ts";
export type { OutboxEntry } from "./outbox-queue.ts";
export { PeopleStore } from "./people-store.ts";
export type { PresenceCalls } from "./presence-calls.ts";
export type * from "./protocol.ts";
export { SUBPROTOCOL, WEBSOCKET_PATH } from "./protocol.ts";
export type { Timers, WebSocketConstructor, WebSocketLike } from "./runtime.ts";
export { ChatStore, type ListState } from "./store.ts";
export type { GetToken } from "./token-keeper.ts";
export type { OpenTransport, Transport, TransportEvents } from "./transport.ts";
