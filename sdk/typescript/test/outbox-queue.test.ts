import assert from "node:assert/strict";
import test from "node:test";
import { RookeryError } from "../src/errors.ts";
import { type OutboxEntry, OutboxQueue } from "../src/outbox-queue.ts";
import type { Code } from "../src/protocol.ts";
import { below, seeded } from "./random.ts";

const MANY = 100;

function entry(place: number, to = "user:bob"): OutboxEntry {
  const content = { type: "text" as const, text: `${place}` };
  return { place, to, client_msg_id: `id-${place}`, content, created_at_ms: place };
}

function refusal(code: Code, more: { retry_after_ms?: number; client_msg_id?: string } = {}) {
  return RookeryError.of({ code, message: code, ...more });
}

function queueOf(...entries: OutboxEntry[]): OutboxQueue {
  const queue = new OutboxQueue();
  for (const each of entries) {
    queue.add(each);
    queue.kept(each.client_msg_id);
  }
  return queue;
}

function places(entries: OutboxEntry[]): number[] {
  return entries.map(({ place }) => place);
}

test("messages go out in the order in which they were written, several at a time", () => {
  const queue = queueOf(entry(1), entry(2), entry(3, "user:carol"), entry(4));

  assert.deepEqual(places(queue.next(0, 3)), [1, 2, 3]);
  assert.deepEqual(queue.next(0, 3), []);
  queue.acked("id-2");
  assert.deepEqual(places(queue.next(0, 3)), [4]);
});

test("a message that is not on disk yet holds back the later ones of its conversation only", () => {
  const queue = new OutboxQueue();
  queue.add(entry(1));
  queue.add(entry(2));
  queue.add(entry(3, "user:carol"));
  queue.kept("id-2");
  queue.kept("id-3");

  assert.deepEqual(places(queue.next(0, MANY)), [3]);
  queue.kept("id-1");
  assert.deepEqual(places(queue.next(0, MANY)), [1, 2]);
});

test("after a refusal everything starts again from it, once all in flight was answered", () => {
  const queue = queueOf(entry(1), entry(2), entry(3), entry(4));
  queue.next(0, MANY);
  queue.acked("id-1");

  queue.refused("id-2", refusal("busy", { retry_after_ms: 500 }), 0, 0);
  assert.deepEqual(queue.next(10_000, MANY), [], "two are in flight");
  queue.refused("id-3", refusal("order_broken", { client_msg_id: "id-2" }), 0, 0);
  queue.refused("id-4", refusal("order_broken", { client_msg_id: "id-2" }), 0, 0);

  assert.deepEqual(queue.next(499, MANY), [], "the server asked to wait");
  assert.equal(queue.opensAtMs(499), 500);
  assert.deepEqual(places(queue.next(500, MANY)), [2, 3, 4]);
});

test("a refused conversation holds no other one back", () => {
  const queue = queueOf(entry(1), entry(2, "user:carol"));
  queue.next(0, MANY);
  queue.refused("id-1", refusal("rate_limited", { retry_after_ms: 60_000 }), 0, 0);
  queue.acked("id-2");
  queue.add(entry(3, "user:carol"));
  queue.kept("id-3");

  assert.deepEqual(places(queue.next(1, MANY)), [3]);
});

test("a final refusal closes nothing", () => {
  const queue = queueOf(entry(1), entry(2));
  queue.next(0, MANY);

  assert.equal(queue.failed("id-1")?.place, 1);

  assert.equal(queue.acked("id-2")?.place, 2);
  assert.equal(queue.size, 0);
});

test("after a lost connection all that has no answer comes again, the oldest first", () => {
  const queue = queueOf(entry(1), entry(2), entry(3));
  queue.next(0, MANY);
  queue.acked("id-2");

  queue.connectionLost();

  assert.deepEqual(places(queue.next(0, MANY)), [1, 3]);
});

