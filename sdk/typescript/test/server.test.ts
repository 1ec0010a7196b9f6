import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { MemoryOutboxStorage, RookeryError } from "../src/index.ts";
import { everyoneLeaves, Person, textOf } from "./people.ts";
import { Server } from "./server.ts";

let server: Server;
before(async () => {
  server = await Server.start();
});
afterEach(everyoneLeaves);
after(() => server.stop());

/** A test that waits for what never comes shall fail, and not hang. */
function test(name: string, body: () => Promise<void>): void {
  nodeTest(name, { timeout: 90_000 }, body);
}

let lastPair = 0;

/** Two people whom no other test knows, online. */
async function pair(): Promise<[Person, Person]> {
  lastPair += 1;
  return [
    await Person.online(server, `alice-${lastPair}`),
    await Person.online(server, `bob-${lastPair}`),
  ];
}

test("a message is acked, pushed, delivered and read", async () => {
  const [alice, bob] = await pair();

  const delivered = alice.next("delivered", ({ by }) => by === "device");
  const sent = await alice.client.post(`user:${bob.name}`, { type: "text", text: "hi\u0000 🐦" });
  assert.equal(sent.duplicate, false);
  assert.equal(sent.seq, 1);
  const message = await bob.hears("hi\u0000 🐦");
  assert.equal(message.message_id, sent.message_id);
  assert.equal(message.from, alice.name);
  assert.equal(message.conversation, `user:${alice.name}`);
  assert.equal((await delivered).seq, 1);

  const read = alice.next("read");
  bob.client.markRead(`user:${alice.name}`, 1);

  assert.deepEqual(await read, { conversation: `user:${bob.name}`, seq: 1, user: bob.name });
});

