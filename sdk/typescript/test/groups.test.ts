import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { type Chat, ChatStore, type Message, RookeryError, readersOf } from "../src/index.ts";
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

let lastGroup = 0;

interface Trio {
  readonly group: string;
  readonly alice: Person;
  readonly bob: Person;
  readonly carol: Person;
  readonly network: BadNetwork;
}

/** Three people whom no other test knows, in a group that alice has made; she is behind a network that may fail. */
async function trio(kind: "work" | "meeting" = "work"): Promise<Trio> {
  lastGroup += 1;
  const network = await badNetwork();
  const alice = await Person.online(server, `alice-${lastGroup}`, { url: network.url });
  const bob = await Person.online(server, `bob-${lastGroup}`);
  const carol = await Person.online(server, `carol-${lastGroup}`);
  const { group } = await alice.client.groups.create({
    group: `g-${lastGroup}`,
    kind,
    name: "Three",
    members: [bob.name, carol.name],
  });
  await Promise.all([alice, bob, carol].map((each) => each.hearsIn(group, seq(1))));
  return { group, alice, bob, carol, network };
}

function seq(wanted: number): (message: Message) => boolean {
  return (message) => message.seq === wanted;
}

function text(wanted: string): (message: Message) => boolean {
  return (message) => textOf(message) === wanted;
}

function say(from: Person, group: string, words: string): string {
  return from.client.send(`group:${group}`, { type: "text", text: words });
}

function isRefused(code: string): (error: unknown) => boolean {
  return (error) => error instanceof RookeryError && error.code === code;
}

test("a group is made, talked in, and told to all of its members alike", async () => {
  const { group, alice, bob, carol } = await trio();

  const sent = await bob.client.post(`group:${group}`, { type: "text", text: "Hello, all" });
  assert.equal(sent.seq, 2);
  await Promise.all([alice, bob, carol].map((each) => each.hearsIn(group, text("Hello, all"))));

  for (const each of [alice, bob, carol]) {
    assert.deepEqual(each.inGroup(group).map(textOf), [
      `created ${alice.name} ${bob.name} ${carol.name}`,
      "Hello, all",
    ]);
  }
  const info = await carol.client.groups.get(group);
  assert.deepEqual([info.name, info.owner, info.members], ["Three", alice.name, 3]);
  assert.deepEqual(
    (await bob.client.groups.list()).groups.map((each) => each.group),
    [group],
  );
});

test("messages of several people at once come to all in one order", async () => {
  const { group, ...people } = await trio();
  const everyone = [people.alice, people.bob, people.carol];
  const count = 40;

  for (let number = 1; number <= count; number++) {
    for (const each of everyone) say(each, group, `${each.name} ${number}`);
  }
  for (const each of everyone) {
    await Promise.all(everyone.map((other) => other.hearsIn(group, text(`${each.name} ${count}`))));
  }

  const log = (await people.bob.logOf(`group:${group}`)).map(textOf);
  assert.equal(log.length, 1 + 3 * count);
  for (const each of everyone) {
    assert.deepEqual(each.inGroup(group).map(textOf), log);
    assert.deepEqual(
      log.filter((words) => words.startsWith(`${each.name} `)),
      Array.from({ length: count }, (_, index) => `${each.name} ${index + 1}`),
    );
  }
});

test("what happens to a group is told in its log", async () => {
  const { group, alice, bob, carol } = await trio();
  const dave = await Person.online(server, `dave-${group}`);
  const { groups } = alice.client;

  await groups.rename(group, "Four");
  assert.deepEqual((await groups.invite(group, [dave.name, bob.name])).users, [dave.name]);
  await dave.hearsIn(group, text(`added ${dave.name}`));
  await groups.remove(group, [carol.name]);
  await carol.hearsIn(group, text(`removed ${carol.name}`));
  await dave.client.groups.leave(group);
  await alice.hearsIn(
    group,
    ({ content }) => content.type === "notice" && content.action === "left",
  );

  assert.deepEqual(
    (await groups.members({ group })).members.map(({ user, role }) => [user, role]),
    [
      [alice.name, "owner"],
      [bob.name, "member"],
    ],
  );
  assert.deepEqual(
    alice.inGroup(group).map(({ seq }) => seq),
    [1, 2, 3, 4, 5],
  );
  assert.equal(carol.client.position?.groups?.[group], undefined);
  assert.equal(dave.client.position?.groups?.[group], undefined);
  assert.equal(alice.client.position?.groups?.[group], 5);
  await assert.rejects(
    carol.client.post(`group:${group}`, { type: "text", text: "still here?" }),
    isRefused("not_a_member"),
  );
  assert.deepEqual(
    carol.inGroup(group).map(({ seq }) => seq),
    [1, 2, 3, 4],
  );
});