test("a message seen in the log is sent again only where the server awaits it", () => {
  const queue = queueOf(entry(1), entry(2));
  queue.next(0, MANY);
  queue.refused("id-1", refusal("outcome_unknown"), 0, 0);
  queue.refused("id-2", refusal("order_broken", { client_msg_id: "id-1" }), 0, 0);

  assert.equal(queue.found("user:bob", "id-1")?.place, 1);
  assert.equal(queue.found("user:bob", "id-1"), undefined, "told once");
  assert.deepEqual(places(queue.next(1_000, MANY)), [1, 2]);
  assert.equal(queue.acked("id-1"), undefined, "its ack is no news");

  const other = queueOf(entry(1));
  other.next(0, MANY);
  assert.equal(other.found("user:bob", "id-1")?.place, 1);
  other.connectionLost();
  assert.deepEqual(other.next(0, MANY), []);
});

test("an id that was seen in another conversation says nothing", () => {
  const queue = queueOf(entry(1));

  assert.equal(queue.found("user:carol", "id-1"), undefined);
  assert.deepEqual(places(queue.next(0, MANY)), [1]);
});

test("an id is replaced only while the server cannot have the message under it", () => {
  const queue = queueOf(entry(1), entry(2));
  queue.next(0, MANY);
  queue.acked("id-2");
  assert.equal(queue.renamed("id-1", "new")?.client_msg_id, "new");
  queue.kept("new");
  queue.next(0, MANY);

  queue.connectionLost();

  assert.equal(queue.renamed("new", "newer"), undefined);
});

/**
 * The server's rules of order (a refusal closes the conversation for the session; the awaited ids must come again, in
 * order) with every fault that a client can meet, and a log that shows what came of it.
 */
class Server {
  readonly log: string[] = [];
  readonly #stored = new Set<string>();
  #awaited: string[] = [];

  constructor(readonly random: () => number) {}

  newSession(): void {
    this.#awaited = [];
  }

  take(id: string): "acked" | RookeryError {
    if (this.#stored.has(id)) {
      this.#awaited = this.#awaited.filter((own) => own !== id);
      return "acked";
    }
    const first = this.#awaited[0];
    if (first !== undefined && first !== id) {
      if (!this.#awaited.includes(id)) this.#awaited.push(id);
      return refusal("order_broken", { client_msg_id: first });
    }
    const fault = this.random();
    if (fault < 0.2) {
      if (first === undefined) this.#awaited.push(id);
      if (fault < 0.05) {
        this.#store(id);
        return refusal("outcome_unknown");
      }
      return refusal("busy", { retry_after_ms: below(this.random, 300) });
    }
    if (first === id) this.#awaited.shift();
    this.#store(id);
    return "acked";
  }

  #store(id: string): void {
    this.#stored.add(id);
    this.log.push(id);
  }
}

test("whatever is refused or lost on the way, each message is stored once and in order", () => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const random = seeded(seed);
    const server = new Server(random);
    const queue = new OutboxQueue();
    const count = 1 + below(random, 12);
    let written = 0;
    let nowMs = 0;
    /** On their way there, and answers on their way back: both in order, both lost with the connection. */
    let there: string[] = [];
    let back: Array<{ id: string; answer: "acked" | RookeryError }> = [];

    for (let step = 0; written < count || queue.size > 0; step++) {
      assert.ok(step < 20_000, `seed ${seed} does not come to an end`);
      nowMs += below(random, 100);
      const what = random();
      if (what < 0.15 && written < count) {
        written += 1;
        queue.add(entry(written));
        queue.kept(`id-${written}`);
      } else if (what < 0.4) {
        there.push(...queue.next(nowMs, 4).map(({ client_msg_id }) => client_msg_id));
      } else if (what < 0.7) {
        const id = there.shift();
        if (id !== undefined) back.push({ id, answer: server.take(id) });
      } else if (what < 0.98) {
        const reply = back.shift();
        if (reply?.answer === "acked") queue.acked(reply.id);
        else if (reply !== undefined) queue.refused(reply.id, reply.answer, nowMs, random());
      } else {
        // What the server had in its socket may still be taken before it notices.
        for (const id of there.slice(0, below(random, there.length + 1))) server.take(id);
        there = [];
        back = [];
        server.newSession();
        queue.connectionLost();
      }
    }

    const expected = Array.from({ length: count }, (_, index) => `id-${index + 1}`);
    assert.deepEqual(server.log, expected, `seed ${seed}`);
  }
});
