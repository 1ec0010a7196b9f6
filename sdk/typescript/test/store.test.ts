import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { type Chat, ChatStore, receiptOf } from "../src/index.ts";
import { everyoneLeaves, Person } from "./people.ts";
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

/** Waits until a chat looks as it should. */
function shows(store: ChatStore, id: string, fits: (chat: Chat) => boolean): Promise<Chat> {
  if (fits(store.chat(id))) return Promise.resolve(store.chat(id));
  return new Promise((resolve) => {
    const end = store.subscribe(() => {
      if (!fits(store.chat(id))) return;
      end();
      resolve(store.chat(id));
    });
  });
}

/** Someone with a store that was there before the first message. */
async function withStore(name: string): Promise<{ person: Person; store: ChatStore }> {
  const person = await Person.create(server, name);
  const store = new ChatStore(person.client);
  person.client.connect();
  await person.is("online");
  return { person, store };
}

const text = (text: string) => ({ type: "text" as const, text });

test("a message goes through its states under one key, from writing to being read", async () => {
  const alice = await withStore("ticks-alice");
  const bob = await withStore("ticks-bob");
  const toBob = "user:ticks-bob";
  const states: string[] = [];
  let key: string | undefined;
  alice.store.subscribe(() => {
    const chat = alice.store.chat(toBob);
    const all = [...chat.messages, ...chat.pending];
    assert.equal(all.length, 1);
    for (const message of all) {
      key ??= message.key;
      assert.equal(message.key, key);
      const state = receiptOf(chat, message);
      if (states.at(-1) !== state) states.push(state);
    }
  });

  alice.person.client.send(toBob, text("hello"));
  await shows(bob.store, "user:ticks-alice", ({ unread }) => unread === 1);
  bob.store.markRead("user:ticks-alice");
  await shows(alice.store, toBob, ({ peerRead }) => peerRead === 1);

  assert.equal(states.at(-1), "read");
  const order = ["waiting", "sending", "sent", "delivered", "read"];
  assert.deepEqual(
    states,
    order.filter((state) => states.includes(state)),
  );
  assert.equal(bob.store.unread, 0);
});

test("the list, the unread counts and the newest page are there after a login", async () => {
  const alice = await withStore("list-alice");
  // A user exists from the first login on.
  const first = await Person.online(server, "list-bob");
  await first.client.logout();
  const numbers = Array.from({ length: 120 }, (_, index) => `${index + 1}`);
  await Promise.all(
    numbers.map((number) => alice.person.client.post("user:list-bob", text(number))),
  );

  const bob = await withStore("list-bob");
  const chat = await shows(bob.store, "user:list-alice", ({ unread }) => unread > 0);
  assert.deepEqual([chat.unread, chat.head], [120, 120]);
  await bob.store.open(chat.id);
  assert.equal(bob.store.chat(chat.id).messages.at(-1)?.seq, chat.head);
  while (bob.store.chat(chat.id).hasOlder) await bob.store.loadOlder(chat.id);

  const all = bob.store.chat(chat.id).messages.map(({ seq }) => seq);
  assert.deepEqual(
    all,
    Array.from({ length: 120 }, (_, index) => index + 1),
  );
});

test("what one device reads is read on the other", async () => {
  const alice = await withStore("two-alice");
  const phone = await withStore("two-bob");
  const tablet = await withStore("two-bob");
  alice.person.client.send("user:two-bob", text("one"));
  alice.person.client.send("user:two-bob", text("two"));
  const id = "user:two-alice";
  await shows(phone.store, id, ({ unread }) => unread === 2);
  await shows(tablet.store, id, ({ unread }) => unread === 2);

  phone.store.markRead(id);

  assert.equal((await shows(tablet.store, id, ({ unread }) => unread === 0)).read, 2);
});

test("cursors that moved while there was no connection are known after it", async () => {
  const alice = await withStore("away-alice");
  const bob = await withStore("away-bob");
  alice.person.client.send("user:away-bob", text("see you"));
  await shows(bob.store, "user:away-alice", ({ unread }) => unread === 1);
  alice.person.client.disconnect();
  const told = bob.person.client.call("message.read", { conversation: "user:away-alice", seq: 1 });
  await told;

  alice.person.client.connect();

  assert.equal(
    (await shows(alice.store, "user:away-bob", ({ peerRead }) => peerRead === 1)).head,
    1,
  );
});
