import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from "playwright-core";
import type { BadNetwork } from "../../sdk/typescript/test/bad-network.ts";
import type { Server } from "../../sdk/typescript/test/server.ts";

/** How long something may take to appear. */
export const WITHIN_MS = 30_000;

let browser: Browser | undefined;
const contexts = new Set<BrowserContext>();

/** What no page may ever say: a fault of its own, or something that its policy forbids. */
export const complaints: string[] = [];

async function theBrowser(): Promise<Browser> {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return browser;
}

/** A browser of its own, as far as storage goes. Tabs of one share what tabs share. */
export async function freshBrowser(options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await (await theBrowser()).newContext({
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(WITHIN_MS);
  context.on("page", (page) => {
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (said) => {
      const text = said.text();
      // A server that is away on purpose is no fault of the page.
      const isNetwork = /WebSocket connection|Failed to load resource|ERR_/.test(text);
      if (said.type() === "error" && !isNetwork) complaints.push(text);
    });
  });
  contexts.add(context);
  return context;
}

export async function closeBrowsers(): Promise<void> {
  for (const context of contexts) await context.close();
  contexts.clear();
}

export async function quitBrowser(): Promise<void> {
  await browser?.close();
  browser = undefined;
}

/** One tab with the chat in it. */
export class Tab {
  private constructor(
    readonly page: Page,
    readonly user: string,
    readonly link: string,
  ) {}

  /** A tab that was opened with a link to sign in, as the server prints them. */
  static async signedIn(
    server: Server,
    user: string,
    { context, through }: { context?: BrowserContext; through?: BadNetwork } = {},
  ): Promise<Tab> {
    const address = through?.address ?? server.address;
    const fragment = new URLSearchParams({ app: "1", user, token: await server.token(user) });
    const page = await (context ?? (await freshBrowser())).newPage();
    const tab = new Tab(page, user, `http://${address}/#${fragment}`);
    await page.goto(tab.link);
    await tab.isOnline();
    return tab;
  }

  /** Waits until the list was loaded and no line says that something is wrong. */
  async isOnline(): Promise<void> {
    await this.page.getByRole("navigation", { name: "Conversations" }).waitFor();
    await this.page.waitForFunction(
      () =>
        document.querySelector(".skeletons") === null &&
        document.querySelector(".line:not([hidden]):not(.line-back)") === null,
    );
  }

  get line(): Locator {
    return this.page.getByRole("status");
  }

  get composer(): Locator {
    return this.page.getByRole("textbox", { name: /^Message to / });
  }

  get log(): Locator {
    return this.page.getByRole("log");
  }

  get dialog(): Locator {
    return this.page.getByRole("dialog");
  }

  get details(): Locator {
    return this.page.getByRole("complementary");
  }

  /** Makes a group as a person does, and waits until it is on screen. */
  async makeGroup(group: {
    kind?: "Work" | "Meeting";
    name: string;
    id?: string;
    members?: readonly string[];
  }): Promise<void> {
    const { kind = "Work", name, id, members = [] } = group;
    await this.page.getByRole("button", { name: "New group" }).click();
    await this.dialog.getByRole("radio", { name: kind }).check();
    await this.dialog.getByLabel("Name").fill(name);
    if (id !== undefined) await this.dialog.getByLabel("Id, by which").fill(id);
    await this.dialog.getByLabel("Members, by user id").fill(members.join(" "));
    await this.dialog.getByRole("button", { name: "Create" }).click();
    await this.page.getByRole("heading", { name, level: 1 }).waitFor();
  }

  /** Opens what is known about the group on screen. */
  async openDetails(): Promise<Locator> {
    await this.page.getByRole("button", { name: "About this group" }).click();
    await this.details.waitFor();
    return this.details;
  }

  /** Opens one's own status and devices. */
  async openSelf(): Promise<Locator> {
    await this.page.getByRole("button", { name: "Your status and devices" }).click();
    await this.dialog.getByRole("region", { name: "Your devices" }).waitFor();
    return this.dialog;
  }

  /** Sets one's status as a person does. */
  async setStatus(status: string, words = ""): Promise<void> {
    const dialog = await this.openSelf();
    await dialog.getByRole("radio", { name: status }).check();
    await dialog.getByLabel("In words").fill(words);
    await dialog.getByRole("button", { name: "Set status" }).click();
    await dialog.waitFor({ state: "detached" });
  }

  /** Waits until it is said of the other side, beside their name. */
  async saysOfPeer(words: string): Promise<void> {
    await this.page.locator(".pane .bar-sub").getByText(words, { exact: true }).waitFor();
  }

  /** Waits for a line about the group in its log. */
  async reads(notice: string): Promise<void> {
    await this.log.locator(".notice").getByText(notice, { exact: true }).waitFor();
  }

  row(peer: string): Locator {
    return this.page.getByRole("link", { name: new RegExp(`\\b${peer}\\b`) });
  }

  /** The bubble with exactly that text. */
  message(text: string): Locator {
    return this.page
      .locator(".message")
      .filter({ has: this.page.locator(".text").getByText(text, { exact: true }) });
  }

  /** Starts a conversation by its user id, as a newcomer does. */
  async start(peer: string): Promise<void> {
    await this.page.getByRole("searchbox").fill(peer);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("heading", { name: peer }).waitFor();
  }

  async open(peer: string): Promise<void> {
    await this.row(peer).click();
    await this.page.getByRole("heading", { name: peer }).waitFor();
  }

  async write(text: string): Promise<void> {
    await this.composer.fill(text);
    await this.composer.press("Enter");
    await this.message(text.trim()).waitFor();
  }

  /** Waits for a message, and for the state of its tick if one is given. */
  async sees(text: string, state?: string): Promise<void> {
    const message = this.message(text);
    await message.waitFor();
    if (state === undefined) return;
    await this.page
      .locator(`.message[data-state="${state}"]`)
      .filter({ has: this.page.locator(".text").getByText(text, { exact: true }) })
      .waitFor();
  }

  texts(): Promise<string[]> {
    return this.page.locator(".message .text").allInnerTexts();
  }

  /** Keeps a picture, where someone asked for pictures. */
  async picture(name: string): Promise<void> {
    const folder = process.env.SCREENSHOTS;
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }
}
