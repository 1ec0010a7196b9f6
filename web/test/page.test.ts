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

test("two people chat in two tabs, and the ticks tell how far each message is", async () => {
  const context = await freshBrowser();
  const bob = await Tab.signedIn(server, "bob", { context });
  const alice = await Tab.signedIn(server, "alice", { context });
  assert.equal(new URL(alice.page.url()).hash, "", "the token has left the address bar");

  await alice.start("bob");
  await alice.write("Hello, Bob!");
  await alice.sees("Hello, Bob!", "delivered");
  await bob.page.getByRole("link", { name: "1 unread" }).waitFor();
  assert.equal(await bob.page.title(), "(1) Rookery");

  await bob.open("alice");
  await bob.sees("Hello, Bob!");
  await alice.sees("Hello, Bob!", "read");
  await bob.write("Hello, Alice 🐦");
  await alice.sees("Hello, Alice 🐦");
  await bob.sees("Hello, Alice 🐦", "read");
  assert.equal(await bob.page.title(), "Rookery");
});

test("a message to someone who is away is sent, and delivered when they come", async () => {
  await (await Person.online(server, "late")).client.logout();
  const alice = await Tab.signedIn(server, "alice-early");
  await alice.start("late");
  await alice.write("For when you are here");
  await alice.sees("For when you are here", "sent");

  const late = await Tab.signedIn(server, "late");
  await late.page.getByRole("link", { name: "1 unread" }).waitFor();

  await alice.sees("For when you are here", "delivered");
});

test("a form signs in, and says why a token does not hold", async () => {
  const page = await (await freshBrowser()).newPage();
  await page.goto(`http://${server.address}/`);
  const sign = async (user: string, token: string): Promise<void> => {
    await page.getByLabel("User id").fill(user);
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
  };

  await sign("not a user id", "x");
  await page.getByRole("alert").getByText("1 to 64").waitFor();
  await sign("carol", "nonsense");
  await page.getByRole("alert").getByText("does not hold").waitFor();
  assert.equal(await page.getByLabel("User id").inputValue(), "carol");
  await sign("carol", await server.token("carol"));

  await page.getByText("No conversations yet").waitFor();
  await page.reload();
  await page.getByText("No conversations yet").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("User id").waitFor();
  await page.reload();
  await page.getByLabel("User id").waitFor();
});

test("the line tells that the connection is lost and back, and what was typed meanwhile is sent once", async () => {
  const network = await badNetwork();
  const bob = await Person.online(server, "steady-bob");
  const alice = await Tab.signedIn(server, "shaky-alice", { through: network });
  await alice.start("steady-bob");
  await alice.write("before");
  await bob.hears("before");

  network.isDown = true;
  network.cut();
  await alice.line.getByText("Connection lost").waitFor();
  await alice.write("one");
  await alice.write("two");
  await alice.sees("two", "waiting");
  await alice.picture("offline");
  network.isDown = false;
  await alice.page.evaluate(() => window.dispatchEvent(new Event("online")));
  await alice.line.getByText("Connected again").waitFor();
  await alice.sees("two", "delivered");

  assert.deepEqual(await alice.texts(), ["before", "one", "two"]);
  const log = await bob.client.history({ conversation: "user:shaky-alice" });
  assert.equal(log.messages.length, 3);
});

test("a browser that will not run the ticker comes back all the same", async () => {
  const network = await badNetwork();
  const context = await freshBrowser();
  await context.route("**/assets/ticker-*", (route) => route.abort());
  const alice = await Tab.signedIn(server, "alice-without", { context, through: network });

  network.cut();

  await alice.line.getByText("Connected again").waitFor();
});

test("a server that is killed comes back to a page that has lost nothing", async () => {
  const bob = await Tab.signedIn(server, "bob-2");
  const alice = await Tab.signedIn(server, "alice-2");
  await alice.start("bob-2");
  await alice.write("one");
  await bob.open("alice-2");

  await server.kill();
  await alice.line.getByText("Connection lost").waitFor();
  await alice.write("two");
  await bob.write("three");
  await server.restart();
  await alice.sees("two", "read");
  await bob.sees("three", "read");

  assert.equal((await alice.texts()).length, 3);
  assert.deepEqual(await alice.texts(), await bob.texts());
});

test("what was typed without a connection outlives the page, and the tab", async () => {
  const network = await badNetwork();
  const bob = await Person.online(server, "bob-3");
  const context = await freshBrowser();
  const alice = await Tab.signedIn(server, "alice-3", { context, through: network });
  const stayed = await Tab.signedIn(server, "alice-3", { context, through: network });
  await alice.start("bob-3");
  await stayed.start("bob-3");
  await alice.write("known to all");
  await stayed.sees("known to all");

  network.isDown = true;
  network.cut();
  await alice.write("in the tab that is closed");
  await stayed.write("in the tab that is left");
  await alice.page.close();
  await stayed.page.goto("about:blank");
  network.isDown = false;
  await stayed.page.goBack();
  await stayed.sees("in the tab that is left", "delivered");
  await stayed.sees("in the tab that is closed", "delivered");

  const { messages } = await bob.client.history({ conversation: "user:alice-3" });
  assert.equal(messages.length, 3);
});

