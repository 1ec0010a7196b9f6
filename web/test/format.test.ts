import assert from "node:assert/strict";
import test from "node:test";
import { hue, initials, isOnlyEmoji, unreadLabel, withLinks } from "../src/format.ts";

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
