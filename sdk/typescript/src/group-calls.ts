import type { Call, CommandBody } from "./calls.ts";
import type { GroupChanged, GroupCreated, GroupInfo, GroupsPage, MembersPage } from "./protocol.ts";

/** Takes note of an entry that a change has led to. `isJoining`: it is the first that this user may see. */
type HearOf = (group: string, seq: number, isJoining: boolean) => void;

/** The commands about groups. Each fails as `call` does. */
export class GroupCalls {
  readonly #call: Call;
  readonly #hearOf: HearOf;

  constructor(call: Call, hearOf: HearOf) {
    this.#call = call;
    this.#hearOf = hearOf;
  }

  /** Makes a group with this user as its owner. */
  async create(body: CommandBody<"group.create">): Promise<GroupCreated> {
    const created = await this.#call("group.create", body);
    this.#hearOf(created.group, 1, true);
    return created;
  }

  get(group: string): Promise<GroupInfo> {
    return this.#call("group.get", { group });
  }

  /** The groups that this user is a member of, by page. */
  list(body: CommandBody<"group.list"> = {}): Promise<GroupsPage> {
    return this.#call("group.list", body);
  }

  rename(group: string, name: string): Promise<GroupChanged> {
    return this.#changed(this.#call("group.update", { group, name }));
  }

  /** The members, by page. */
  members(body: CommandBody<"group.members">): Promise<MembersPage> {
    return this.#call("group.members", body);
  }

  /** Makes users members, at most 100 at once; the reply names those who were none before. */
  invite(group: string, users: string[]): Promise<GroupChanged> {
    return this.#changed(this.#call("group.invite", { group, users }));
  }

  /** Becomes a member of a group that is free to join. */
  join(group: string): Promise<GroupChanged> {
    return this.#changed(this.#call("group.join", { group }), true);
  }

  leave(group: string): Promise<GroupChanged> {
    return this.#changed(this.#call("group.leave", { group }));
  }

  /** Ends the membership of users, at most 100 at once. */
  remove(group: string, users: string[]): Promise<GroupChanged> {
    return this.#changed(this.#call("group.remove", { group, users }));
  }

  /** Ends the group for everyone. */
  dissolve(group: string): Promise<GroupChanged> {
    return this.#changed(this.#call("group.dissolve", { group }));
  }

  /** The notice comes by itself; should its push be lost, its number shows that it is lacking. */
  async #changed(call: Promise<GroupChanged>, isJoining = false): Promise<GroupChanged> {
    const changed = await call;
    if (changed.seq !== undefined) this.#hearOf(changed.group, changed.seq, isJoining);
    return changed;
  }
}
