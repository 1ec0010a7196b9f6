import assert from "node:assert/strict";
import test from "node:test";
import {
  farewell,
  groupInitials,
  hue,
  initials,
  isOnlyEmoji,
  noticeText,
  people,
  sentence,
  unreadLabel,
  withLinks,
} from "../src/format.ts";

test("initials are the first letters of two words, or two of one", () => {
  const cases = { alice: "AL", "dave.miller": "DM", "eve-online": "EO", x: "X", "@#": "@#" };
  for (const [user, letters] of Object.entries(cases)) assert.equal(initials(user), letters);
});

test("a user has one colour everywhere", () => {
  assert.equal(hue("alice"), hue("alice"));
  for (const user of ["a", "bob", "@#+=-", "x".repeat(64)]) assert.ok(hue(user) < 12);
});

test("a count that has no room is cut", () => {
  assert.deepEqual([1, 99, 100].map(unreadLabel), ["1", "99", "99+"]);
});

test("only what is an address of the web becomes a link, without the sentence around it", () => {
  assert.deepEqual(withLinks("See https://example.org/a_(b)?q=1#x, or (http://localhost:8800)."), [
    { text: "See " },
    { text: "https://example.org/a_(b)?q=1#x", href: "https://example.org/a_(b)?q=1#x" },
    { text: ", or (" },
    { text: "http://localhost:8800", href: "http://localhost:8800" },
    { text: ")." },
  ]);
  for (const plain of ["", "javascript:alert(1)", "data:text/html,x", "https://", "xhttp://a"]) {
    assert.ok(
      withLinks(plain).every(({ href }) => href === undefined),
      plain,
    );
  }
});

test("a few emoji alone are shown larger, anything with words is not", () => {
  for (const emoji of ["🐦", "🎉🎉", "👍🏽 👩‍🚀", "❤️"]) assert.ok(isOnlyEmoji(emoji), emoji);
  for (const text of ["", "7", "ok 🐦", "#", "🐦".repeat(13)]) assert.ok(!isOnlyEmoji(text), text);
});

test("a group's name of any script gives one or two letters", () => {
  const cases = {
    "Nest builders": "NB",
    設計: "設",
    "🐦 birds": "🐦B",
    "  ": "#",
    "élan vital 3": "ÉV",
  };
  for (const [name, letters] of Object.entries(cases)) assert.equal(groupInitials(name), letters);
});

test("a few people are named, of many the first", () => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `u${index + 1}`);
  assert.equal(people(names(1)), "u1");
  assert.equal(people(names(2)), "u1 and u2");
  assert.equal(people(names(4)), "u1, u2, u3 and u4");
  assert.equal(people(names(5)), "u1, u2, u3 and 2 others");
});

test("a notice is a sentence for who reads it", () => {
  const told = (from: string, ...[notice]: [Parameters<typeof noticeText>[0]]) =>
    noticeText(notice, from, "me");
  assert.equal(
    told("bob", { action: "created", users: ["bob", "me", "carol"], name: "Nest" }),
    "bob created the group “Nest” with you and carol",
  );
  assert.equal(
    told("me", { action: "created", users: ["me"], name: "Nest" }),
    "You created the group “Nest”",
  );
  assert.equal(told("bob", { action: "added", users: ["carol", "me"] }), "bob added you and carol");
  assert.equal(told("me", { action: "joined", users: ["me"] }), "You joined");
  assert.equal(
    told("bob", { action: "left", users: ["bob"], owner: "me" }),
    "bob left. You own the group now",
  );
  assert.equal(told("bob", { action: "removed", users: ["me"] }), "bob removed you");
  assert.equal(
    told("bob", { action: "renamed", name: "a\u202eb" }),
    "bob named the group “ab”",
    "a name cannot turn the sentence around",
  );
  assert.equal(told("me", { action: "dissolved" }), "You dissolved the group");
  const later = { action: "painted" } as unknown as Parameters<typeof noticeText>[0];
  assert.equal(told("bob", later), "bob changed the group");
});

test("a former member is told why, by the notice about it alone", () => {
  const why = (from: string, action: "left" | "removed" | "dissolved", users: string[] = []) =>
    farewell({ type: "notice", action, users }, from, "me");
  assert.equal(why("me", "left", ["me"]), "You left this group.");
  assert.equal(why("bob", "left", ["bob"]), undefined);
  assert.equal(why("bob", "removed", ["me"]), "bob removed you from this group.");
  assert.equal(why("bob", "removed", ["carol"]), undefined);
  assert.equal(why("bob", "dissolved"), "bob dissolved this group.");
});

test("what the server says becomes a sentence", () => {
  assert.equal(sentence("the owner cannot leave"), "The owner cannot leave.");
  assert.equal(sentence("Already one!"), "Already one!");
});
