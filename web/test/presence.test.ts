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

/** Makes a tab look hidden to its page, as one does that is behind others. */
async function hide(tab: Tab, state: "hidden" | "visible"): Promise<void> {
  await tab.page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

test("the other side of a conversation is seen to come, to look away and to go", async () => {
  await (await Person.online(server, "bob-1")).client.logout();
  const alice = await Tab.signedIn(server, "alice-1");
  await alice.start("bob-1");
  await alice.page
    .locator(".pane .bar-sub")
    .getByText(/^(Offline|Last seen at .*)$/)
    .waitFor();

  const there = await Tab.signedIn(server, "bob-1");
  await alice.saysOfPeer("Online");
  await hide(there, "hidden");
  await alice.saysOfPeer("In the background");
  await hide(there, "visible");
  await alice.saysOfPeer("Online");
  await there.page.getByRole("button", { name: "Sign out" }).click();

  await alice.page
    .locator(".pane .bar-sub")
    .getByText(/^Last seen at /)
    .waitFor();
});

test("a friend is added and removed, in both tabs of both", async () => {
  const context = await freshBrowser();
  const bob = await Tab.signedIn(server, "bob-2");
  const alice = await Tab.signedIn(server, "alice-2", { context });
  const second = await Tab.signedIn(server, "alice-2", { context });
  await alice.start("bob-2");
  await alice.write("Shall we be friends?");
  await bob.open("alice-2");
  await second.open("bob-2");

  await alice.page.getByRole("button", { name: "Add friend" }).click();
  for (const tab of [alice, second, bob]) {
    await tab.page.getByRole("button", { name: "Remove friend" }).waitFor();
  }
  await alice.page.getByRole("link", { name: /bob-2.*, Online/ }).waitFor();
  await alice.picture("friend");
  await bob.page.getByRole("button", { name: "Remove friend" }).click();

  for (const tab of [alice, second, bob]) {
    await tab.page.getByRole("button", { name: "Add friend" }).waitFor();
  }
  await alice.page.getByRole("link", { name: /bob-2.*, Online/ }).waitFor({ state: "detached" });
});

test("a friend to whom nothing was said yet stands in the list", async () => {
  const bob = await Person.online(server, "bob-3");
  const alice = await Tab.signedIn(server, "alice-3");
  await bob.client.friends.add("alice-3");

  await alice.row("bob-3").getByText("Online").waitFor();
  await alice.row("bob-3").click();

  await alice.page.getByRole("heading", { name: "bob-3" }).waitFor();
});

test("a status is set in one tab, seen by friends, and the same in the other tab", async () => {
  const context = await freshBrowser();
  const bob = await Tab.signedIn(server, "bob-4");
  const alice = await Tab.signedIn(server, "alice-4", { context });
  const second = await Tab.signedIn(server, "alice-4", { context });
  await bob.start("alice-4");
  await bob.page.getByRole("button", { name: "Add friend" }).click();

  await alice.setStatus("Busy", "in the north tree 🐦");

  await bob.saysOfPeer("Busy: in the north tree 🐦");
  await bob.row("alice-4").getByText("in the north tree 🐦").first().waitFor();
  await second.page.locator(".own").getByText("Busy: in the north tree 🐦").waitFor();
  const dialog = await second.openSelf();
  assert.ok(await dialog.getByRole("radio", { name: "Busy" }).isChecked());
  assert.equal(await dialog.getByLabel("In words").inputValue(), "in the north tree 🐦");
  await second.picture("status");
  await dialog.getByLabel("In words").fill("x".repeat(129));
  await dialog.getByRole("button", { name: "Set status" }).click();
  await dialog.getByRole("alert").getByText("too many words").waitFor();
  await dialog.getByLabel("In words").fill("");
  await dialog.getByRole("radio", { name: "Invisible" }).check();
  await dialog.getByRole("button", { name: "Set status" }).click();

  await bob.page
    .locator(".pane .bar-sub")
    .getByText(/^(Last seen|Offline)/)
    .waitFor();
  await alice.page.locator(".own").getByText("Invisible", { exact: true }).waitFor();
});

test("on a phone, and by the keyboard, a status is set all the same", async () => {
  const context = await freshBrowser({
    viewport: { width: 390, height: 780 },
    hasTouch: true,
    isMobile: true,
  });
  const alice = await Tab.signedIn(server, "alice-5", { context });
  const { keyboard } = alice.page;

  await alice.page.getByRole("button", { name: "Your status and devices" }).focus();
  await keyboard.press("Enter");
  await alice.dialog.getByRole("radio", { name: "Available" }).focus();
  await keyboard.press("ArrowRight");
  await keyboard.press("Tab");
  await keyboard.type("back at two");
  await keyboard.press("Enter");

  await alice.page.locator(".own").getByText("Away: back at two").waitFor();
  assert.equal(
    await alice.page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    0,
  );
});
