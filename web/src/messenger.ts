import { batch, computed, signal } from "@preact/signals";
import {
  type Chat,
  ChatStore,
  type ConnectionState,
  type Device,
  type DeviceRow,
  type GroupKind,
  type Member,
  type MembersPage,
  nameIn,
  RookeryClient,
  utf8Bytes,
  WEBSOCKET_PATH,
} from "@rookery/client";
import type { Account } from "./account.ts";
import { ownDevice } from "./device.ts";
import type { Situation } from "./ending.ts";
import { Friends } from "./friends.ts";
import { adoptLeftovers, LocalOutboxStorage } from "./outbox-storage.ts";
import { asked, explanation, type Problem, problemOf } from "./problems.ts";
import { forgetSession, keepSession, keptSession } from "./session.ts";
import { unthrottledTimers } from "./timers.ts";

/** What a text's stored form holds beside it. */
const CONTENT_OVERHEAD_BYTES = 64;
const CONTENT_BYTES = 32 * 1024;

/** More than the server remembers. */
const DEVICES = 200;

const DRAFTS = "rookery.draft";

export interface NewGroup {
  readonly kind: GroupKind;
  readonly name: string;
  /** Made up by the server when it is empty. */
  readonly id: string;
  readonly members: string[];
}

let device: Promise<string> | undefined;