test("a meeting is joined by its id, and shows what was said before", async () => {
  const { group, alice, bob } = await trio("meeting");
  await bob.client.post(`group:${group}`, { type: "text", text: "before" });
  const dave = await Person.online(server, `dave-${group}`);

  const { seq: joined } = await dave.client.groups.join(group);
  await dave.hearsIn(group, seq(joined ?? 0));

  assert.deepEqual(dave.inGroup(group).map(textOf), [`joined ${dave.name}`]);
  assert.equal((await dave.logOf(`group:${group}`)).length, 3);
  await assert.rejects(alice.client.groups.leave(group), isRefused("forbidden"));
});

test("a group that one may not see is not there", async () => {
  const { group } = await trio("work");
  const dave = await Person.online(server, `dave-${group}`);

  await assert.rejects(dave.client.groups.join(group), isRefused("not_found"));
  await assert.rejects(dave.client.groups.get(group), isRefused("not_found"));
  await assert.rejects(
    dave.client.groups.create({ kind: "work", name: " " }),
    isRefused("bad_request"),
  );
});

test("a group that was dissolved takes no more, and is told to have ended", async () => {
  const { group, alice, bob } = await trio();

  await alice.client.groups.dissolve(group);
  await bob.hearsIn(
    group,
    ({ content }) => content.type === "notice" && content.action === "dissolved",
  );

  assert.equal(bob.client.position?.groups?.[group], undefined);
  await assert.rejects(bob.client.post(`group:${group}`, { type: "text", text: "anyone?" }));
});

test("a device with a position is told what it missed in its groups, more than a page of it", async () => {
  const { group, alice, bob } = await trio();
  const { position } = bob.client;
  assert.ok(position);
  bob.client.disconnect();
  const words = Array.from({ length: 230 }, (_, index) => `missed ${index + 1}`);
  await Promise.all(
    words.map((each) => alice.client.post(`group:${group}`, { type: "text", text: each })),
  );

  const again = await Person.online(server, bob.name, { position });
  await again.hearsIn(group, text("missed 230"));

  assert.deepEqual(
    again.inGroup(group).map(({ seq }) => seq),
    words.map((_, index) => index + 2),
  );
  const fresh = await Person.online(server, bob.name);
  say(alice, group, "news");
  await fresh.hearsIn(group, text("news"));
  assert.deepEqual(fresh.inGroup(group).map(textOf), ["news"]);
});

test("who is removed while away is told so, and nothing that came after", async () => {
  const { group, alice, bob } = await trio();
  const { position } = bob.client;
  assert.ok(position);
  bob.client.disconnect();
  await alice.client.post(`group:${group}`, { type: "text", text: "to be seen" });
  await alice.client.groups.remove(group, [bob.name]);
  await alice.client.post(`group:${group}`, { type: "text", text: "not to be seen" });

  const again = await Person.online(server, bob.name, { position });
  await again.hearsIn(group, text(`removed ${bob.name}`));

  assert.deepEqual(again.inGroup(group).map(textOf), ["to be seen", `removed ${bob.name}`]);
  assert.equal(again.client.position?.groups?.[group], undefined);
  assert.equal((await again.logOf(`group:${group}`)).length, 3);
});

test("who came back while away is told from the coming back on", async () => {
  const { group, alice, bob } = await trio();
  const { position } = bob.client;
  assert.ok(position);
  bob.client.disconnect();
  await alice.client.groups.remove(group, [bob.name]);
  await alice.client.post(`group:${group}`, { type: "text", text: "not to be seen" });
  await alice.client.groups.invite(group, [bob.name]);
  await alice.client.post(`group:${group}`, { type: "text", text: "welcome" });

  const again = await Person.online(server, bob.name, { position });
  await again.hearsIn(group, text("welcome"));

  assert.deepEqual(again.inGroup(group).map(textOf), [`added ${bob.name}`, "welcome"]);
});

test("a push of a group that was lost shows as a gap, and is pulled", async () => {
  const { group, alice, bob, network } = await trio();
  network.loses = (frame) => frame.includes('"event"') && frame.includes("lost on the way");
  say(bob, group, "lost on the way");
  await bob.hearsIn(group, text("lost on the way"));

  say(bob, group, "arrives");
  await alice.hearsIn(group, text("arrives"));

  assert.deepEqual(alice.inGroup(group).map(textOf).slice(1), ["lost on the way", "arrives"]);
});

test("a last push of a group on screen that was lost is found by the next heartbeat", async () => {
  const { group, alice, bob, network } = await trio();
  alice.client.setOnScreen(`group:${group}`, true);
  network.loses = (frame) => frame.includes('"event"') && frame.includes("the last word");
  say(bob, group, "the last word");
  await bob.hearsIn(group, text("the last word"));

  alice.client.wake();

  await alice.hearsIn(group, text("the last word"));
});

