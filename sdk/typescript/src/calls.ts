import { RookeryError } from "./errors.ts";
import type { Commands, ErrorBody } from "./protocol.ts";
import type { Timers } from "./runtime.ts";

export type CommandName = keyof Commands;
export type CommandBody<Name extends CommandName> = Commands[Name]["body"];
export type CommandReply<Name extends CommandName> = Commands[Name]["reply"];

/** Asks the server. */
export type Call = <Name extends CommandName>(
  cmd: Name,
  body: CommandBody<Name>,
) => Promise<CommandReply<Name>>;

interface Pending {
  resolve(ok: unknown): void;
  reject(error: RookeryError): void;
  deadline: unknown;
}

/** The commands of one session that wait for their replies, by id. */
export class Calls {
  readonly #pending = new Map<number, Pending>();
  readonly #timers: Timers;
  readonly #send: (frame: string) => void;
  readonly #overdue: () => void;
  #lastId = 0;

  /** @param overdue called when a reply did not come in time: such a session is broken. */
  constructor(timers: Timers, send: (frame: string) => void, overdue: () => void) {
    this.#timers = timers;
    this.#send = send;
    this.#overdue = overdue;
  }

  call<Name extends CommandName>(
    cmd: Name,
    body: CommandBody<Name>,
    withinMs: number,
  ): Promise<CommandReply<Name>> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const deadline = this.#timers.set(() => {
        this.#pending.delete(id);
        reject(new RookeryError("deadline", `no answer to ${cmd} within ${withinMs} ms`));
        this.#overdue();
      }, withinMs);
      const settle = (ok: unknown): void => resolve(ok as CommandReply<Name>);
      this.#pending.set(id, { resolve: settle, reject, deadline });
      this.#send(JSON.stringify({ id, cmd, body }));
    });
  }

  replied(re: number, reply: { ok?: unknown; error?: ErrorBody }): void {
    const pending = this.#pending.get(re);
    if (pending === undefined) return;
    this.#pending.delete(re);
    this.#timers.clear(pending.deadline);
    if (reply.error !== undefined) pending.reject(RookeryError.of(reply.error));
    else pending.resolve(reply.ok);
  }

  /** Nothing will be answered any more. */
  abandon(): void {
    const error = new RookeryError("closed", "the connection broke before the answer came");
    for (const { reject, deadline } of this.#pending.values()) {
      this.#timers.clear(deadline);
      reject(error);
    }
    this.#pending.clear();
  }
}