test("what one sends comes to oneself too, in its turn", async () => {
  const [alice, bob] = await pair();

  alice.say(bob, "one");
  alice.say(bob, "two");
  await bob.hears("two");
  bob.say(alice, "three");
  await Promise.all([alice.hears("three"), bob.hears("three")]);

  assert.deepEqual(alice.messages.map(textOf), ["one", "two", "three"]);
  assert.deepEqual(
    alice.messages.map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.deepEqual(bob.messages.map(textOf), ["one", "two", "three"]);
});

test("a message to oneself is stored once", async () => {
  const [alice] = await pair();

  const sent = await alice.client.post(`user:${alice.name}`, { type: "text", text: "milk" });

  assert.deepEqual((await alice.log(alice)).map(textOf), ["milk"]);
  assert.equal(sent.seq, 1);
});

test("one's other device gets what the first sends, and what it reads", async () => {
  const [alice, bob] = await pair();
  const tablet = await Person.online(server, alice.name);
  const read = tablet.next("read", ({ user }) => user === alice.name);

  alice.say(bob, "from the phone");
  assert.equal((await tablet.hears("from the phone")).from, alice.name);
  bob.say(alice, "answer");
  await Promise.all([alice.hears("answer"), tablet.hears("answer")]);
  alice.client.markRead(`user:${bob.name}`, 2);

  assert.equal((await read).seq, 2);
});

test("a hundred messages at once arrive once and in the order in which they were written", async () => {
  const [alice, bob] = await pair();
  const texts = Array.from({ length: 100 }, (_, index) => `number ${index + 1}`);

  for (const text of texts) alice.say(bob, text);
  await bob.hears("number 100");

  assert.deepEqual(bob.messages.map(textOf), texts);
  assert.deepEqual((await alice.log(bob)).map(textOf), texts);
});

test("a device without a position is told what comes from now on, and reads the rest", async () => {
  const [alice, bob] = await pair();
  await alice.client.post(`user:${bob.name}`, { type: "text", text: "before" });

  const phone = await Person.online(server, bob.name);
  assert.deepEqual(phone.resets, ["first"]);
  alice.say(bob, "after");
  await phone.hears("after");

  assert.deepEqual(phone.messages.map(textOf), ["after"]);
  assert.deepEqual((await phone.log(alice)).map(textOf), ["before", "after"]);
});

test("a device with a position is told all that it missed, more than one page of it", async () => {
  const [alice, bob] = await pair();
  alice.say(bob, "known");
  await bob.hears("known");
  const { position } = bob.client;
  assert.ok(position);
  bob.client.disconnect();
  await bob.is("idle");
  const texts = Array.from({ length: 250 }, (_, index) => `missed ${index + 1}`);
  await Promise.all(
    texts.map((text) => alice.client.post(`user:${bob.name}`, { type: "text", text })),
  );

  const again = await Person.create(server, bob.name, { position });
  const synced = again.next("synced");
  again.client.connect();
  await synced;

  assert.deepEqual(again.messages.map(textOf), texts);
  assert.deepEqual(again.resets, []);
});

test("a position of another epoch is given up", async () => {
  const [alice, bob] = await pair();
  alice.say(bob, "one");
  await bob.hears("one");
  bob.client.disconnect();

  const again = await Person.online(server, bob.name, { position: { epoch: "other", inbox: 77 } });

  assert.deepEqual(again.resets, ["epoch"]);
  assert.equal(again.client.position?.inbox, 1);
  alice.say(bob, "two");
  await again.hears("two");
});

test("the same device in a second place ends the first, which does not come back", async () => {
  const [, bob] = await pair();
  const device = { id: "shared", platform: "api" as const };
  const first = await Person.online(server, bob.name, { device });

  const second = await Person.online(server, bob.name, { device });
  const state = await first.is("ended");

  assert.equal(state.phase === "ended" && state.ended.kicked?.reason, "replaced");
  first.client.connect();
  await first.is("online");
  await second.is("ended");
});

test("a token that does not hold ends it, with its reason", async () => {
  const person = await Person.create(server, "mallory", { token: () => "nonsense" });

  person.client.connect();
  const state = await person.is("ended");

  assert.equal(state.phase === "ended" && state.ended.error?.code, "bad_token");
});

test("a token that cannot be had now is asked for again", async () => {
  const token = await server.token("patient");
  let asked = 0;
  const person = await Person.create(server, "patient", {
    token: async () => {
      asked += 1;
      if (asked < 3) throw new Error("the app's backend is away");
      return token;
    },
  });

  person.client.connect();
  await person.is("online");

  assert.equal(asked, 3);
});

test("a message that is too long is refused here, and the session goes on", async () => {
  const [alice, bob] = await pair();

  const far = { type: "text" as const, text: "x".repeat(200_000) };
  const near = { type: "text" as const, text: "x".repeat(33_000) };
  for (const content of [far, near]) {
    await assert.rejects(
      alice.client.post(`user:${bob.name}`, content),
      (error) => error instanceof RookeryError && error.code === "too_large",
    );
  }
  alice.say(bob, "short");
  await bob.hears("short");

  assert.equal(alice.client.state.phase, "online");
});

test("half a character is mended rather than refused", async () => {
  const [alice, bob] = await pair();

  alice.say(bob, "half \ud83d of a bird");

  assert.equal(textOf(await bob.hears("half \ufffd of a bird")), "half \ufffd of a bird");
});

test("a message that failed is kept, and can be sent again or forgotten", async () => {
  const outbox = new MemoryOutboxStorage();
  const [, bob] = await pair();
  const alice = await Person.online(server, `careful-${bob.name}`, { outbox });
  const failed = alice.next("failed");
  alice.say(bob, "x".repeat(200_000));
  const { entry } = await failed;

  alice.client.disconnect();
  const again = await Person.online(server, alice.name, { outbox });
  assert.equal(again.client.outboxStateOf(entry.client_msg_id), "failed");
  again.client.discard(entry.client_msg_id);

  assert.equal(again.client.outboxStateOf(entry.client_msg_id), undefined);
  assert.deepEqual(await outbox.load(), []);
});

test("what waits in the outbox outlives its client, and is sent once", async () => {
  const outbox = new MemoryOutboxStorage();
  const [, bob] = await pair();
  const name = `writer-${bob.name}`;
  const first = await Person.create(server, name, { outbox });
  first.say(bob, "one");
  first.say(bob, "two");

  const second = await Person.create(server, name, { outbox });
  second.say(bob, "three");
  second.client.connect();
  await bob.hears("three");
  await second.hears("three");

  assert.deepEqual((await second.log(bob)).map(textOf), ["one", "two", "three"]);
  assert.deepEqual(await outbox.load(), []);
});

test("a clock that is far ahead is set right by the server's", async () => {
  const [, bob] = await pair();
  const hourAheadMs = () => Date.now() + 3_600_000;
  const alice = await Person.create(server, `hasty-${bob.name}`, { nowMs: hourAheadMs });
  alice.say(bob, "written before the server's time was known");

  alice.client.connect();
  await bob.hears("written before the server's time was known");
  alice.say(bob, "written after");
  await bob.hears("written after");

  assert.ok(Math.abs(alice.client.serverNowMs - Date.now()) < 60_000);
});

test("after a logout the session is gone at the server too", async () => {
  const [alice, bob] = await pair();

  await bob.client.logout();
  const delivered = alice.next("delivered");
  alice.say(bob, "are you there?");

  assert.equal((await delivered).by, "server");
  assert.equal(bob.client.state.phase, "idle");
});

test("a call without a session is refused at once", async () => {
  const person = await Person.create(server, "offline");

  await assert.rejects(
    person.client.conversations(),
    (error) => error instanceof RookeryError && error.code === "offline" && error.curable,
  );
});
