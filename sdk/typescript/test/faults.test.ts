import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { type OpenTransport, webSocketTransport } from "../src/transport.ts";
import { BadNetwork } from "./bad-network.ts";
import { everyoneLeaves, OwnWebSocket, Person, textOf } from "./people.ts";
import { below, seeded } from "./random.ts";
import { Server } from "./server.ts";

let server: Server;
const networks: BadNetwork[] = [];

async function badNetwork(): Promise<BadNetwork> {
  const network = await BadNetwork.to(server.address);
  networks.push(network);
  return network;
}

before(async () => {
  server = await Server.start();
});
afterEach(() => {
  everyoneLeaves();
  for (const network of networks.splice(0)) network.close();
});
after(() => server.stop());

/** A test that waits for what never comes shall fail, and not hang. */
function test(name: string, body: () => Promise<void>): void {
  nodeTest(name, { timeout: 90_000 }, body);
}

let lastPair = 0;

/** Alice behind a network that can be told to fail, and bob on a good one. */
async function pair(): Promise<{ alice: Person; bob: Person; network: BadNetwork }> {
  lastPair += 1;
  const network = await badNetwork();
  const alice = await Person.online(server, `alice-${lastPair}`, { url: network.url });
  const bob = await Person.online(server, `bob-${lastPair}`);
  return { alice, bob, network };
}

test("what is written without a connection is sent once and in order when it is back", async () => {
  const { alice, bob, network } = await pair();
  network.isDown = true;
  network.cut();
  await alice.is("waiting");

  for (const text of ["one", "two", "three"]) alice.say(bob, text);
  network.isDown = false;
  await bob.hears("three");
  await alice.hears("three");

  assert.deepEqual((await alice.log(bob)).map(textOf), ["one", "two", "three"]);
});

test("a message whose ack was lost is stored once, and known to be sent", async () => {
  const { alice, bob, network } = await pair();
  network.loses = (text) => text.includes('"message_id"');
  const id = alice.say(bob, "only once");
  await bob.hears("only once");
  assert.notEqual(alice.client.outboxStateOf(id), undefined, "there was no ack yet");

  network.loses = undefined;
  const sent = alice.next("sent", ({ entry }) => entry.client_msg_id === id);
  network.cut();
  await sent;

  assert.deepEqual((await alice.log(bob)).map(textOf), ["only once"]);
  assert.equal(alice.client.outboxStateOf(id), undefined);
  assert.equal(alice.messages.filter((message) => textOf(message) === "only once").length, 1);
});

test("a push that was lost shows as a gap, and is pulled", async () => {
  const { alice, bob, network } = await pair();
  network.loses = (text) => text.includes("lost on the way");
  bob.say(alice, "lost on the way");
  await bob.hears("lost on the way");

  network.loses = (text) => text.includes('"event"') && text.includes("lost on the way");
  bob.say(alice, "arrives");
  await alice.hears("arrives");

  assert.deepEqual(alice.messages.map(textOf), ["lost on the way", "arrives"]);
});

test("a last push that was lost is found by the next heartbeat", async () => {
  const { alice, bob, network } = await pair();
  network.loses = (text) => text.includes('"event"') && text.includes("the last word");
  bob.say(alice, "the last word");
  await bob.hears("the last word");

  alice.client.wake();

  assert.equal((await alice.hears("the last word")).from, bob.name);
});

test("a connection that carries nothing any more is noticed and replaced", async () => {
  const { alice, bob, network } = await pair();
  network.freeze();
  const online = alice.is("connecting").then(() => alice.is("online"));
  bob.say(alice, "into the void");
  alice.say(bob, "out of the void");

  alice.client.wake();
  await online;

  await alice.hears("into the void");
  await bob.hears("out of the void");
});

test("a connection that breaks in the middle of a frame loses nothing, in either direction", async () => {
  const { alice, bob, network } = await pair();
  for (const direction of ["there", "back"] as const) {
    for (const bytes of [1, 60, 200]) {
      const text = `cut ${direction} after ${bytes}`;
      const lost = alice.next("state", ({ phase }) => phase === "waiting");
      network.cutAfter(direction, bytes);
      alice.say(bob, `${text}, there`);
      bob.say(alice, `${text}, back`);
      await lost;
      await Promise.all([bob.hears(`${text}, there`), alice.hears(`${text}, back`)]);
    }
  }

  const log = (await bob.log(alice)).map(textOf);
  assert.equal(log.length, 12);
  assert.equal(new Set(log).size, 12);
});

