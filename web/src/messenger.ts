import { batch, computed, signal } from "@preact/signals";
import {
  type Chat,
  ChatStore,
  type ConnectionState,
  RookeryClient,
  RookeryError,
  utf8Bytes,
  WEBSOCKET_PATH,
} from "@rookery/client";
import type { Account } from "./account.ts";
import { ownDevice } from "./device.ts";
import { adoptLeftovers, LocalOutboxStorage } from "./outbox-storage.ts";
import { unthrottledTimers } from "./timers.ts";

/** What a text's stored form holds beside it. */
const CONTENT_OVERHEAD_BYTES = 64;
const CONTENT_BYTES = 32 * 1024;

const DRAFTS = "rookery.draft";

let device: Promise<string> | undefined;

function webSocketUrl(): string {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${WEBSOCKET_PATH}`;
}

/** What the views show of one signed-in user, and what they may do. */
export class Messenger {
  readonly account: Account;
  readonly connection = signal<ConnectionState>({ phase: "idle" });
  readonly chats = signal<readonly Chat[]>([]);
  readonly listLoaded = signal(false);
  readonly hasMoreChats = signal(false);
  /** Something went wrong that belongs to no message and no chat. */
  readonly notice = signal<string | undefined>(undefined);
  readonly unread = computed(() => this.chats.value.reduce((sum, chat) => sum + chat.unread, 0));
  readonly #client: RookeryClient;
  readonly #store: ChatStore;
  readonly #version = signal(0);

  static async create(account: Account): Promise<Messenger> {
    device ??= ownDevice();
    const id = await device;
    const client = await RookeryClient.create({
      url: webSocketUrl(),
      app: account.app,
      user: account.user,
      token: () => account.token,
      device: { id, platform: "web", name: browserName() },
      outbox: new LocalOutboxStorage(account, id),
      timers: unthrottledTimers(),
    });
    const messenger = new Messenger(account, client);
    await adoptLeftovers(client, account, id);
    client.connect();
    return messenger;
  }

  private constructor(account: Account, client: RookeryClient) {
    this.account = account;
    this.#client = client;
    this.#store = new ChatStore(client);
    client.on("state", (state) => {
      this.connection.value = state;
    });
    client.on("notKept", () => {
      this.notice.value =
        "This browser could not save an unsent message. Keep the tab open until it is sent.";
    });
    client.on("reset", (why) => {
      if (why === "epoch") {
        this.notice.value =
          "The server has gone back to an earlier state. The latest messages may be missing.";
      }
    });
    this.#store.subscribe(() => this.#show());
    this.#show();
    window.addEventListener("online", this.#wake);
    window.addEventListener("pageshow", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
  }

  get serverNowMs(): number {
    return this.#client.serverNowMs;
  }

  /** A chat, known or not; a view that reads it is drawn anew when it changes. */
  chat(id: string): Chat {
    this.#version.value;
    return this.#store.chat(id);
  }

  /** Brings a chat on screen. Returns what went wrong, for people. */
  async open(id: string): Promise<string | undefined> {
    return explained(this.#store.open(id), id);
  }

  close(id: string): void {
    this.#store.close(id);
  }

  async loadOlder(id: string): Promise<string | undefined> {
    return explained(this.#store.loadOlder(id), id);
  }

  loadMoreChats(): void {
    // A failure shows as a list that does not grow; scrolling asks again.
    this.#store.loadMore().catch(() => {});
  }

  markRead(id: string): void {
    this.#store.markRead(id);
  }

  /** How many bytes of a text are too many; none or less when it fits. */
  excessBytes(text: string): number {
    const room = (this.#client.limits?.content_bytes ?? CONTENT_BYTES) - CONTENT_OVERHEAD_BYTES;
    return utf8Bytes(text) - room;
  }

  /** Takes a text to be sent. Returns what went wrong, for people. */
  send(id: string, text: string): string | undefined {
    try {
      this.#client.send(id, { type: "text", text });
      return undefined;
    } catch (error) {
      return explanation(error, id);
    }
  }

  retry(clientMsgId: string): void {
    try {
      this.#client.retry(clientMsgId);
    } catch (error) {
      this.notice.value = explanation(error, "");
    }
  }

  discard(clientMsgId: string): void {
    this.#client.discard(clientMsgId);
  }

  draft(id: string): string {
    return sessionStorage.getItem(`${DRAFTS}/${this.account.user}/${id}`) ?? "";
  }

  keepDraft(id: string, text: string): void {
    const key = `${DRAFTS}/${this.account.user}/${id}`;
    if (text === "") sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  }

  tryNow(): void {
    this.#client.wake();
  }

  /** Takes the place of the session that took this one's. */
  comeBack(): void {
    this.#client.connect();
  }

  async signOut(): Promise<void> {
    this.leave();
    const drafts = Object.keys(sessionStorage).filter((key) => key.startsWith(`${DRAFTS}/`));
    for (const key of drafts) sessionStorage.removeItem(key);
    await this.#client.logout();
  }

  /** Lets go of the page; the session ends with its connection. */
  leave(): void {
    window.removeEventListener("online", this.#wake);
    window.removeEventListener("pageshow", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    if (this.connection.value.phase === "ended") this.#client.disconnect();
  }

  readonly #wake = (): void => {
    if (document.visibilityState === "visible") this.#client.wake();
  };

  #show(): void {
    batch(() => {
      this.#version.value += 1;
      this.chats.value = this.#store.chats;
      this.listLoaded.value = this.#store.listState.loaded;
      this.hasMoreChats.value = this.#store.listState.hasMore;
    });
  }
}

function browserName(): string {
  const { userAgent } = navigator;
  const known = [
    ["Edg/", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
  ] as const;
  return known.find(([mark]) => userAgent.includes(mark))?.[1] ?? "Browser";
}

async function explained(work: Promise<void>, id: string): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return explanation(error, id);
  }
}

/** What an error means to the person who meets it. */
export function explanation(error: unknown, id: string): string {
  if (!(error instanceof RookeryError)) return "Something went wrong in this page.";
  return explainCode(error.code, error.message, id);
}

export function explainCode(code: string, message: string, id: string): string {
  const who = id.replace(/^user:/, "");
  switch (code) {
    case "not_found":
      return `There is no user called ${who}.`;
    case "forbidden":
      return "This is not allowed.";
    case "too_large":
      return "The message is too long.";
    case "stale_key":
      return "It waited for too long to be sent by itself.";
    case "clock_ahead":
      return "The clock of this device was wrong when it was written.";
    case "key_reused":
      return "Another message was sent under the same id.";
    case "outbox_full":
      return "Too many messages wait to be sent.";
    case "offline":
    case "closed":
    case "deadline":
      return "There is no connection to the server.";
    case "busy":
    case "unavailable":
    case "rate_limited":
      return "The server is busy. Try again in a moment.";
    case "bad_token":
      return "The token does not hold for this user.";
    case "token_expired":
      return "The token has run out. Ask for a new one.";
    default:
      return message;
  }
}
