import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import type { ClientOptions, ConnectionState, Ended } from "../src/index.ts";
import { BadNetwork } from "./bad-network.ts";
import { everyoneLeaves, Person, textOf } from "./people.ts";
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

/** One of a user's devices. There may be ten of this kind. */
function on(id: string, more: Partial<ClientOptions> = {}): Partial<ClientOptions> {
  return { device: { id, platform: "web", name: `The ${id}` }, ...more };
}

function endOf(state: ConnectionState): Ended {
  if (state.phase !== "ended") throw new Error(`it is ${state.phase}`);
  return state.ended;
}

test("one's devices are listed, and one that is ended is told by which, and stays away", async () => {
  const laptop = await Person.online(server, "alice-1", on("laptop"));
  const tablet = await Person.online(server, "alice-1", on("tablet"));
  const ended = tablet.is("ended");

  const { devices } = await laptop.client.devices();
  const told = await laptop.client.kickDevice("tablet");

  assert.deepEqual(
    devices.map(({ device, online, current = false }) => [device.name, online, current]),
    [
      ["The tablet", true, false],
      ["The laptop", true, true],
    ],
  );
  assert.deepEqual(
    told.ended.map(({ id }) => id),
    ["tablet"],
  );
  const { kicked, closeCode } = endOf(await ended);
  assert.equal(closeCode, 4501);
  assert.equal(kicked?.reason, "kicked");
  assert.equal(kicked?.by, "laptop");
  assert.ok(Math.abs((kicked?.atMs ?? 0) - Date.now()) < 60_000);
  tablet.client.wake();
  assert.equal(tablet.client.state.phase, "ended");
  const [row] = (await laptop.client.devices()).devices.filter(
    ({ device }) => device.id === "tablet",
  );
  assert.equal(row?.online, false);
  assert.ok(row?.ended_at_ms !== undefined);
});

test("a person may log in again where a session was ended", async () => {
  const laptop = await Person.online(server, "alice-2", on("laptop"));
  const tablet = await Person.online(server, "alice-2", on("tablet"));
  const ended = tablet.is("ended");
  await laptop.client.kickDevice("tablet", "web");
  await ended;

  tablet.client.connect();
  await tablet.is("online");

  assert.equal(laptop.client.state.phase, "online");
});

test("all sessions but one's own are ended at once", async () => {
  const laptop = await Person.online(server, "alice-3", on("laptop"));
  const others = await Promise.all(
    ["one", "two", "three"].map((id) => Person.online(server, "alice-3", on(id))),
  );
  const ends = others.map((other) => other.is("ended"));

  const { ended } = await laptop.client.kickOthers();

  assert.deepEqual(ended.map(({ id }) => id).sort(), ["one", "three", "two"]);
  for (const state of await Promise.all(ends)) assert.equal(endOf(state).kicked?.by, "laptop");
  assert.equal((await laptop.client.devices()).devices.filter(({ online }) => online).length, 1);
});

test("a session that was ended while its network was away does not come back by itself", async () => {
  const network = await badNetwork();
  const laptop = await Person.online(server, "alice-4", on("laptop"));
  const tablet = await Person.online(server, "alice-4", on("tablet", { url: network.url }));
  network.isDown = true;
  network.cut();
  await tablet.is("waiting");
  await laptop.client.kickDevice("tablet");

  const ended = tablet.next("state", ({ phase }) => phase === "ended");
  network.isDown = false;
  tablet.client.wake();

  assert.equal(endOf(await ended).error?.code, "conflict");
  tablet.client.connect();
  await tablet.is("online");
});

test("a page that is loaded again goes on with its session, unless that was ended", async () => {
  const first = await Person.online(server, "alice-5", on("tab"));
  const loginNo = first.client.loginNo;
  first.client.disconnect();

  const second = await Person.create(server, "alice-5", on("tab"));
  second.client.connect(loginNo);
  await second.is("online");
  assert.notEqual(second.client.loginNo, loginNo);
  const ended = second.is("ended");
  const laptop = await Person.online(server, "alice-5", on("laptop"));
  await laptop.client.kickOthers();
  await ended;
  const third = await Person.create(server, "alice-5", on("tab"));
  third.client.connect(second.client.loginNo);

  assert.equal(endOf(await third.is("ended")).error?.code, "conflict");
});

