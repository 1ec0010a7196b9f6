import type { Call, CommandBody } from "./calls.ts";
import type { Presence, Watching } from "./protocol.ts";

/** The commands about who is there. Each fails as `call` does. */
export class PresenceCalls {
  readonly #call: Call;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Sets this user's status, or says whether this device is in front. Tells how the user is now, to themselves. */
  async set(body: CommandBody<"presence.set">): Promise<Presence | undefined> {
    return (await this.#call("presence.set", body)).presences[0];
  }

  /** How users are, at most 500 at once. One who does not exist is offline, as one who may not be seen. */
  async get(users: string[]): Promise<Presence[]> {
    return (await this.#call("presence.get", { users })).presences;
  }

  /** Has changes told for a while, of at most 200 users in all. It ends with the session. */
  watch(users: string[], ttlS?: number): Promise<Watching> {
    return this.#call("presence.watch", {
      users,
      ...(ttlS === undefined ? {} : { ttl_s: ttlS }),
    });
  }

  /** Has nothing more told of these users, or of nobody. */
  async unwatch(users?: string[]): Promise<void> {
    await this.#call("presence.unwatch", users === undefined ? {} : { users });
  }
}