function webSocketUrl(): string {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${WEBSOCKET_PATH}`;
}

/** What the views show of one signed-in user, and what they may do. */
export class Messenger {
  readonly account: Account;
  /** Who is there, and who is a friend. */
  readonly friends: Friends;
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
  /** Devices of this user that were met. */
  readonly #devices = new Map<string, Device>();

  /** @param isReturning whether the page comes back by itself, and no person has just signed in. */
  static async create(account: Account, isReturning: boolean): Promise<Messenger> {
    device ??= ownDevice();
    const id = await device;
    const timers = unthrottledTimers();
    const client = await RookeryClient.create({
      url: webSocketUrl(),
      app: account.app,
      user: account.user,
      token: () => account.token,
      device: { id, platform: "web", name: browserName() },
      outbox: new LocalOutboxStorage(account, id),
      timers,
    });
    const messenger = new Messenger(account, client, id, new Friends(client, timers));
    await adoptLeftovers(client, account, id);
    client.connect(isReturning ? keptSession(account, id) : undefined);
    return messenger;
  }

  private constructor(account: Account, client: RookeryClient, device: string, friends: Friends) {
    this.account = account;
    this.friends = friends;
    this.#client = client;
    this.#store = new ChatStore(client);
    client.on("state", (state) => {
      this.connection.value = state;
    });
    client.on("synced", ({ login_no }) => {
      keepSession(account, device, login_no);
      // Whoever ends this session is said by name then. There is no asking afterwards.
      if (this.#devices.size === 0) this.devices().catch(() => {});
    });
    client.on("tokenExpiring", () => {
      this.notice.value = "Your token is about to run out. Sign in with a new one to stay.";
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
    this.#lookedAt();
    window.addEventListener("online", this.#wake);
    window.addEventListener("pageshow", this.#wake);
    document.addEventListener("visibilitychange", this.#lookedAt);
  }

  get serverNowMs(): number {
    return this.#client.serverNowMs;
  }

  /** A chat, known or not; a view that reads it is drawn anew when it changes. */
  chat(id: string): Chat {
    this.#version.value;
    return this.#store.chat(id);
  }

  /** Brings a chat on screen. Returns what went wrong. */
  async open(id: string): Promise<Problem | undefined> {
    try {
      await this.#store.open(id);
      return undefined;
    } catch (error) {
      return problemOf(error, id);
    }
  }

  close(id: string): void {
    this.#store.close(id);
  }

  /** Returns what went wrong, for people. */
  async loadOlder(id: string): Promise<string | undefined> {
    try {
      await this.#store.loadOlder(id);
      return undefined;
    } catch (error) {
      return explanation(error, id);
    }
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

  /** Makes a group, and tells its conversation. Fails with a `Problem`, as all that is about groups does. */
  async createGroup({ kind, name, id, members }: NewGroup): Promise<string> {
    const { conversation } = await asked(
      this.#client.groups.create({
        ...(id === "" ? {} : { group: id }),
        kind,
        name,
        ...(members.length === 0 ? {} : { members }),
      }),
    );
    return conversation;
  }

  async joinGroup(group: string): Promise<void> {
    await asked(this.#client.groups.join(group));
    await this.#store.refresh().catch(() => {});
  }

  async renameGroup(id: string, name: string): Promise<void> {
    await asked(this.#client.groups.rename(nameIn(id), name));
  }

  /** Tells who became a member and was none before. */
  async invite(id: string, users: string[]): Promise<string[]> {
    const changed = await asked(this.#client.groups.invite(nameIn(id), users));
    return changed.users ?? [];
  }

  async removeMember(id: string, user: string): Promise<void> {
    await asked(this.#client.groups.remove(nameIn(id), [user]));
  }

  async leaveGroup(id: string): Promise<void> {
    await asked(this.#client.groups.leave(nameIn(id)));
  }

  async dissolveGroup(id: string): Promise<void> {
    await asked(this.#client.groups.dissolve(nameIn(id)));
  }

  members(id: string, after: string | undefined, limit: number): Promise<MembersPage> {
    const group = nameIn(id);
    return asked(
      this.#client.groups.members({ group, limit, ...(after === undefined ? {} : { after }) }),
    );
  }

  /** All members with how far each has read; nothing where the server does not tell. */
  reads(id: string): Promise<readonly Member[] | undefined> {
    return asked(this.#store.loadReads(id));
  }

  /** This user's devices: the one of this page, those that are logged in, then the others. */
  async devices(): Promise<DeviceRow[]> {
    const { devices } = await asked(this.#client.devices({ limit: DEVICES }));
    for (const { device } of devices) this.#devices.set(device.id, device);
    const rank = ({ current, online }: DeviceRow): number => (current ? 0 : online ? 1 : 2);
    return devices.sort((a, b) => rank(a) - rank(b));
  }

  async endDevice({ id, platform }: Device): Promise<void> {
    await asked(this.#client.kickDevice(id, platform));
  }

  async endOtherDevices(): Promise<void> {
    await asked(this.#client.kickOthers());
  }

  /** What there is to say about how a session ended. */
  get situation(): Situation {
    return {
      user: this.account.user,
      nowMs: this.serverNowMs,
      // Those that were met have a name.
      nameOf: (id) => this.#devices.get(id)?.name ?? id,
    };
  }

  tryNow(): void {
    this.#client.wake();
  }

  /** Logs in as a person does who asks for it: sessions that may not stand beside this one give way. */
  comeBack(): void {
    this.#client.connect();
  }

  async signOut(): Promise<void> {
    this.leave();
    const drafts = Object.keys(sessionStorage).filter((key) => key.startsWith(`${DRAFTS}/`));
    for (const key of drafts) sessionStorage.removeItem(key);
    forgetSession();
    await this.#client.logout();
  }

  /** Lets go of the page; the session ends with its connection. */
  leave(): void {
    window.removeEventListener("online", this.#wake);
    window.removeEventListener("pageshow", this.#wake);
    document.removeEventListener("visibilitychange", this.#lookedAt);
    if (this.connection.value.phase === "ended") this.#client.disconnect();
  }

  readonly #wake = (): void => {
    if (document.visibilityState === "visible") this.#client.wake();
  };

  readonly #lookedAt = (): void => {
    this.friends.setInFront(document.visibilityState === "visible");
    this.#wake();
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

const BROWSERS = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
] as const;

const SYSTEMS = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Windows", "Windows"],
  ["Mac OS X", "Mac"],
  ["CrOS", "ChromeOS"],
  ["Linux", "Linux"],
] as const;

/** What this device is called among one's others: "Firefox on Windows". */
function browserName(): string {
  const { userAgent } = navigator;
  const found = [BROWSERS, SYSTEMS].map(
    (known) => known.find(([mark]) => userAgent.includes(mark))?.[1],
  );
  const [browser = "Browser", system] = found;
  return system === undefined ? browser : `${browser} on ${system}`;
}
