import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { everyoneLeaves, Person } from "../../sdk/typescript/test/people.ts";
import { Server } from "../../sdk/typescript/test/server.ts";
import { closeBrowsers, complaints, freshBrowser, quitBrowser, Tab } from "./browser.ts";

let server: Server;
before(async () => {
  server = await Server.start();
});
afterEach(async () => {
  everyoneLeaves();
  await closeBrowsers();
});
after(async () => {
  await quitBrowser();
  await server.stop();
});

/** No test may leave a page that complained, whatever else it is about. */
function test(name: string, body: () => Promise<void>): void {
  nodeTest(name, { timeout: 120_000 }, async () => {
    complaints.length = 0;
    await body();
    assert.deepEqual(complaints, []);
  });
}

test("a tab ends another one, which says so and comes back only when told to", async () => {
  const context = await freshBrowser();
  const first = await Tab.signedIn(server, "alice-1", { context });
  const second = await Tab.signedIn(server, "alice-1", { context });
  const dialog = await first.openSelf();
  const devices = dialog.getByRole("region", { name: "Your devices" }).getByRole("listitem");
  await devices.nth(1).waitFor();
  await devices.first().getByText("This one").waitFor();
  await first.picture("devices");

  await dialog.getByRole("button", { name: /^Log out Chrome/ }).click();

  const ended = second.page.getByRole("alertdialog", { name: "Session ended" });
  await ended.getByText(/^This session of alice-1 was ended at .* from another device/).waitFor();
  await second.picture("ended");
  await devices.nth(1).waitFor({ state: "detached" });
  // It stays so, whatever wakes it, and when it is loaded again.
  await second.page.evaluate(() => window.dispatchEvent(new Event("online")));
  await second.page.reload();
  await ended.getByText("was ended while this page was away").waitFor();
  await ended.getByRole("button", { name: "Log in here" }).click();
  await second.isOnline();
  await ended.waitFor({ state: "detached" });
  assert.equal(await first.page.getByRole("alertdialog").count(), 0);
});

test("all others are ended at once, after a question", async () => {
  const others = [
    await Person.online(server, "alice-2"),
    await Person.online(server, "alice-2", { device: { id: "phone", platform: "ios" } }),
  ];
  const ends = others.map((other) => other.is("ended"));
  const alice = await Tab.signedIn(server, "alice-2");
  const dialog = await alice.openSelf();

  await dialog.getByRole("button", { name: "Log out all others" }).click();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.getByRole("button", { name: "Log out all others" }).click();
  // The focus follows the question in a moment, to the button that says yes.
  await dialog.locator("button:focus", { hasNotText: "Log out all others" }).waitFor();
  await alice.page.keyboard.press("Enter");

  for (const state of await Promise.all(ends)) {
    assert.equal(state.phase === "ended" && state.ended.kicked?.reason, "kicked");
  }
  await dialog.getByRole("button", { name: "Show 2 logged out" }).click();
  await dialog
    .getByText(/^logged out at /)
    .first()
    .waitFor();
});

test("two tabs of one user are two devices, and stay in step", async () => {
  const context = await freshBrowser();
  const bob = await Person.online(server, "bob-3");
  const first = await Tab.signedIn(server, "alice-3", { context });
  const second = await Tab.signedIn(server, "alice-3", { context });
  await first.start("bob-3");
  await first.write("from the first");
  await second.open("bob-3");
  await second.sees("from the first");
  await second.write("from the second");
  await first.sees("from the second");

  await bob.client.post("user:alice-3", { type: "text", text: "to both" });
  await first.sees("to both");
  await second.sees("to both");

  assert.deepEqual(await first.texts(), ["from the first", "from the second", "to both"]);
  assert.deepEqual(await second.texts(), await first.texts());
});

test("a token that is about to run out is told of, while there is time to get another", async () => {
  const page = await (await freshBrowser()).newPage();
  // The server tells of it a minute before.
  const token = await server.token("alice-5", 62);

  await page.goto(`http://${server.address}/#${new URLSearchParams({ user: "alice-5", token })}`);

  await page.getByRole("alert").getByText("Your token is about to run out").waitFor();
  await page.getByRole("navigation", { name: "Conversations" }).waitFor();
});

test("a token that has run out leads back to the sign-in, which says so", async () => {
  const page = await (await freshBrowser()).newPage();
  const token = await server.token("alice-4", 1);
  await new Promise((resolve) => setTimeout(resolve, 2_100));

  await page.goto(`http://${server.address}/#${new URLSearchParams({ user: "alice-4", token })}`);

  await page.getByRole("alert").getByText("The token has run out").waitFor();
});

test("revoked tokens lead back to the sign-in, which says that it takes a new one", async () => {
  const alice = await Tab.signedIn(server, "alice-6");

  await server.rest("POST", "/users/alice-6/revoke");

  await alice.page.getByRole("alert").getByText("Sign in with a new token").waitFor();
  assert.equal(await alice.page.getByLabel("User id").inputValue(), "alice-6");
  await alice.page.getByLabel("Token").fill(await server.token("alice-6"));
  await alice.page.getByRole("button", { name: "Sign in" }).click();
  await alice.isOnline();
});

test("under a rule of one device the newest tab wins, and the other says why", async () => {
  await withRules({ mode: "single", on_conflict: "newest_wins" }, async () => {
    const first = await Tab.signedIn(server, "alice-7");
    const second = await Tab.signedIn(server, "alice-7");

    const ended = first.page.getByRole("alertdialog", { name: "Signed in elsewhere" });
    await ended.getByText(/because you signed in on another device/).waitFor();
    await first.page.reload();
    await first.page.getByRole("alertdialog").getByText("was ended while this page was").waitFor();
    assert.equal(await second.page.getByRole("alertdialog").count(), 0);
  });
});

test("where newcomers are turned away, the page says who is in, and gets in when they are gone", async () => {
  await withRules({ mode: "single", on_conflict: "refuse_newcomer" }, async () => {
    const first = await Tab.signedIn(server, "alice-8");
    const page = await (await freshBrowser()).newPage();
    await page.goto(first.link);

    const refused = page.getByRole("alertdialog", { name: "Signed in elsewhere" });
    await refused.getByRole("list", { name: "Devices that are in" }).getByText("Chrome").waitFor();
    await first.page.getByRole("button", { name: "Sign out" }).click();
    await first.page.getByLabel("User id").waitFor();
    await refused.getByRole("button", { name: "Try again" }).click();

    await refused.waitFor({ state: "detached" });
    await page.getByText("No conversations yet").waitFor();
  });
});

/** Does `work` under other rules for logins than the usual ones. */
async function withRules(rules: object, work: () => Promise<void>): Promise<void> {
  await server.rest("PUT", "/app/login-policy", rules);
  try {
    await work();
  } finally {
    await server.rest("PUT", "/app/login-policy", {
      mode: "per_class",
      on_conflict: "newest_wins",
    });
  }
}
