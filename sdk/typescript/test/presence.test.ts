import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { type ClientOptions, PeopleStore, type Presence } from "../src/index.ts";
import { BadNetwork } from "./bad-network.ts";
import { everyoneLeaves, Person } from "./people.ts";
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

interface Neighbour {
  readonly person: Person;
  readonly people: PeopleStore;
}

/** Somebody online, with what an application shows them of people. */
async function neighbour(name: string, more: Partial<ClientOptions> = {}): Promise<Neighbour> {
  const person = await Person.create(server, name, more);
  const people = new PeopleStore(person.client);
  person.client.connect();
  await person.is("online");
  return { person, people };
}

/** Waits until something can be seen in a store, now or later. */
function sees(people: PeopleStore, fits: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    if (fits()) {
      resolve();
      return;
    }
    const end = people.subscribe(() => {
      if (!fits()) return;
      end();
      resolve();
    });
  });
}

/** Waits until somebody is seen like that. */
async function seesAs(
  { people }: Neighbour,
  user: string,
  wanted: Partial<Presence>,
): Promise<Presence> {
  const isSo = (presence: Presence | undefined): boolean =>
    Object.entries(wanted).every(([key, value]) => presence?.[key as keyof Presence] === value);
  await sees(people, () => isSo(people.presence(user)));
  const found = people.presence(user);
  if (found === undefined) throw new Error(`nothing is known of ${user}`);
  return found;
}

let lastPair = 0;

/** Two friends whom no other test knows. */
async function friends(): Promise<[Neighbour, Neighbour]> {
  lastPair += 1;
  const [alice, bob] = [
    await neighbour(`alice-${lastPair}`),
    await neighbour(`bob-${lastPair}`),
  ] as const;
  await alice.people.add(bob.person.name);
  await sees(bob.people, () => bob.people.friends.has(alice.person.name));
  return [alice, bob];
}

test("a friend is one on both sides and on all devices, until one of the two ends it", async () => {
  const [alice, bob] = await friends();
  const tablet = await neighbour(alice.person.name);
  await sees(tablet.people, () => tablet.people.friends.has(bob.person.name));
  const { friends: listed } = await bob.person.client.friends.list();
  assert.deepEqual(
    listed.map(({ user }) => user),
    [alice.person.name],
  );

  await bob.people.remove(alice.person.name);

  for (const { people } of [alice, bob, tablet])
    await sees(people, () => people.friends.size === 0);
  assert.equal(tablet.people.presence(bob.person.name), undefined);
});

test("friends see each other come, look away and go", async () => {
  const [alice, bob] = await friends();
  const online = await seesAs(alice, bob.person.name, { state: "online", status: "available" });
  assert.deepEqual(online.platforms, [{ platform: "api", state: "online" }]);

  bob.people.setInFront(false);
  await seesAs(alice, bob.person.name, { state: "background" });
  bob.people.setInFront(true);
  await seesAs(alice, bob.person.name, { state: "online" });
  await bob.person.client.logout();

  const gone = await seesAs(alice, bob.person.name, { state: "offline" });
  assert.ok(Math.abs((gone.last_seen_ms ?? 0) - Date.now()) < 180_000);
  assert.equal(gone.platforms, undefined);
});

test("a status with words and an end is seen by friends and by one's other devices", async () => {
  const [alice, bob] = await friends();
  const tablet = await neighbour(alice.person.name);
  const status = {
    status: "busy",
    text: "in the north tree 🐦",
    until_ms: Date.now() + 3_600_000,
  } as const;

  await alice.people.setStatus(status);

  await seesAs(bob, alice.person.name, status);
  await seesAs(tablet, alice.person.name, status);
  await seesAs(alice, alice.person.name, status);
});

test("who is invisible looks offline to friends, and not to their own devices", async () => {
  const [alice, bob] = await friends();
  const tablet = await neighbour(alice.person.name);
  await seesAs(bob, alice.person.name, { state: "online" });

  await alice.people.setStatus({ status: "invisible" });

  const seen = await seesAs(bob, alice.person.name, { state: "offline" });
  assert.equal(seen.status, undefined);
  const own = await seesAs(tablet, alice.person.name, { status: "invisible" });
  assert.equal(own.state, "online");
});

test("somebody who is no friend is seen for as long as they are looked at", async () => {
  const alice = await neighbour("alice-of-strangers");
  const bob = await neighbour("bob-of-strangers");

  const end = alice.people.watch(bob.person.name);
  await seesAs(alice, bob.person.name, { state: "online" });
  await bob.people.setStatus({ status: "away" });
  await seesAs(alice, bob.person.name, { status: "away" });
  end();

  assert.equal(alice.people.presence(bob.person.name), undefined);
});

test("what happened while the connection was lost is seen when it is back", async () => {
  const network = await badNetwork();
  const bob = await neighbour("bob-of-storms");
  const alice = await neighbour("alice-of-storms", { url: network.url });
  await alice.people.add(bob.person.name);
  const end = alice.people.watch("carol-of-storms");
  await seesAs(alice, bob.person.name, { state: "online" });
  await seesAs(alice, "carol-of-storms", { state: "offline" });

  network.isDown = true;
  network.cut();
  await alice.person.is("waiting");
  assert.equal(alice.people.presence(bob.person.name), undefined, "nothing is known without one");
  await bob.people.setStatus({ status: "dnd", text: "asleep" });
  await neighbour("carol-of-storms");
  network.isDown = false;
  alice.person.client.wake();

  await seesAs(alice, bob.person.name, { status: "dnd", text: "asleep" });
  await seesAs(alice, "carol-of-storms", { state: "online" });
  end();
});

test("a device that is not in front says so again in its next session", async () => {
  const network = await badNetwork();
  const alice = await neighbour("alice-behind", { url: network.url });
  const bob = await neighbour("bob-behind");
  const end = bob.people.watch(alice.person.name);
  alice.people.setInFront(false);
  await seesAs(bob, alice.person.name, { state: "background" });
  await alice.person.client.logout();
  await seesAs(bob, alice.person.name, { state: "offline" });

  alice.person.client.connect();

  await seesAs(bob, alice.person.name, { state: "background" });
  end();
});