test("history is loaded as one scrolls up, and what is looked at stays where it is", async () => {
  const bob = await Person.online(server, "bob-4");
  const alice = await Person.online(server, "alice-4");
  const numbers = Array.from({ length: 230 }, (_, index) => `Message number ${index + 1}`);
  await Promise.all(
    numbers.map((text, index) =>
      (index % 3 === 0 ? bob : alice).client.post(index % 3 === 0 ? "user:alice-4" : "user:bob-4", {
        type: "text",
        text,
      }),
    ),
  );
  bob.client.markRead("user:alice-4", 230);
  await alice.next("read", ({ user }) => user === "bob-4");

  const tab = await Tab.signedIn(server, "bob-4");
  await tab.open("alice-4");
  const newest = tab.page.locator('.message[data-seq="230"]');
  await newest.waitFor();
  assert.ok(await newest.evaluate((row) => row.getBoundingClientRect().bottom < innerHeight));

  const count = () => tab.page.locator(".message").count();
  for (let before = await count(); before < 230; before = await count()) {
    const moved = await tab.page.evaluate(async () => {
      const box = document.querySelector<HTMLElement>(".messages");
      if (box === null) throw new Error("there are no messages");
      const known = document.querySelectorAll(".message").length;
      // Some way down, so that the row is in view both before and after.
      box.scrollTop = 300;
      const row = [...document.querySelectorAll<HTMLElement>(".message")].find(
        (each) => each.getBoundingClientRect().top > 100,
      );
      const top = row?.getBoundingClientRect().top ?? 0;
      while (document.querySelectorAll(".message").length === known) {
        // What is drawn before the page has heard of the scrolling goes back to the end.
        box.scrollTop = 300;
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      return (row?.getBoundingClientRect().top ?? 0) - top;
    });
    assert.ok(Math.abs(moved) <= 1, `it moved by ${moved} pixels`);
  }

  const seqs = await tab.page
    .locator(".message")
    .evaluateAll((rows) => rows.map((row) => Number(row.getAttribute("data-seq"))));
  assert.deepEqual(
    seqs,
    Array.from({ length: 230 }, (_, index) => index + 1),
  );
  await tab.page.getByText("This is where it began").waitFor();

  await alice.client.post("user:bob-4", { type: "text", text: "While you were reading" });
  const toEnd = tab.page.getByRole("button", { name: "To the newest message" });
  await toEnd.getByText("1").waitFor();
  const read = alice.next("read", ({ seq }) => seq === 231);
  await toEnd.click();
  await toEnd.waitFor({ state: "hidden" });
  await read;
});

test("a line stands before what was not read, and goes when one answers", async () => {
  const bob = await Tab.signedIn(server, "bob-5");
  const alice = await Person.online(server, "alice-5");
  for (const text of ["first", "second"]) {
    await alice.client.post("user:bob-5", { type: "text", text });
  }
  await bob.page.getByRole("link", { name: "2 unread" }).waitFor();

  await bob.open("alice-5");

  const items = bob.page.locator(".messages li");
  await bob.page.locator(".unread-line").waitFor();
  const order = await items.evaluateAll((all) => all.map((each) => each.className.split(" ")[0]));
  assert.deepEqual(order, ["day", "unread-line", "message", "message"]);
  await bob.write("answer");
  await bob.page.locator(".unread-line").waitFor({ state: "detached" });
});

test("a reload finds the same user, the same chat and the same half-written message", async () => {
  const bob = await Person.online(server, "bob-6");
  const alice = await Tab.signedIn(server, "alice-6");
  await alice.start("bob-6");
  await alice.write("written");
  await bob.hears("written");
  await alice.composer.fill("half writ");

  await alice.page.reload();

  await alice.sees("written", "delivered");
  assert.equal(await alice.composer.inputValue(), "half writ");
  await alice.composer.press("Enter");
  await bob.hears("half writ");
});

test("a session that was taken over says so, and comes back only when told to", async () => {
  const alice = await Tab.signedIn(server, "alice-7");
  const id = await alice.page.evaluate(() => sessionStorage.getItem("rookery.device") ?? "");
  const other = await Person.online(server, "alice-7", { device: { id, platform: "web" } });

  const dialog = alice.page.getByRole("alertdialog", { name: "Signed in elsewhere" });
  await dialog.waitFor();
  await alice.picture("taken-over");
  await dialog.getByRole("button", { name: "Log in here" }).click();

  await other.is("ended");
  await dialog.waitFor({ state: "hidden" });
  await alice.isOnline();
});

test("a duplicated tab is a device of its own, and a reloaded one stays the same", async () => {
  const first = await Tab.signedIn(server, "alice-8");
  const idOf = (page: typeof first.page) =>
    page.evaluate(() => sessionStorage.getItem("rookery.device"));
  const opening = first.page.waitForEvent("popup");
  // Opened by the page, a tab starts with a copy of its session storage, as a duplicate does.
  await first.page.evaluate(() => void window.open("/"));
  const second = await opening;
  await second.getByText("No conversations yet").waitFor();
  const [one, two] = [await idOf(first.page), await idOf(second)];
  assert.ok(one !== null && two !== null && one !== two);

  await second.reload();
  await second.getByText("No conversations yet").waitFor();

  assert.equal(await idOf(second), two);
  assert.equal(await first.page.getByRole("alertdialog").count(), 0);
});

test("a second link in the same tab signs the other user in", async () => {
  const tab = await Tab.signedIn(server, "alice-9");
  const fragment = new URLSearchParams({ user: "bob-9", token: await server.token("bob-9") });

  await tab.page.goto(`http://${server.address}/#${fragment}`);

  await tab.page.getByRole("navigation").getByText("bob-9", { exact: true }).waitFor();
  assert.equal(new URL(tab.page.url()).hash, "");
});

test("what a user writes is text, and never becomes part of the page", async () => {
  const bob = await Tab.signedIn(server, "bob-10");
  const alice = await Tab.signedIn(server, "alice-10");
  await alice.start("bob-10");
  const nasty =
    '<img src=x onerror="document.title=1"><script>document.title=2</script><b>bold</b>';
  await alice.write(nasty);
  await alice.write("javascript:alert(1) https://example.org/?a=1&b=%22, then");

  await bob.open("alice-10");
  await bob.sees(nasty);

  assert.equal(await bob.page.locator(".message img, .message script, .message b").count(), 0);
  const links = bob.page.locator(".message a");
  assert.deepEqual(await links.evaluateAll((all) => all.map((link) => link.getAttribute("href"))), [
    "https://example.org/?a=1&b=%22",
  ]);
  assert.match((await links.first().getAttribute("rel")) ?? "", /noopener.*noreferrer/);
});

test("everything can be done from the keyboard", async () => {
  const bob = await Person.online(server, "bob-11");
  const context = await freshBrowser();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const alice = await Tab.signedIn(server, "alice-11", { context });
  const { keyboard } = alice.page;
  await alice.page.getByRole("searchbox").focus();
  await keyboard.type("bob-11");
  await keyboard.press("ArrowDown");
  await keyboard.press("Enter");
  await alice.composer.waitFor();
  await alice.page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");

  await keyboard.type("two");
  await keyboard.press("Shift+Enter");
  await keyboard.type("lines");
  await keyboard.press("Enter");
  await bob.hears("two\nlines");
  await alice.log.focus();
  await keyboard.press("ArrowUp");
  await keyboard.press("Control+c");
  assert.equal(await alice.page.evaluate(() => navigator.clipboard.readText()), "two\nlines");
  await keyboard.press("Escape");
  await alice.page.getByText("Choose a conversation").waitFor();
  await alice.page.waitForFunction(() =>
    document.activeElement?.getAttribute("href")?.includes("bob-11"),
  );

  const nameless = await alice.page.locator("button, a, input, textarea").evaluateAll((all) =>
    all
      .filter((each) => {
        const label = each.getAttribute("aria-label") ?? each.textContent ?? "";
        return label.trim() === "" && (each as HTMLInputElement).labels?.length !== 1;
      })
      .map((each) => each.outerHTML),
  );
  assert.deepEqual(nameless, []);
});

test("a message that is too long is not sent, and says by how much", async () => {
  const bob = await Person.online(server, "bob-12");
  const alice = await Tab.signedIn(server, "alice-12");
  await alice.start("bob-12");

  await alice.composer.fill("x".repeat(40_000));
  await alice.page.getByRole("alert").getByText("too long by").waitFor();
  assert.ok(await alice.page.getByRole("button", { name: "Send" }).isDisabled());
  await alice.write("short");

  await bob.hears("short");
});

test("a user whom nobody knows is said to be unknown", async () => {
  const alice = await Tab.signedIn(server, "alice-13");

  await alice.page.getByRole("searchbox").fill("nobody-13");
  await alice.page.keyboard.press("Enter");

  await alice.page.getByText("There is no user called nobody-13.").first().waitFor();
});

test("on a phone there is one column, with a way back", async () => {
  const bob = await Person.online(server, "bob-14");
  const context = await freshBrowser({
    viewport: { width: 390, height: 780 },
    hasTouch: true,
    isMobile: true,
  });
  const alice = await Tab.signedIn(server, "alice-14", { context });
  await alice.start("bob-14");
  await alice.write("from the phone");
  await bob.hears("from the phone");
  assert.ok(await alice.page.getByRole("navigation").isHidden());
  const overflow = () =>
    alice.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(await overflow(), 0);

  await alice.page.getByRole("button", { name: "Back" }).click();
  await alice.row("bob-14").waitFor();
  assert.ok(await alice.composer.isHidden());
  assert.equal(await overflow(), 0);
  await alice.open("bob-14");
  await alice.page.goBack();

  await alice.row("bob-14").waitFor();
});

test("a page that does not exist says so, and leads back", async () => {
  const page = await (await freshBrowser()).newPage();

  const response = await page.goto(`http://${server.address}/nothing/here`);

  assert.equal(response?.status(), 404);
  await page.getByRole("link", { name: "To the conversations" }).click();
  await page.getByLabel("User id").waitFor();
});