test("a notice whose push was lost is told all the same to who asked for it", async () => {
  const { group, alice, network } = await trio();
  network.loses = (frame) => frame.includes('"event"') && frame.includes("renamed");

  await alice.client.groups.rename(group, "Other");

  await alice.hearsIn(
    group,
    ({ content }) => content.type === "notice" && content.name === "Other",
  );
});

test("a message whose ack was lost is in the group once", async () => {
  const { group, alice, bob, network } = await trio();
  network.loses = (frame) => frame.includes('"message_id"');
  const id = say(alice, group, "only once");
  await bob.hearsIn(group, text("only once"));

  network.loses = undefined;
  const sent = alice.next("sent", ({ entry }) => entry.client_msg_id === id);
  network.cut();
  await sent;
  await alice.hearsIn(group, text("only once"));

  assert.deepEqual((await bob.logOf(`group:${group}`)).map(textOf).slice(1), ["only once"]);
  assert.equal(alice.inGroup(group).filter(text("only once")).length, 1);
});

test("members over a bad network end up with the same log", async () => {
  const { group, alice, bob, carol, network } = await trio();
  const random = seeded(7);
  const count = 60;

  for (let number = 1; number <= count; number++) {
    say(alice, group, `a${number}`);
    say(bob, group, `b${number}`);
    network.delayMs = below(random, 12);
    if (random() < 0.2) network.cut();
    if (random() < 0.2) network.cutAfter(random() < 0.5 ? "there" : "back", below(random, 2_000));
    await new Promise((resolve) => setImmediate(resolve));
    if (number % 10 === 0) {
      await Promise.all([
        alice.hearsIn(group, text(`b${number}`)),
        bob.hearsIn(group, text(`a${number}`)),
      ]);
    }
  }
  for (const each of [alice, bob, carol]) {
    await each.hearsIn(group, text(`a${count}`));
    await each.hearsIn(group, text(`b${count}`));
  }

  const log = (await carol.logOf(`group:${group}`)).map(textOf);
  assert.equal(log.length, 1 + 2 * count);
  for (const each of [alice, bob, carol]) assert.deepEqual(each.inGroup(group).map(textOf), log);
});

test("a server that is killed and started again has everything of the group that it acked", async () => {
  const { group, alice, bob } = await trio();
  let number = 0;
  for (let burst = 0; burst < 30; burst++) {
    number += 1;
    say(alice, group, `${number}`);
  }
  await alice.next("sent");
  await server.kill();
  number += 1;
  say(alice, group, `${number}`);
  await server.restart();
  await Promise.all([alice, bob].map((each) => each.hearsIn(group, text(`${number}`))));

  const expected = Array.from({ length: number }, (_, index) => `${index + 1}`);
  for (const each of [alice, bob]) {
    assert.deepEqual(each.inGroup(group).map(textOf).slice(1), expected);
  }
});

/** A way to the server on which somebody sits who reads everything, and may change or answer it. */
function through(middle: {
  /** Returns what goes on to the server, if anything does. */
  there?: (frame: string, answer: (frame: object) => void) => string | undefined;
  /** Returns what goes on to the client. */
  back?: (frame: string) => string[];
}): OpenTransport {
  const inner = webSocketTransport(server.url, OwnWebSocket);
  return (events) => {
    const transport = inner({
      ...events,
      frame: (frame) => {
        for (const each of middle.back?.(frame) ?? [frame]) events.frame(each);
      },
    });
    return {
      ...transport,
      send: (frame) => {
        const { there } = middle;
        const answer = (body: object): void => events.frame(JSON.stringify(body));
        const passing = there === undefined ? frame : there(frame, answer);
        if (passing !== undefined) transport.send(passing);
      },
    };
  };
}

test("the pages of a sync are followed to the last before a group counts as new", async () => {
  const { group, alice, bob } = await trio();
  const { position } = bob.client;
  assert.ok(position);
  bob.client.disconnect();
  say(alice, group, "missed");
  await alice.hearsIn(group, text("missed"));
  let heads: unknown;
  const asked: unknown[] = [];
  const open = through({
    // The groups of the login's sync come on a second page.
    back: (frame) => {
      const parsed = JSON.parse(frame);
      if (parsed.ok?.sync === undefined) return [frame];
      heads = parsed.ok.sync.groups;
      parsed.ok.sync = { ...parsed.ok.sync, groups: [], next: "page-2" };
      return [JSON.stringify(parsed)];
    },
    there: (frame, answer) => {
      const { id, cmd, body } = JSON.parse(frame);
      if (cmd !== "sync") return frame;
      asked.push(body);
      const { epoch, inbox } = position;
      answer({ re: id, ok: { epoch, inbox, groups: heads } });
      return undefined;
    },
  });

  const again = await Person.online(server, bob.name, { position, open });
  say(alice, group, "news");
  await again.hearsIn(group, text("news"));

  assert.deepEqual(again.inGroup(group).map(textOf), ["missed", "news"]);
  assert.deepEqual(asked, [{ ...position, after: "page-2" }]);
});