test("what is pushed right behind the answer to a login is shown once", async () => {
  const bob = await Person.online(server, "bob-at-once");
  const inner = webSocketTransport(server.url, OwnWebSocket);
  let held: string[] | undefined;
  let answered = (): void => {};
  const isAnswered = new Promise<void>((resolve) => {
    answered = resolve;
  });
  // Both frames in one go, as when they come in one packet: nothing runs between them.
  const open: OpenTransport = (events) =>
    inner({
      ...events,
      frame: (text) => {
        if (held === undefined) return events.frame(text);
        held.push(text);
        answered();
        if (!text.includes('"message.new"')) return;
        const both = held;
        held = undefined;
        for (const each of both) events.frame(each);
      },
    });
  const carol = await Person.online(server, "carol-at-once", { open });
  bob.say(carol, "before");
  await carol.hears("before");

  carol.client.disconnect();
  held = [];
  carol.client.connect();
  await isAnswered;
  bob.say(carol, "right behind");
  bob.say(carol, "after");
  await carol.hears("after");

  assert.deepEqual(carol.messages.map(textOf), ["before", "right behind", "after"]);
  assert.deepEqual(carol.resets, ["first"]);
});

test("what is pushed while a client logs in and syncs is neither lost nor shown twice", async () => {
  const { alice, bob, network } = await pair();
  alice.say(bob, "first");
  await alice.hears("first");
  network.delayMs = 30;
  let count = 0;
  const speak = (): string => {
    count += 1;
    bob.say(alice, `${count}`);
    return `${count}`;
  };

  for (let round = 0; round < 5; round++) {
    const online = alice.next("state", ({ phase }) => phase === "online");
    network.cut();
    // Each state of the coming back meets a message that is on its way.
    const end = alice.client.on("state", () => void speak());
    await online;
    end();
  }
  await alice.hears(speak());

  const expected = ["first", ...Array.from({ length: count }, (_, index) => `${index + 1}`)];
  assert.deepEqual(alice.messages.map(textOf), expected);
});

test("two who write to each other over a bad network end up with the same log", async () => {
  for (let seed = 1; seed <= 2; seed++) {
    const random = seeded(seed);
    const ways = [await badNetwork(), await badNetwork()] as const;
    const alice = await Person.online(server, `alice-bad-${seed}`, { url: ways[0].url });
    const bob = await Person.online(server, `bob-bad-${seed}`, { url: ways[1].url });
    const count = 60;

    for (let number = 1; number <= count; number++) {
      alice.say(bob, `a${number}`);
      bob.say(alice, `b${number}`);
      const network = ways[below(random, 2)] ?? ways[0];
      network.delayMs = below(random, 12);
      if (random() < 0.2) network.cut();
      if (random() < 0.2) network.cutAfter(random() < 0.5 ? "there" : "back", below(random, 2_000));
      // The others get to run, so that the faults fall between the messages.
      await new Promise((resolve) => setImmediate(resolve));
      if (number % 10 === 0)
        await Promise.all([alice.hears(`b${number}`), bob.hears(`a${number}`)]);
    }
    await Promise.all([alice.hears(`a${count}`), bob.hears(`b${count}`)]);

    const log = await alice.log(bob);
    assert.equal(log.length, 2 * count, `seed ${seed}`);
    for (const [who, letter] of [
      [alice, "a"],
      [bob, "b"],
    ] as const) {
      const own = log.filter(({ from }) => from === who.name).map(textOf);
      const expected = Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
      assert.deepEqual(own, expected, `seed ${seed}`);
      assert.deepEqual(who.messages.map(textOf), log.map(textOf), `seed ${seed}, ${who.name}`);
    }
    everyoneLeaves();
  }
});

test("a server that is killed and started again has everything that it acked, and gets the rest", async () => {
  const { alice, bob } = await pair();
  let number = 0;
  for (let round = 0; round < 2; round++) {
    for (let burst = 0; burst < 30; burst++) {
      number += 1;
      alice.say(bob, `${number}`);
    }
    await alice.next("sent");
    await server.kill();
    number += 1;
    alice.say(bob, `${number}`);
    await server.restart();
    await Promise.all([alice.hears(`${number}`), bob.hears(`${number}`)]);
  }

  const expected = Array.from({ length: number }, (_, index) => `${index + 1}`);
  assert.deepEqual((await alice.log(bob)).map(textOf), expected);
  assert.deepEqual(bob.messages.map(textOf), expected);
  assert.deepEqual(alice.messages.map(textOf), expected);
});
