import type { Call, CommandBody } from "./calls.ts";
import type { FriendState, FriendsPage } from "./protocol.ts";

/** The commands about friends. Each fails as `call` does. */
export class FriendCalls {
  readonly #call: Call;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Tells what the two are from now on. */
  async add(user: string): Promise<FriendState> {
    return (await this.#call("friend.add", { user })).state;
  }

  async remove(user: string): Promise<FriendState> {
    return (await this.#call("friend.remove", { user })).state;
  }

  /** The user's friends by their ids, by page. */
  list(body: CommandBody<"friend.list"> = {}): Promise<FriendsPage> {
    return this.#call("friend.list", body);
  }
}
