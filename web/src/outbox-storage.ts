import type { OutboxEntry, OutboxStorage, RookeryClient } from "@rookery/client";
import type { Account } from "./account.ts";
import { ifGone } from "./device.ts";

const PREFIX = "rookery.outbox";

function userPrefix({ app, user }: Account): string {
  return `${PREFIX}/${app}/${user}/`;
}

function parsed(key: string): OutboxEntry | undefined {
  try {
    const entry = JSON.parse(localStorage.getItem(key) ?? "null") as Partial<OutboxEntry> | null;
    const isEntry =
      typeof entry?.to === "string" &&
      typeof entry.client_msg_id === "string" &&
      typeof entry.place === "number" &&
      typeof entry.content?.type === "string";
    return isEntry ? (entry as OutboxEntry) : undefined;
  } catch {
    return undefined;
  }
}

function keysOf(prefix: string): string[] {
  return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
}

/**
 * Unsent messages in the browser's local storage, each under a key of its own.
 *
 * Not in IndexedDB: what is written here is there when the call returns, also when the page is closed in the same
 * breath, and a few short texts are all that there is.
 */
export class LocalOutboxStorage implements OutboxStorage {
  readonly #prefix: string;

  constructor(account: Account, device: string) {
    this.#prefix = `${userPrefix(account)}${device}/`;
  }

  async load(): Promise<OutboxEntry[]> {
    return keysOf(this.#prefix)
      .map(parsed)
      .filter((entry) => entry !== undefined);
  }

  async put(entry: OutboxEntry): Promise<void> {
    localStorage.setItem(this.#prefix + entry.place, JSON.stringify(entry));
  }

  async remove(entry: OutboxEntry): Promise<void> {
    localStorage.removeItem(this.#prefix + entry.place);
  }
}

/** Takes up what tabs of this user left unsent when they were closed. */
export async function adoptLeftovers(
  client: RookeryClient,
  account: Account,
  device: string,
): Promise<void> {
  const prefix = userPrefix(account);
  const devices = new Set(
    keysOf(prefix).map((key) => key.slice(prefix.length, key.lastIndexOf("/"))),
  );
  devices.delete(device);
  for (const other of devices) {
    await ifGone(other, async () => {
      const left = keysOf(`${prefix}${other}/`)
        .map((key) => ({ key, entry: parsed(key) }))
        .sort((a, b) => (a.entry?.place ?? 0) - (b.entry?.place ?? 0));
      for (const { key, entry } of left) {
        try {
          // Kept under the new key first: who is closed in between has it twice, and it is sent once all the same.
          if (entry !== undefined) await client.adopt(entry);
          localStorage.removeItem(key);
        } catch {
          // There is no room for a second copy: the first stays, for as long as this page has not sent it.
        }
      }
    });
  }
}
