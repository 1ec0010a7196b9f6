import assert from "node:assert/strict";
import test from "node:test";
import { RookeryError } from "../src/errors.ts";
import { GroupSync } from "../src/group-sync.ts";
import type { HistoryPage, Message, Notice } from "../src/protocol.ts";
import type { Timers } from "../src/runtime.ts";
import { below, seeded } from "./random.ts";

const ME = "alice";
const PAGE = 7;

function notice(seq: number, notice: Notice, from = "bob"): Message {
  return { ...message(seq), from, content: { type: "notice", ...notice } };
}

function message(seq: number, group = "eng"): Message {
  return {
    conversation: `group:${group}`,
    seq,
    message_id: `${seq}`,
    client_msg_id: `id-${seq}`,
    from: "bob",
    sent_at_ms: seq,
    content: { type: "text", text: `${seq}` },
  };
}

/** Timers that come due when the test says so. */
class OwnTimers implements Timers {
  readonly #due = new Map<number, () => void>();
  #last = 0;

  set(callback: () => void): number {
    this.#last += 1;
    this.#due.set(this.#last, callback);
    return this.#last;
  }

  clear(timer: unknown): void {
    this.#due.delete(timer as number);
  }

  get waiting(): number {
    return this.#due.size;
  }

  /** Lets everything come due until nothing is left to wait for. */
  async run(): Promise<void> {
    for (;;) {
      await settled();
      const [first] = this.#due;
      if (first === undefined) return;
      this.#due.delete(first[0]);
      first[1]();
    }
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A group's log, and a client's part that reads it. */
class Bench {
  readonly log: Message[] = [];
  minSeq = 1;
  readonly told: number[] = [];
  readonly asked: number[] = [];
  readonly timers = new OwnTimers();
  readonly onScreen = new Set<string>();
  refuses: RookeryError | undefined;
  readonly sync = new GroupSync(
    { user: ME, timers: this.timers, random: () => 0.5 },
    {
      history: async ({ after = 0 }) => this.#page(after),
      deliver: (messages) => this.told.push(...messages.map(({ seq }) => seq)),
      isOnScreen: (conversation) => this.onScreen.has(conversation),
    },
  );

  get head(): number {
    return this.log.length;
  }

  says(count = 1): void {
    for (let i = 0; i < count; i++) this.log.push(message(this.head + 1));
  }

  push(seq: number): void {
    const entry = this.log[seq - 1];
    assert.ok(entry);
    this.sync.offer("eng", entry);
  }

  /** A login whose sync says how the group stands. */
  open(more: { left?: boolean; moved?: boolean } = {}): void {
    this.sync.opened(PAGE);
    const { left, moved = true } = more;
    const row = { group: "eng", head: this.head, min_seq: this.minSeq };
    this.sync.meet(moved ? [{ ...row, ...(left === undefined ? {} : { left }) }] : []);
    this.sync.settle();
  }

  #page(after: number): HistoryPage {
    this.asked.push(after);
    if (this.refuses !== undefined) throw this.refuses;
    const seen = this.log.filter(({ seq }) => seq > after && seq >= this.minSeq);
    const messages = seen.slice(0, PAGE);
    return { messages, head: this.head, min_seq: this.minSeq, has_more: seen.length > PAGE };
  }
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test("a device without a position in a group takes the head as its position", async () => {
  const bench = new Bench();
  bench.says(20);

  bench.open();
  await bench.timers.run();
  bench.says();
  bench.push(21);

  assert.deepEqual(bench.told, [21]);
  assert.deepEqual(bench.sync.positions(), { eng: 21 });
});

test("a device with a position is told everything after it, page by page", async () => {
  const bench = new Bench();
  bench.says(20);
  bench.sync.load({ eng: 3 });

  bench.open();
  await bench.sync.pull(bench.sync.behind());

  assert.deepEqual(bench.told, upTo(20, 4));
  assert.deepEqual(bench.asked, [3, 10, 17]);
});

test("a push beyond a gap waits for a moment, and is not pulled when the gap closes by itself", async () => {
  const bench = new Bench();
  bench.sync.load({ eng: 0 });
  bench.open({ moved: false });
  bench.says(3);

  bench.push(2);
  bench.push(3);
  assert.equal(bench.timers.waiting, 1);
  bench.push(1);
  await bench.timers.run();

  assert.deepEqual(bench.told, [1, 2, 3]);
  assert.deepEqual(bench.asked, []);
});

test("a gap that does not close is pulled", async () => {
  const bench = new Bench();
  bench.sync.load({ eng: 0 });
  bench.open({ moved: false });
  bench.says(3);

  bench.push(3);
  await bench.timers.run();

  assert.deepEqual(bench.told, [1, 2, 3]);
  assert.deepEqual(bench.asked, [0]);
});

test("pushes that come before the sync are held back and shown after what it brings", async () => {
  const bench = new Bench();
  bench.says(5);
  bench.sync.opened(PAGE);
  bench.says();
  bench.push(6);
  assert.deepEqual(bench.told, []);

  bench.sync.meet([{ group: "eng", head: 5, min_seq: 1 }]);
  bench.sync.settle();

  assert.deepEqual(bench.told, [6]);
});

test("a group that one is invited to is told from its notice on", async () => {
  const bench = new Bench();
  bench.open({ moved: false });
  bench.says(10);
  bench.log.push(notice(11, { action: "added", users: ["carol", ME] }));
  bench.says();

  bench.push(11);
  bench.push(12);

  assert.deepEqual(bench.told, [11, 12]);
});

test("the answer to a join makes up for a push that was lost", async () => {
  const bench = new Bench();
  bench.open({ moved: false });
  bench.says(10);
  bench.log.push(notice(11, { action: "joined", users: [ME] }, ME));

  bench.sync.hearOf("eng", 11, true);
  await bench.timers.run();

  assert.deepEqual(bench.told, [11]);
  assert.deepEqual(bench.sync.positions(), { eng: 11 });
});

test("who is removed has a position until the notice of it, and none after it", async () => {
  const bench = new Bench();
  bench.sync.load({ eng: 0 });
  bench.open({ moved: false });
  bench.says(3);
  bench.log.push(notice(4, { action: "removed", users: [ME] }));

  bench.push(4);
  assert.deepEqual(bench.sync.positions(), { eng: 0 });
  await bench.timers.run();

  assert.deepEqual(bench.told, [1, 2, 3, 4]);
  assert.deepEqual(bench.sync.positions(), {});
});

test("a membership that ended meanwhile is told up to its end", async () => {
  const bench = new Bench();
  bench.says(8);
  bench.log.push(notice(9, { action: "left" }, ME));
  bench.sync.load({ eng: 2 });

  bench.open({ left: true });
  await bench.sync.pull(bench.sync.behind());

  assert.deepEqual(bench.told, upTo(9, 3));
  assert.deepEqual(bench.sync.positions(), {});
});

test("who left and came back meanwhile is told from the coming back on", async () => {
  const bench = new Bench();
  bench.says(8);
  bench.log.push(notice(9, { action: "left" }, ME));
  bench.says(5);
  bench.log.push(notice(15, { action: "added", users: [ME] }));
  bench.says(2);
  bench.sync.load({ eng: 6 });
  bench.minSeq = 15;

  bench.open();
  await bench.sync.pull(bench.sync.behind());

  assert.deepEqual(bench.told, [15, 16, 17]);
  assert.deepEqual(bench.sync.positions(), { eng: 17 });
});

test("where history is shown, who left and came back is told all of it and stays", async () => {
  const bench = new Bench();
  bench.says(8);
  bench.log.push(notice(9, { action: "left" }, ME));
  bench.says(5);
  bench.log.push(notice(15, { action: "joined", users: [ME] }, ME));
  bench.sync.load({ eng: 6 });

  bench.open();
  await bench.sync.pull(bench.sync.behind());

  assert.deepEqual(bench.told, upTo(15, 7));
  assert.deepEqual(bench.sync.positions(), { eng: 15 });
});

test("a log that is not ours to see is given up, and one that is only busy is not", async () => {
  const bench = new Bench();
  bench.says(4);
  bench.sync.load({ eng: 2 });
  bench.refuses = new RookeryError("busy", "later");
  bench.open();
  const pulled = bench.sync.pull(bench.sync.behind());
  await settled();
  assert.deepEqual(bench.sync.positions(), { eng: 2 });

  bench.refuses = new RookeryError("not_a_member", "no");
  await bench.timers.run();
  await pulled;

  assert.deepEqual(bench.told, []);
  assert.deepEqual(bench.sync.positions(), {});
});

test("after another history began, a group is taken up where it stands", async () => {
  const bench = new Bench();
  bench.says(4);
  bench.sync.load({ eng: 90 });
  bench.sync.opened(PAGE);
  bench.sync.forgetPositions();

  bench.sync.meet([{ group: "eng", head: 4, min_seq: 1 }]);
  bench.sync.settle();
  bench.says();
  bench.push(5);
  await bench.timers.run();

  assert.deepEqual(bench.told, [5]);
});

test("what is on screen is named first, however many groups there are", () => {
  const bench = new Bench();
  const names = Array.from({ length: 700 }, (_, index) => `g${index}`);
  bench.sync.load(Object.fromEntries(names.map((name, index) => [name, index])));
  bench.onScreen.add("group:g650");

  const named = bench.sync.positions(500);

  assert.equal(Object.keys(named).length, 500);
  assert.equal(named.g650, 650);
  assert.deepEqual(bench.sync.onScreen(50), { g650: 650 });
});

test("a group may be called as properties of objects are", () => {
  const bench = new Bench();
  bench.sync.load(JSON.parse('{"__proto__": 3, "constructor": 4}'));

  const kept = JSON.stringify(bench.sync.positions());

  assert.equal(kept, '{"__proto__":3,"constructor":4}');
});

test("whatever is lost, doubled or late, and however often the session ends, all is told once and in order", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed);
    const bench = new Bench();
    bench.says(below(random, 4));
    bench.open();
    const start = bench.head;

    for (let step = 0; step < 40; step++) {
      const dice = random();
      if (dice < 0.5) {
        bench.says(1 + below(random, 3));
        if (random() < 0.6) bench.push(bench.head);
      } else if (dice < 0.8 && bench.head > 0) {
        bench.push(1 + below(random, bench.head));
      } else if (dice < 0.9) {
        await bench.timers.run();
      } else {
        bench.sync.lost();
        bench.says(below(random, 3));
        bench.open();
        if (random() < 0.5) await bench.sync.pull(bench.sync.behind());
      }
    }
    bench.sync.hearOf("eng", bench.head);
    await bench.timers.run();

    assert.deepEqual(bench.told, upTo(bench.head, start + 1), `seed ${seed}`);
    assert.deepEqual(bench.sync.positions(), { eng: bench.head }, `seed ${seed}`);
  }
});
