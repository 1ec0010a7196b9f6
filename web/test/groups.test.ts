import assert from "node:assert/strict";
import nodeTest, { after, afterEach, before } from "node:test";
import { BadNetwork } from "../../sdk/typescript/test/bad-network.ts";
import { everyoneLeaves, Person } from "../../sdk/typescript/test/people.ts";
import { Server } from "../../sdk/typescript/test/server.ts";
import { closeBrowsers, complaints, freshBrowser, quitBrowser, Tab } from "./browser.ts";

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
afterEach(async () => {
  everyoneLeaves();
  await closeBrowsers();
  for (const network of networks.splice(0)) network.close();
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

/** Users exist from their first login on. */
async function exist(...names: string[]): Promise<void> {
  for (const name of names) await (await Person.online(server, name)).client.logout();
}

test("a group is made, talked in and counted as unread, and its author sees who has read", async () => {
  await exist("carol-1");
  const bob = await Tab.signedIn(server, "bob-1");
  const alice = await Tab.signedIn(server, "alice-1");

  await alice.makeGroup({ name: "Nest builders", members: ["bob-1", "carol-1"] });
  await alice.reads("You created the group “Nest builders” with bob-1 and carol-1");
  await alice.write("Who takes the north tree?");
  const row = bob.row("Nest builders");
  await row.getByText("alice-1: Who takes the north tree?").waitFor();
  await row.getByRole("img", { name: "1 unread" }).waitFor();
  assert.equal(await bob.page.title(), "(1) Rookery");
  await alice.page.getByRole("button", { name: "Sent, read by nobody yet" }).waitFor();

  await bob.open("Nest builders");
  await bob.reads("alice-1 created the group “Nest builders” with you and carol-1");
  await bob.log.locator(".sender").getByText("alice-1").waitFor();
  const mark = alice.page.getByRole("button", { name: "Read by 1. Show who" });
  await mark.waitFor();
  assert.equal(await bob.page.title(), "Rookery");
  await bob.write("I do 🐦");
  await alice.sees("I do 🐦");
  await alice.picture("group");

  await mark.click();
  await alice.dialog.getByRole("list", { name: "Read by 1" }).getByText("bob-1").waitFor();
  await alice.dialog.getByRole("list", { name: "Not read by 1" }).getByText("carol-1").waitFor();
  await alice.picture("group-readers");
  await alice.page.keyboard.press("Escape");
  await alice.dialog.waitFor({ state: "detached" });
  const carol = await Tab.signedIn(server, "carol-1");
  await carol.open("Nest builders");
  await alice.page.getByRole("button", { name: "Read by all" }).waitFor();
});

test("who comes and goes is told in the log, and who is out sees why and no field to write in", async () => {
  await exist("dave-2");
  const bob = await Tab.signedIn(server, "bob-2");
  const carol = await Tab.signedIn(server, "carol-2");
  const alice = await Tab.signedIn(server, "alice-2");
  await alice.makeGroup({ name: "Comings", members: ["bob-2"] });
  await alice.write("before carol");

  const details = await alice.openDetails();
  await details.getByRole("button", { name: "Invite" }).click();
  await details.getByLabel("Whom to invite").fill("carol-2, dave-2");
  await alice.picture("group-invite");
  await details.getByRole("button", { name: "Invite" }).click();
  await alice.reads("You added carol-2 and dave-2");
  await details.getByRole("heading", { name: "4 members" }).waitFor();
  await carol.open("Comings");
  await carol.reads("alice-2 added you and dave-2");
  await carol.page.getByText("This is where you came in").waitFor();
  assert.deepEqual(await carol.texts(), []);
  await carol.write("hello");
  await bob.open("Comings");
  await bob.sees("before carol");
  await bob.sees("hello");

  await details.getByRole("button", { name: "Remove carol-2" }).click();
  await alice.dialog.getByRole("button", { name: "Remove" }).click();
  await details.getByRole("heading", { name: "3 members" }).waitFor();
  await carol.page.getByText("alice-2 removed you from this group.").waitFor();
  await carol.composer.waitFor({ state: "detached" });
  await carol.picture("group-former");
  await alice.write("not for carol");
  await bob.sees("not for carol");

  const bobsDetails = await bob.openDetails();
  assert.equal(await bobsDetails.getByRole("button", { name: "Remove" }).count(), 0);
  await bobsDetails.getByRole("button", { name: "Leave this group" }).click();
  await bob.dialog.getByRole("button", { name: "Cancel" }).click();
  await bobsDetails.getByRole("button", { name: "Leave this group" }).click();
  await bob.dialog.getByRole("button", { name: "Leave" }).click();
  await bob.page.getByText("You left this group.").waitFor();
  await alice.reads("bob-2 left");
  await bob.page.reload();
  await bob.page.getByText("You left this group.").waitFor();
  await bob.sees("not for carol");
  assert.equal(await bob.composer.count(), 0);
  assert.deepEqual(await carol.texts(), ["hello"]);
});

test("a group is given another name, its owner leaves to the next, and that one dissolves it", async () => {
  const bob = await Tab.signedIn(server, "bob-3");
  const alice = await Tab.signedIn(server, "alice-3");
  await alice.makeGroup({ name: "First name", members: ["bob-3"] });
  await bob.open("First name");

  const bobsDetails = await bob.openDetails();
  assert.equal(await bobsDetails.getByRole("button", { name: "Dissolve" }).count(), 0);
  await bobsDetails.getByRole("button", { name: "Change the name" }).click();
  await bobsDetails.getByLabel("Name").fill("Second name");
  await bobsDetails.getByRole("button", { name: "Save" }).click();
  await alice.reads("bob-3 named the group “Second name”");
  await alice.page.getByRole("heading", { name: "Second name", level: 1 }).waitFor();
  await alice.row("Second name").waitFor();

  const details = await alice.openDetails();
  await details.getByRole("button", { name: "Leave this group" }).click();
  await alice.dialog.getByText("will own the group").waitFor();
  await alice.dialog.getByRole("button", { name: "Leave" }).click();
  await bob.reads("alice-3 left. You own the group now");
  await bobsDetails.getByRole("button", { name: "Dissolve this group" }).click();
  await bob.dialog.getByRole("button", { name: "Dissolve" }).click();
  await bob.page.getByText("You dissolved this group.").waitFor();
  assert.equal(await bob.composer.count(), 0);
});

test("a meeting is joined by its id, counts nothing as unread, and keeps its owner", async () => {
  const alice = await Tab.signedIn(server, "alice-4");
  const bob = await Tab.signedIn(server, "bob-4");
  await alice.makeGroup({ kind: "Meeting", name: "All hands", id: "all-hands" });
  await alice.write("Slides are up");

  await bob.page.getByRole("button", { name: "New group" }).click();
  await bob.dialog.getByRole("button", { name: "Join a meeting" }).click();
  await bob.dialog.getByLabel("Id of the meeting").fill("no-such-meeting");
  await bob.dialog.getByRole("button", { name: "Join", exact: true }).click();
  await bob.dialog.getByRole("alert").getByText(/\w/).waitFor();
  await bob.dialog.getByLabel("Id of the meeting").fill("all-hands");
  await bob.dialog.getByRole("button", { name: "Join", exact: true }).click();
  await bob.page.getByRole("heading", { name: "All hands", level: 1 }).waitFor();
  await bob.sees("Slides are up");
  await alice.reads("bob-4 joined");

  await bob.page.keyboard.press("Escape");
  await alice.write("Any questions?");
  await bob.row("All hands").getByText("Any questions?").waitFor();
  assert.equal(await bob.page.getByRole("img", { name: /unread/ }).count(), 0);
  await bob.open("All hands");
  await alice.page.getByRole("button", { name: "Read by all" }).last().waitFor();

  const details = await alice.openDetails();
  await details.getByRole("button", { name: "Leave this group" }).click();
  await alice.dialog.getByText("you are the owner of this one").waitFor();
  await alice.dialog.getByRole("button", { name: "Stay" }).click();
  const bobsDetails = await bob.openDetails();
  await bobsDetails.getByRole("button", { name: "Leave this group" }).click();
  await bob.dialog.getByRole("button", { name: "Leave" }).click();
  await bob.page.getByText("You left this group.").waitFor();
  await bob.page.getByRole("button", { name: "Join again" }).click();
  await bob.write("Back again");
  await alice.sees("Back again");
});

test("a link to a meeting shows an outsider the way in, and one to a hidden group nothing", async () => {
  const alice = await Person.online(server, "alice-5");
  await alice.client.groups.create({ kind: "meeting", name: "Open house", group: "open-house" });
  await alice.client.groups.create({ kind: "work", name: "Closed", group: "hidden-5" });
  const bob = await Tab.signedIn(server, "bob-5");

  await bob.page.goto(`http://${server.address}/#/${encodeURIComponent("group:hidden-5")}`);
  await bob.page.getByText("You are not a member of this group.").waitFor();
  assert.equal(await bob.page.getByText("Closed").count(), 0);
  assert.equal(await bob.page.getByRole("button", { name: "Join" }).count(), 0);
  await bob.page.goto(`http://${server.address}/#/${encodeURIComponent("group:open-house")}`);
  await bob.page.getByRole("button", { name: "Join" }).click();
  await bob.reads("You joined");
  await bob.write("here");

  await alice.hearsIn("open-house", ({ from }) => from === "bob-5");
});

test("what happens in a group while the page is away is there when it is back, and a reload finds it", async () => {
  const network = await badNetwork();
  const bob = await Person.online(server, "bob-6");
  const alice = await Tab.signedIn(server, "alice-6", { through: network });
  await alice.makeGroup({ name: "Away", members: ["bob-6"] });
  const created = bob.messages[0] ?? (await bob.next("message"));
  await alice.write("one");

  network.isDown = true;
  network.cut();
  await alice.line.getByText("Connection lost").waitFor();
  await alice.write("two");
  await alice.sees("two", "waiting");
  await bob.client.post(created.conversation, { type: "text", text: "meanwhile" });
  network.isDown = false;
  await alice.page.evaluate(() => window.dispatchEvent(new Event("online")));
  await alice.sees("meanwhile");
  await alice.sees("two", "sent");

  assert.deepEqual(await alice.texts(), ["one", "meanwhile", "two"]);
  await alice.page.reload();
  await alice.sees("meanwhile");
  assert.deepEqual(await alice.texts(), ["one", "meanwhile", "two"]);
  await alice.page.getByRole("heading", { name: "Away", level: 1 }).waitFor();
});

test("names and members that will not do are answered in the form, and names are text", async () => {
  await exist("bob-7");
  const alice = await Tab.signedIn(server, "alice-7");
  await alice.page.getByRole("button", { name: "New group" }).click();
  const create = alice.dialog.getByRole("button", { name: "Create" });
  const says = (text: string) => alice.dialog.getByRole("alert").getByText(text).waitFor();

  for (const name of ["", "   ", "\u200b", "x".repeat(31), "a\u2028b"]) {
    await alice.dialog.getByLabel("Name").fill(name);
    await create.click();
    await says("1 to 30 characters");
    assert.equal(await alice.dialog.getByLabel("Name").getAttribute("aria-invalid"), "true");
    await alice.dialog.getByLabel("Name").fill("fine");
    await alice.dialog.getByLabel("Members, by user id").fill("id!");
    await create.click();
    await says("no user id");
    await alice.dialog.getByLabel("Members, by user id").fill("");
  }
  await alice.dialog.getByLabel("Members, by user id").fill("nobody-7");
  await create.click();
  await says("nobody-7");
  await alice.picture("group-refused");
  const nasty = "<b>x</b><img src=y onerror=a>";
  await alice.dialog.getByLabel("Name").fill(nasty);
  await alice.dialog.getByLabel("Members, by user id").fill("bob-7");
  await create.click();

  await alice.reads(`You created the group “${nasty}” with bob-7`);
  assert.equal(await alice.page.locator("img:not([src='/favicon.svg'])").count(), 0);
  const details = await alice.openDetails();
  await details.getByRole("button", { name: "Change the name" }).click();
  await details.getByLabel("Name").fill(" ");
  await details.getByRole("button", { name: "Save" }).click();
  await details.getByRole("alert").getByText("1 to 30 characters").waitFor();
  await alice.page.keyboard.press("Escape");
  await details.getByRole("button", { name: "Change the name" }).waitFor();
});

test("a group can be made and looked at from the keyboard, and everything in it has a name", async () => {
  await exist("bob-8");
  const alice = await Tab.signedIn(server, "alice-8");
  const { keyboard } = alice.page;
  await alice.page.getByRole("button", { name: "New group" }).focus();
  await keyboard.press("Enter");
  await alice.page.waitForFunction(() => document.activeElement?.getAttribute("name") === "name");
  await keyboard.type("By hand");
  await keyboard.press("Tab");
  await keyboard.type("bob-8");
  await keyboard.press("Enter");
  await keyboard.press("Enter");
  await alice.page.getByRole("heading", { name: "By hand", level: 1 }).waitFor();
  await alice.write("hello");

  await alice.page.getByRole("button", { name: "By hand", exact: true }).focus();
  await keyboard.press("Enter");
  await alice.details.getByText("bob-8").waitFor();
  const nameless = await alice.page.locator("button, a, input, textarea").evaluateAll((all) =>
    all
      .filter((each) => {
        const label = each.getAttribute("aria-label") ?? each.textContent ?? "";
        return label.trim() === "" && (each as HTMLInputElement).labels?.length !== 1;
      })
      .map((each) => each.outerHTML),
  );
  assert.deepEqual(nameless, []);
  await keyboard.press("Escape");
  await alice.details.waitFor({ state: "detached" });
  await alice.page.waitForFunction(() => document.activeElement?.textContent === "By hand");
  await keyboard.press("Escape");

  await alice.page.getByText("Choose a conversation").waitFor();
});

test("a session that is taken over says so over an open form, which is there after it", async () => {
  const alice = await Tab.signedIn(server, "alice-11");
  await alice.page.getByRole("button", { name: "New group" }).click();
  await alice.dialog.getByLabel("Name").fill("half a na");
  const id = await alice.page.evaluate(() => sessionStorage.getItem("rookery.device") ?? "");
  await Person.online(server, "alice-11", { device: { id, platform: "web" } });

  const warning = alice.page.getByRole("alertdialog", { name: "Signed in elsewhere" });
  await warning.waitFor();
  await alice.page.keyboard.press("Escape");
  await warning.getByRole("button", { name: "Log in here" }).click();
  await warning.waitFor({ state: "detached" });
  await alice.isOnline();

  assert.equal(await alice.dialog.getByLabel("Name").inputValue(), "half a na");
  await alice.dialog.getByLabel("Name").fill("a whole name");
  await alice.dialog.getByRole("button", { name: "Create" }).click();
  await alice.reads("You created the group “a whole name”");
});

test("a long list of members comes by page, and of those who were added a few are named", async () => {
  const names = Array.from({ length: 60 }, (_, index) => `many-${index + 10}`);
  // Some at once: each asks a process of its own for a token.
  const queue = names.values();
  const some = async (): Promise<void> => {
    for (const name of queue) await exist(name);
  };
  await Promise.all([some(), some(), some(), some()]);
  const alice = await Tab.signedIn(server, "alice-9");
  await alice.makeGroup({ name: "Many", members: names });

  await alice.reads("You created the group “Many” with many-10, many-11, many-12 and 57 others");
  const details = await alice.openDetails();
  await details.getByRole("heading", { name: "61 members" }).waitFor();
  const members = details.getByRole("list", { name: "Members" }).getByRole("listitem");
  await members.nth(49).waitFor();
  assert.equal(await members.count(), 50);
  await details.getByRole("button", { name: "Show more members" }).click();
  await members.nth(60).waitFor();

  assert.equal(await details.getByRole("button", { name: "Show more members" }).count(), 0);
});

test("on a phone a group and its details take one column each", async () => {
  await exist("bob-10");
  const context = await freshBrowser({
    viewport: { width: 360, height: 640 },
    hasTouch: true,
    isMobile: true,
    colorScheme: "dark",
  });
  const alice = await Tab.signedIn(server, "alice-10", { context });
  const overflow = () =>
    alice.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await alice.makeGroup({ name: "W".repeat(30), members: ["bob-10"] });
  await alice.write("from the phone");
  assert.equal(await overflow(), 0);

  const details = await alice.openDetails();
  await details.getByText("bob-10").waitFor();
  assert.equal((await details.boundingBox())?.width, 360);
  assert.equal(await overflow(), 0);
  await alice.picture("group-phone");
  await details.getByRole("button", { name: "Close the details" }).click();

  await alice.page.getByRole("button", { name: "Back" }).click();
  await alice.row("W{30}").waitFor();
});
