import { computed, signal } from "@preact/signals";
import { PeopleStore, type Presence, type RookeryClient, type Timers } from "@rookery/client";
import { asked } from "./problems.ts";

export type OwnStatus = Parameters<PeopleStore["setStatus"]>[0];

/** Who is there and who is a friend, as signals. A view that reads them is drawn anew when they change. */
export class Friends {
  readonly #store: PeopleStore;
  readonly #version = signal(0);
  /** By their ids. */
  readonly all = computed((): readonly string[] => {
    this.#version.value;
    return [...this.#store.friends].sort();
  });

  constructor(client: RookeryClient, timers: Timers) {
    this.#store = new PeopleStore(client, timers);
    this.#store.subscribe(() => {
      this.#version.value += 1;
    });
  }

  /** Whether the list of friends is here. */
  get isLoaded(): boolean {
    this.#version.value;
    return this.#store.loaded;
  }

  has(user: string): boolean {
    this.#version.value;
    return this.#store.friends.has(user);
  }

  /** How somebody is: a friend, oneself, or who is watched. */
  presence(user: string): Presence | undefined {
    this.#version.value;
    return this.#store.presence(user);
  }

  /** Somebody is on screen, friend or not. Returns what ends it. */
  watch(user: string): () => void {
    return this.#store.watch(user);
  }

  /** Fails with a `Problem`, as what follows does. */
  async add(user: string): Promise<void> {
    await asked(this.#store.add(user), `user:${user}`);
  }

  async remove(user: string): Promise<void> {
    await asked(this.#store.remove(user), `user:${user}`);
  }

  async setStatus(status: OwnStatus): Promise<void> {
    await asked(this.#store.setStatus(status));
  }

  setInFront(isInFront: boolean): void {
    this.#store.setInFront(isInFront);
  }
}
