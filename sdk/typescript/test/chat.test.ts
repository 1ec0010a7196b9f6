import assert from "node:assert/strict";
import test from "node:test";
import {
  type Chat,
  emptyChat,
  hasUnread,
  readersOf,
  receiptOf,
  storedMessage,
  withCounts,
  withGroup,
  withMessage,
  withNewestPage,
  withNotice,
  withOlderPage,
  withPeer,
  withRead,
  withReads,
  withRow,
} from "../src/chat.ts";
import type {
  Content,
  ConversationRow,
  GroupInfo,
  GroupKind,
  HistoryPage,
  Member,
  Message,
  Notice,
} from "../src/protocol.ts";

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

const GROUP = "group:eng";

function info(kind: GroupKind, members = 3): GroupInfo {
  return {
    group: "eng",
    conversation: GROUP,
    kind,
    name: "Engineers",
    owner: "bob",
    members,
    created_at_ms: 1,
    role: "member",
  };
}

function inGroup(seq: number, from: string, content?: Content): Message {
  return {
    ...message(seq, from),
    conversation: GROUP,
    ...(content === undefined ? {} : { content }),
  };
}

function group(kind: GroupKind, members?: number): Chat {
  return withGroup(emptyChat(GROUP), info(kind, members));
}

function member(user: string, read: number): Member {
  return { user, role: "member", joined_at_ms: 1, read };
}

const ADDED: Content = { type: "notice", action: "added", users: ["carol"] };

test("in a work group others' words are unread, and notices are not", () => {
  const chat = after(group("work"), inGroup(1, "bob"), inGroup(2, "bob", ADDED), inGroup(3, ME));

  assert.equal(chat.unread, 1);
  assert.equal(chat.last?.seq, 3);
  assert.equal(withRead(chat, 2).unread, 0);
});

test("a meeting counts nothing as unread, and knows all the same that there is something to read", () => {
  const chat = after(group("meeting"), inGroup(1, "bob", ADDED), inGroup(2, "bob"));

  assert.equal(chat.unread, 0);
  assert.equal(hasUnread(chat), true);
  assert.equal(hasUnread(withRead(chat, 2)), false);
});

test("what came before a group's kind was known is counted when it is", () => {
  const chat = after(emptyChat(GROUP), inGroup(8, "bob", ADDED), inGroup(9, "bob"));
  assert.equal(chat.unread, 0);

  assert.equal(withGroup(chat, info("work")).unread, 1);
  assert.equal(withGroup(chat, info("meeting")).unread, 0);
});

test("a message of a type that is not known here is one as any other", () => {
  const strange = { type: "hologram", url: "x" } as unknown as Content;

  const chat = after(group("work"), inGroup(1, "bob", strange), inGroup(2, "bob"));

  assert.deepEqual([chat.unread, seqs(chat)], [2, [1, 2]]);
});

test("readers are the most that is known: who has read a later message has read this one", () => {
  const chat = after(group("work", 4), inGroup(1, ME), inGroup(2, ME));
  const [first, second] = chat.messages;
  assert.ok(first && second);
  assert.deepEqual([readersOf(chat, first), receiptOf(chat, first)], [0, "sent"]);

  const asked = withReads(chat, [member(ME, 2), member("bob", 1), member("carol", 0)], ME);
  assert.deepEqual([readersOf(asked, first), readersOf(asked, second)], [1, 0]);
  const told = withCounts(asked, [{ seq: 2, readers: 3 }]);

  assert.deepEqual([readersOf(told, first), receiptOf(told, first)], [3, "read"]);
  assert.equal(
    readersOf(withReads(told, [member("bob", 1)], ME), second),
    0,
    "who left is no reader",
  );
});

test("a notice names the group anew, and ends what it ends", () => {
  const chat = group("work");
  const told = (from: string, notice: Notice): Chat => withNotice(chat, from, notice, ME);

  assert.equal(told("bob", { action: "renamed", name: "Builders" }).name, "Builders");
  assert.equal(told("bob", { action: "renamed", name: "Builders" }).group?.name, "Builders");
  assert.equal(told("bob", { action: "removed", users: ["carol"] }).group?.left, false);
  assert.equal(told("bob", { action: "removed", users: ["carol", ME] }).group?.left, true);
  assert.equal(told("bob", { action: "left" }).group?.left, false);
  const left = told(ME, { action: "left", owner: "bob" });
  assert.equal(left.group?.left, true);
  assert.equal(withNotice(left, "bob", { action: "added", users: [ME] }, ME).group?.left, false);
  const { dissolved, left: isOut } = told("bob", { action: "dissolved" }).group ?? {};
  assert.deepEqual([dissolved, isOut], [true, true]);
});

test("a group's log begins at the first entry that one may see", () => {
  const summary = { kind: "work" as const, name: "Engineers", members: 3, min_seq: 40 };
  const last = inGroup(40, "bob", ADDED);
  const listed: ConversationRow = {
    conversation: GROUP,
    head: 40,
    last_message: last,
    unread: 0,
    read: 0,
    group: summary,
  };

  const chat = after(withRow(emptyChat(GROUP), { ...listed, head: 39 }, ME), last);

  assert.deepEqual([chat.name, chat.minSeq, chat.hasOlder], ["Engineers", 40, false]);
});
