import assert from "node:assert/strict";
import test from "node:test";
import {
  type Chat,
  emptyChat,
  receiptOf,
  storedMessage,
  withMessage,
  withNewestPage,
  withOlderPage,
  withPeer,
  withRead,
  withRow,
} from "../src/chat.ts";
import type { ConversationRow, HistoryPage, Message } from "../src/protocol.ts";

const ME = "alice";

function message(seq: number, from = "bob"): Message {
  return {
    conversation: "user:bob",
    seq,
    message_id: `${seq}`,
    client_msg_id: `id-${seq}`,
    from,
    sent_at_ms: seq,
    content: { type: "text", text: `${seq}` },
  };
}

function page(first: number, last: number, hasMore = first > 1): HistoryPage {
  const messages = Array.from({ length: last - first + 1 }, (_, index) => message(first + index));
  return { messages, head: last, min_seq: 1, has_more: hasMore };
}

function row(head: number, unread: number, read: number): ConversationRow {
  return {
    conversation: "user:bob",
    head,
    last_message: message(head),
    unread,
    read,
    delivered: head,
  };
}

function seqs({ messages }: Chat): number[] {
  return messages.map(({ seq = 0 }) => seq);
}

function after(chat: Chat, ...messages: Message[]): Chat {
  return messages.reduce((next, each) => withMessage(next, storedMessage(each, ME)), chat);
}

test("messages of others are unread until they are read, one's own never are", () => {
  const chat = after(emptyChat("user:bob"), message(1), message(2, ME), message(3));
  assert.equal(chat.unread, 2);

  assert.equal(withRead(chat, 1).unread, 1);
  assert.equal(withRead(chat, 3).unread, 0);
  assert.equal(withRead(withRead(chat, 3), 1).unread, 0, "a cursor only rises");
});

test("a message that the list counted already is not counted again", () => {
  const listed = withRow(emptyChat("user:bob"), row(5, 2, 3), ME);

  const chat = after(listed, message(4), message(5), message(6));

  assert.equal(chat.unread, 3);
  assert.equal(chat.last?.seq, 6);
});

test("a list that is older than what was pushed meanwhile does not take it back", () => {
  const chat = after(emptyChat("user:bob"), message(6), message(7, ME), message(8));

  const listed = withRow(chat, row(6, 4, 2), ME);

  assert.equal(listed.unread, 5);
  assert.equal(listed.head, 8);
  assert.equal(listed.last?.seq, 8);
});

test("what was read here is not unread because an older list says so", () => {
  const chat = withRead(after(emptyChat("user:bob"), message(1), message(2)), 2);

  assert.equal(withRow(chat, row(2, 2, 0), ME).unread, 0);
});

test("pages are put before and around what is known, without a gap and without doubles", () => {
  const pushed = after(emptyChat("user:bob"), message(100), message(101));
  const newest = withNewestPage(pushed, page(60, 100), ME);
  assert.deepEqual([seqs(newest)[0], seqs(newest).at(-1), seqs(newest).length], [60, 101, 42]);
  assert.equal(newest.hasOlder, true);

  const older = withOlderPage(newest, page(1, 59, false), ME);

  assert.deepEqual(
    seqs(older),
    Array.from({ length: 101 }, (_, index) => index + 1),
  );
  assert.equal(older.hasOlder, false);
});

test("a newest page that does not reach what is known replaces it", () => {
  const known = withNewestPage(emptyChat("user:bob"), page(1, 10, false), ME);

  const later = withNewestPage(known, page(50, 60), ME);

  assert.deepEqual([seqs(later)[0], seqs(later).length, later.hasOlder], [50, 11, true]);
});

test("a message beyond a hole begins anew, and what is before is read again", () => {
  const known = withNewestPage(emptyChat("user:bob"), page(1, 10, false), ME);

  const later = after(known, message(20));

  assert.deepEqual([seqs(later), later.hasOlder], [[20], true]);
});

test("messages of another history stay in view until their page is there", () => {
  const known = withNewestPage(emptyChat("user:bob"), page(1, 10, false), ME);
  const stale: Chat = { ...emptyChat("user:bob"), messages: known.messages, stale: true };

  assert.equal(after(stale, message(3)).messages.length, 10);
  assert.deepEqual(seqs(withNewestPage(stale, page(1, 3, false), ME)), [1, 2, 3]);
});

test("a tick says the most that is known", () => {
  const [own] = after(emptyChat("user:bob"), message(4, ME)).messages;
  assert.ok(own);
  const receipt = (chat: Chat) => receiptOf(chat, own);
  const chat = emptyChat("user:bob");

  assert.equal(receipt(chat), "sent");
  assert.equal(receipt(withPeer(chat, { delivered: 4, by: "server" })), "sent");
  assert.equal(receipt(withPeer(chat, { delivered: 4, by: "device" })), "delivered");
  assert.equal(receipt(withPeer(chat, { delivered: 9, by: "server", read: 4 })), "read");
  const read = withPeer(chat, { delivered: 4, by: "device", read: 4 });
  assert.equal(receipt(withPeer(read, { delivered: 2, by: "device" })), "read", "it never falls");
});