test("a token that is about to run out is renewed, and nobody notices", async () => {
  // The server tells of it a minute before.
  const short = await server.token("alice-6", 62);
  const long = await server.token("alice-6");
  const spent: Array<string | undefined> = [];
  const alice = await Person.create(server, "alice-6", {
    token: (old) => {
      spent.push(old);
      return old === undefined ? short : long;
    },
  });
  const expiring = alice.next("tokenExpiring");

  alice.client.connect();
  await alice.is("online");
  const { expiresAtMs } = await expiring;

  assert.ok(expiresAtMs > alice.client.serverNowMs);
  assert.deepEqual(spent, [undefined, short]);
  const renewed = await alice.client.call("token.renew", { token: long });
  assert.ok(renewed.expires_at_ms > expiresAtMs);
});

test("what meets a token that has run out waits for the next one, and goes on in its order", async () => {
  const bob = await Person.online(server, "bob-7");
  const long = await server.token("alice-7");
  // Signed last, with time enough to log in while a busy machine does other things.
  const short = await server.token("alice-7", 5);
  let isThere = false;
  const alice = await Person.create(server, "alice-7", {
    token: (spent) => (spent !== undefined && isThere ? long : short),
  });
  const expiring = alice.next("tokenExpiring");
  alice.client.connect();
  await alice.is("online");
  const { expiresAtMs } = await expiring;
  await new Promise((resolve) => setTimeout(resolve, expiresAtMs - Date.now() + 1_100));

  const texts = ["one", "two", "three"];
  for (const text of texts) alice.say(bob, text);
  const list = alice.client.conversations();
  isThere = true;
  await bob.hears("three");

  assert.ok(Array.isArray((await list).conversations));
  assert.deepEqual(bob.messages.map(textOf), texts);
  assert.equal(alice.client.state.phase, "online");
});

test("a login with a token that has run out asks for another, once", async () => {
  const short = await server.token("alice-8", 1);
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  const long = await server.token("alice-8");

  const alice = await Person.create(server, "alice-8", {
    token: (spent) => (spent === undefined ? short : long),
  });
  alice.client.connect();
  await alice.is("online");
  const stubborn = await Person.create(server, "alice-8", { token: () => short });
  stubborn.client.connect();

  assert.equal(endOf(await stubborn.is("ended")).error?.code, "token_expired");
});

test("a session whose token was revoked says so, and a new token opens another", async () => {
  const old = await server.token("alice-9");
  let token = old;
  const alice = await Person.online(server, "alice-9", { token: () => token });
  const ended = alice.is("ended");

  await server.rest("POST", "/users/alice-9/revoke");

  const { kicked, closeCode } = endOf(await ended);
  assert.equal(kicked?.reason, "revoked");
  assert.equal(closeCode, 4502);
  const again = await Person.create(server, "alice-9", { token: () => old });
  again.client.connect();
  assert.equal(endOf(await again.is("ended")).error?.code, "bad_token");
  token = await server.token("alice-9");
  alice.client.connect();
  await alice.is("online");
});

test("who is turned away for others that are in is told which", async () => {
  await server.rest("PUT", "/app/login-policy", { mode: "single", on_conflict: "refuse_newcomer" });
  await Person.online(server, "alice-10", on("laptop"));

  const tablet = await Person.create(server, "alice-10", on("tablet"));
  tablet.client.connect();

  const { error } = endOf(await tablet.is("ended"));
  assert.equal(error?.code, "conflict");
  assert.deepEqual(error?.devices, [{ id: "laptop", platform: "web", name: "The laptop" }]);
});