test("pushes that the server left out are had after its word that they were", async () => {
  const { group, alice, bob } = await trio();
  let leavesOut = false;
  const open = through({
    back: (frame) => {
      if (!leavesOut || !frame.includes('"message.new"')) return [frame];
      if (!frame.includes("the last of them")) return [];
      leavesOut = false;
      return ['{"event":"sync.needed","body":{}}'];
    },
  });
  const tablet = await Person.online(server, bob.name, { open });
  const synced = tablet.next("synced");
  leavesOut = true;

  for (const words of ["left out", "too", "the last of them"]) say(alice, group, words);
  await tablet.hearsIn(group, text("the last of them"));
  await synced;
  say(alice, group, "as usual");
  await tablet.hearsIn(group, text("as usual"));

  assert.deepEqual(tablet.inGroup(group).map(textOf), [
    "left out",
    "too",
    "the last of them",
    "as usual",
  ]);
});

test("content of a later version is told as it is, and what follows too", async () => {
  const { group, alice, bob } = await trio();
  const open = through({
    back: (frame) => [frame.replaceAll('{"type":"text","text":"odd"}', '{"type":"hologram"}')],
  });
  const tablet = await Person.create(server, bob.name, { open });
  const store = new ChatStore(tablet.client);
  tablet.client.connect();
  await tablet.is("online");

  say(alice, group, "odd");
  say(alice, group, "even");
  await tablet.hearsIn(group, text("even"));

  const [odd, even] = tablet.inGroup(group);
  assert.deepEqual([odd?.content, even?.seq], [{ type: "hologram" }, 3]);
  assert.equal(tablet.client.position?.groups?.[group], 3);
  await store.open(`group:${group}`);
  assert.deepEqual(
    store.chat(`group:${group}`).messages.map(({ content }) => content.type),
    ["notice", "hologram", "text"],
  );
});

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

test("a store counts what is unread in a work group, on all devices, and authors are told who has read", async () => {
  const { group, alice, bob } = await trio();
  const id = `group:${group}`;
  const aliceStore = new ChatStore(alice.client);
  await aliceStore.open(id);
  const phone = await Person.create(server, bob.name);
  const store = new ChatStore(phone.client);
  phone.client.connect();
  await phone.is("online");
  await shows(store, id, (chat) => chat.group?.kind === "work");

  say(alice, group, "one");
  say(alice, group, "two");
  assert.equal((await shows(store, id, ({ unread }) => unread === 2)).name, "Three");
  const read = bob.next("read", ({ conversation }) => conversation === id);
  await store.open(id);
  store.markRead(id);

  assert.deepEqual(await read, { conversation: id, seq: 3, user: bob.name });
  const chat = await shows(aliceStore, id, ({ counts, reads, messages }) => {
    const last = messages.at(-1);
    return last !== undefined && counts.length + reads.length > 0 && last.seq === 3;
  });
  await shows(aliceStore, id, (now) => {
    const last = now.messages.at(-1);
    return last !== undefined && readersOf(now, last) === 1;
  });
  assert.equal(chat.group?.members, 3);
  assert.equal((await shows(store, id, ({ unread }) => unread === 0)).read, 3);
  const members = await aliceStore.loadReads(id);
  assert.equal(members?.find(({ user }) => user === bob.name)?.read, 3);
});

test("a store shows a group that one was added to, and that one was removed from it", async () => {
  const { group, alice } = await trio();
  const id = `group:${group}`;
  const dave = await Person.create(server, `dave-${group}`);
  const store = new ChatStore(dave.client);
  dave.client.connect();
  await dave.is("online");

  await alice.client.groups.invite(group, [dave.name]);
  say(alice, group, "welcome");
  const added = await shows(store, id, ({ unread }) => unread === 1);
  assert.deepEqual([added.name, added.group?.left], ["Three", false]);
  await alice.client.groups.rename(group, "Renamed");
  await shows(store, id, ({ name }) => name === "Renamed");
  await alice.client.groups.remove(group, [dave.name]);
  await shows(store, id, (chat) => chat.group?.left === true);

  await store.open(id);
  assert.deepEqual(
    store.chat(id).messages.map(({ content }) => ("action" in content ? content.action : "text")),
    ["added", "text", "renamed", "removed"],
  );
  store.markRead(id);
  await shows(store, id, ({ unread }) => unread === 0);
});
