import assert from "node:assert/strict";
import test from "node:test";
import { askedWaitMs, backoffMs } from "../src/backoff.ts";
import { CURSOR_EVERY_MS, CursorThrottle } from "../src/cursor-throttle.ts";
import { Emitter } from "../src/emitter.ts";
import { utf8Bytes } from "../src/outbox.ts";
import { UuidMint } from "../src/uuid.ts";

test("an id is a UUID of version 7 that tells its time", () => {
  const id = new UuidMint().mint(1_700_000_000_123);

  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), 1_700_000_000_123);
});

test("ids rise within one millisecond and when the clock goes back a little", () => {
  const mint = new UuidMint();
  const ids = Array.from({ length: 10_000 }, (_, index) => mint.mint(5_000_000 - (index % 3)));

  assert.deepEqual(ids, [...ids].sort());
  assert.equal(new Set(ids).size, ids.length);
});

test("an id follows a clock that was set right", () => {
  const mint = new UuidMint();
  mint.mint(9_000_000_000_000);

  const id = mint.mint(1_700_000_000_000);

  assert.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), 1_700_000_000_000);
});

test("the bound of the backoff doubles up to a minute, and the wait is anything below it", () => {
  assert.deepEqual(
    [0, 1, 2, 5, 6, 7, 100].map((failures) => backoffMs(failures, 1)),
    [1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000],
  );
  assert.equal(backoffMs(3, 0), 0);
});

test("a wait that the server asked for is never cut short", () => {
  assert.equal(askedWaitMs(800, 0), 800);
  assert.ok(askedWaitMs(800, 0.99) >= 800);
});

test("a cursor is told at once when idle, then once a second and only the highest", () => {
  const cursors = new CursorThrottle();

  cursors.raise("user:bob", 1);
  assert.deepEqual(cursors.due(0), [{ conversation: "user:bob", seq: 1 }]);
  cursors.told("user:bob", 1);
  cursors.raise("user:bob", 3);
  cursors.raise("user:bob", 2);

  assert.deepEqual(cursors.due(CURSOR_EVERY_MS - 1), []);
  assert.equal(cursors.nextAtMs(), CURSOR_EVERY_MS);
  assert.deepEqual(cursors.due(CURSOR_EVERY_MS), [{ conversation: "user:bob", seq: 3 }]);
});

test("one conversation's cursor does not wait for another's", () => {
  const cursors = new CursorThrottle();
  cursors.raise("user:bob", 1);
  cursors.due(0);

  cursors.raise("user:carol", 4);

  assert.deepEqual(cursors.due(1), [{ conversation: "user:carol", seq: 4 }]);
});

test("a cursor that could not be told is told later, one that was refused for good is not", () => {
  const cursors = new CursorThrottle();
  cursors.raise("user:bob", 5);
  cursors.due(0);
  cursors.failed("user:bob", 5, true);
  assert.deepEqual(cursors.due(CURSOR_EVERY_MS), [{ conversation: "user:bob", seq: 5 }]);

  cursors.failed("user:bob", 5, false);

  assert.deepEqual(cursors.due(10 * CURSOR_EVERY_MS), []);
  assert.equal(cursors.nextAtMs(), undefined);
});

test("a listener may end itself while it is called, and the others are still called", () => {
  const emitter = new Emitter<{ tick: number }>();
  const heard: string[] = [];
  const end = emitter.on("tick", () => {
    heard.push("first");
    end();
  });
  emitter.on("tick", () => heard.push("second"));

  emitter.emit("tick", 1);
  emitter.emit("tick", 2);

  assert.deepEqual(heard, ["first", "second", "second"]);
});

test("bytes are counted as UTF-8 writes them", () => {
  for (const text of ["", "a", "ä", "€", "🐦", "a\u0000b", "𝄞 und ñ"]) {
    assert.equal(utf8Bytes(text), Buffer.byteLength(text), text);
  }
});
