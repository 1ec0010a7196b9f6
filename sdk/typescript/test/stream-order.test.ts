import assert from "node:assert/strict";
import test from "node:test";
import { HOLD_BACK, StreamOrder } from "../src/stream-order.ts";
import { below, seeded } from "./random.ts";

test("what comes next is shown at once, and what is known is not shown again", () => {
  const order = new StreamOrder<string>();
  order.start(4);

  assert.deepEqual(order.offer(5, "e"), ["e"]);
  assert.deepEqual(order.offer(5, "e"), []);
  assert.deepEqual(order.offer(3, "c"), []);
  assert.equal(order.position, 5);
  assert.equal(order.behind, false);
});

test("what lies beyond a gap is held back until the gap closes", () => {
  const order = new StreamOrder<string>();
  order.start(0);

  assert.deepEqual(order.offer(3, "c"), []);
  assert.deepEqual(order.offer(2, "b"), []);
  assert.equal(order.behind, true);
  assert.deepEqual(order.offer(1, "a"), ["a", "b", "c"]);
  assert.equal(order.behind, false);
});

test("pushes that come before the first sync wait for its position", () => {
  const order = new StreamOrder<string>();

  assert.deepEqual(order.offer(8, "h"), []);
  assert.deepEqual(order.offer(7, "g"), []);
  assert.deepEqual(order.offer(6, "f"), []);
  assert.deepEqual(order.start(6), ["g", "h"]);
});

test("a buffer that is full lets the farthest go, and knows that it is behind", () => {
  const order = new StreamOrder<number>();
  order.start(0);
  for (let number = 2; number < 500; number++) order.offer(number, number);

  const shown = order.offer(1, 1);

  assert.deepEqual(
    shown,
    Array.from({ length: HOLD_BACK + 1 }, (_, index) => index + 1),
  );
  assert.equal(order.behind, true);
});

test("a head that the server no longer knows does not keep a client behind for ever", () => {
  const order = new StreamOrder<string>();
  order.start(3);
  order.hearOf(9);
  assert.equal(order.behind, true);

  order.heardAll();

  assert.equal(order.behind, false);
});

test("in any order and however often they are offered, all come out once and in order", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = seeded(seed);
    const order = new StreamOrder<number>();
    const start = below(random, 5);
    const end = start + 1 + below(random, 60);
    const shown: number[] = [];
    if (random() < 0.5) shown.push(...order.start(start));

    for (let tries = 0; tries < 200; tries++) {
      const number = 1 + below(random, end);
      shown.push(...order.offer(number, number));
    }
    if (order.position === undefined) shown.push(...order.start(start));
    for (let number = 1; number <= end; number++) shown.push(...order.offer(number, number));

    const expected = Array.from({ length: end - start }, (_, index) => start + 1 + index);
    assert.deepEqual(shown, expected, `seed ${seed}`);
  }
});
