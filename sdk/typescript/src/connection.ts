import { askedWaitMs, backoffMs } from "./backoff.ts";
import { Calls, type CommandBody, type CommandName, type CommandReply } from "./calls.ts";
import { type ErrorCode, RookeryError } from "./errors.ts";
import type {
  Behind,
  Device,
  ErrorBody,
  Event,
  KickReason,
  LoggedIn,
  Ping,
  Sync,
} from "./protocol.ts";
import type { Timers } from "./runtime.ts";
import { type GetToken, TokenKeeper } from "./token-keeper.ts";
import { CLOSED_ABNORMALLY, type OpenTransport, type Transport } from "./transport.ts";

/** How long a connection may take to open, and a reply to come. */
const OPEN_WITHIN_MS = 10_000;
export const REPLY_WITHIN_MS = 15_000;
const PONG_WITHIN_MS = 10_000;
/** A probe of a connection that is likely to be dead, after sleep or a change of network. */
const PROBE_WITHIN_MS = 4_000;
/** After a session of this length, the next loss counts as the first. */
const STABLE_AFTER_MS = 30_000;

/** Why there will be no connection until the app asks for one. */
export interface Ended {
  /** The close code, where the server closed the connection. */
  readonly closeCode?: number;
  /** The error that login met, if it did. */
  readonly error?: RookeryError;
  /** Set when a decision ended the session: another one took its place, or somebody ended it. */
  readonly kicked?: { readonly reason: KickReason; readonly by?: string; readonly atMs: number };
  /** For people. */
  readonly message: string;
}

export type ConnectionState =
  /** Not connected, because nobody asked for it. */
  | { readonly phase: "idle" }
  /** Opening a connection and logging in. */
  | { readonly phase: "connecting"; readonly failures: number }
  /** Logged in, catching up with what happened meanwhile. */
  | { readonly phase: "syncing" }
  /** One-to-one messages and the groups on screen are here, the other groups follow. */
  | { readonly phase: "online" }
  /** Lost; the next try is at `retryAtMs` by the local clock. */
  | { readonly phase: "waiting"; readonly failures: number; readonly retryAtMs: number }
  /** Ended by the server, and not coming back by itself. */
  | { readonly phase: "ended"; readonly ended: Ended };

export interface ConnectionOptions {
  readonly open: OpenTransport;
  readonly app?: number;
  readonly user: string;
  readonly device: Device;
  /** Called before each login, and when a token runs out, so that it may be as short-lived as the app likes. */
  readonly token: GetToken;
  readonly timers: Timers;
  readonly random: () => number;
  readonly nowMs: () => number;
}

/** What the connection tells its owner. */
export interface ConnectionHooks {
  /** What the client has, for the login. */
  position(): Sync;
  /** What the client has of what is on screen, for heartbeats. */
  onScreen(): Ping;
  stateChanged(state: ConnectionState): void;
  /** A session stands, opened with that position; its owner syncs and then says `caughtUp`. */
  loggedIn(session: LoggedIn, asked: Sync): void;
  event(event: Event): void;
  serverTime(ms: number): void;
  /** The heads of what a heartbeat showed the client to lack. */
  behind(behind: Behind): void;
  /** The session is over; whatever was in flight has no answer. */
  lost(): void;
}

/** One try to have a session, from the first packet to the last. */
interface Attempt {
  transport?: Transport;
  calls: Calls;
  loggedInAtMs?: number;
  /** Of a session that stands. */
  token?: TokenKeeper;
  kicked?: NonNullable<Ended["kicked"]>;
  reconnectAfterMs?: number;
}

/** These refusals of a login stay what they are, however often it is tried. */
const FINAL_AT_LOGIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "bad_request",
  "bad_token",
  "token_expired",
  "forbidden",
  "conflict",
]);

/** Keeps one session with the server for as long as it is wanted: opens, logs in, watches, comes back. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #hooks: ConnectionHooks;
  #state: ConnectionState = { phase: "idle" };
  #attempt: Attempt | undefined;
  #failures = 0;
  #loginNo: string | undefined;
  #timer: unknown;

  constructor(options: ConnectionOptions, hooks: ConnectionHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The number of the last login. */
  get loginNo(): string | undefined {
    return this.#loginNo;
  }

  /** Connects as a person does who opens the app, or goes on with the session of that number. */
  connect(resume?: string): void {
    if (this.#state.phase !== "idle" && this.#state.phase !== "ended") return;
    this.#loginNo = resume;
    this.#failures = 0;
    void this.#try();
  }

  /** Closes the connection, and does not come back. */
  disconnect(): void {
    this.#drop(1000);
    this.#enter({ phase: "idle" });
  }

  /** Something happened that may have broken or mended the network: find out now rather than at the next heartbeat. */
  wake(): void {
    if (this.#state.phase === "waiting") {
      void this.#try();
    } else if (this.#state.phase === "online") {
      void this.#ping(PROBE_WITHIN_MS);
    }
  }

  /** The owner has synced. */
  caughtUp(): void {
    if (this.#state.phase === "syncing") this.#enter({ phase: "online" });
  }

  /** Asks the server, once more if the token had run out and was renewed. */
  async call<Name extends CommandName>(
    cmd: Name,
    body: CommandBody<Name>,
  ): Promise<CommandReply<Name>> {
    const { token } = this;
    try {
      return await this.callOnce(cmd, body);
    } catch (thrown) {
      const isExpired = (thrown as RookeryError).code === "token_expired";
      if (!isExpired || !(await this.renew(token))) throw thrown;
    }
    return this.callOnce(cmd, body);
  }

  /** Asks the server. */
  callOnce<Name extends CommandName>(
    cmd: Name,
    body: CommandBody<Name>,
  ): Promise<CommandReply<Name>> {
    if (this.#attempt?.loggedInAtMs === undefined) {
      return Promise.reject(new RookeryError("offline", "there is no connection to the server"));
    }
    return this.#attempt.calls.call(cmd, body, REPLY_WITHIN_MS);
  }

  /** The token of the session that stands. */
  get token(): string | undefined {
    return this.#attempt?.token?.token;
  }

  /** Gets the session another token than `spent`. Returns false when it ended before. */
  async renew(spent: string | undefined): Promise<boolean> {
    return (await this.#attempt?.token?.renew(spent)) ?? false;
  }

  /** @param expired the error that a login met a moment ago, and the token that it was about. */
  async #try(expired?: { error: RookeryError; token: string }): Promise<void> {
    this.#cancelTimer();
    const attempt: Attempt = {
      calls: new Calls(
        this.#options.timers,
        (frame) => attempt.transport?.send(frame),
        () => this.#lose(attempt, CLOSED_ABNORMALLY, "no answer in time"),
      ),
    };
    this.#attempt = attempt;
    this.#enter({ phase: "connecting", failures: this.#failures });

    let token: string;
    try {
      token = await this.#options.token(expired?.token);
    } catch {
      this.#lose(attempt, CLOSED_ABNORMALLY, "no token could be had");
      return;
    }
    if (this.#attempt !== attempt) return;
    if (expired !== undefined && expired.token === token) {
      this.#refused(attempt, expired.error);
      return;
    }

    this.#timer = this.#options.timers.set(
      () => this.#lose(attempt, CLOSED_ABNORMALLY, "the server did not answer"),
      OPEN_WITHIN_MS,
    );
    attempt.transport = this.#options.open({
      opened: () => {
        this.#cancelTimer();
        void this.#logIn(attempt, token, expired === undefined);
      },
      frame: (text) => this.#heard(attempt, text),
      closed: (code, reason) => this.#lose(attempt, code, reason),
    });
  }

  async #logIn(attempt: Attempt, token: string, mayExpire: boolean): Promise<void> {
    const { app, user, device, timers } = this.#options;
    const sync = this.#hooks.position();
    const login = {
      ...(app === undefined ? {} : { app }),
      user,
      token,
      device,
      ...(this.#loginNo === undefined ? {} : { resume: { login_no: this.#loginNo } }),
      sync,
    };
    const askedAtMs = this.#options.nowMs();
    let session: LoggedIn;
    try {
      session = await attempt.calls.call("login", login, REPLY_WITHIN_MS);
    } catch (thrown) {
      if (this.#attempt !== attempt) return;
      const error = thrown as RookeryError;
      if (error.code === "token_expired" && mayExpire) {
        this.#drop();
        void this.#try({ error, token });
      } else {
        this.#refused(attempt, error);
      }
      return;
    }
    if (this.#attempt !== attempt) return;

    attempt.loggedInAtMs = this.#options.nowMs();
    attempt.token = new TokenKeeper(
      token,
      this.#options.token,
      (fresh) => attempt.calls.call("token.renew", { token: fresh }, REPLY_WITHIN_MS),
      timers,
    );
    this.#loginNo = session.login_no;
    this.#learnTime(session.server_time_ms, askedAtMs);
    this.#heartbeat(attempt, session.heartbeat_s * 1_000);
    this.#enter({ phase: "syncing" });
    this.#hooks.loggedIn(session, sync);
  }

  /** The server did not let this one in. */
  #refused(attempt: Attempt, error: RookeryError): void {
    if (FINAL_AT_LOGIN.has(error.code)) {
      this.#end(attempt, { error, message: error.message });
      return;
    }
    if (error.retryAfterMs !== undefined) attempt.reconnectAfterMs = error.retryAfterMs;
    this.#lose(attempt, CLOSED_ABNORMALLY, error.message);
  }

  #heard(attempt: Attempt, text: string): void {
    if (this.#attempt !== attempt) return;
    let frame: { re?: number | null; ok?: unknown; error?: ErrorBody; event?: string };
    try {
      frame = JSON.parse(text);
    } catch {
      this.#lose(attempt, CLOSED_ABNORMALLY, "a frame could not be read");
      return;
    }
    if (typeof frame.re === "number") {
      attempt.calls.replied(frame.re, frame);
    } else if (typeof frame.event === "string") {
      this.#eventCame(attempt, frame as Event);
    }
  }

  #eventCame(attempt: Attempt, event: Event): void {
    switch (event.event) {
      case "session.kicked": {
        const { reason, by, at_ms } = event.body;
        attempt.kicked = { reason, ...(by === undefined ? {} : { by }), atMs: at_ms };
        break;
      }
      case "token.expiring":
        void attempt.token?.renew();
        break;
      case "session.draining":
        attempt.reconnectAfterMs = event.body.reconnect_after_ms;
        break;
      case "session.closing":
        if (event.body.reconnect_after_ms !== undefined) {
          attempt.reconnectAfterMs = event.body.reconnect_after_ms;
        }
        break;
    }
    this.#hooks.event(event);
  }

  #heartbeat(attempt: Attempt, everyMs: number): void {
    this.#timer = this.#options.timers.set(() => {
      if (this.#attempt !== attempt) return;
      void this.#ping(PONG_WITHIN_MS);
      this.#heartbeat(attempt, everyMs);
    }, everyMs);
  }

  async #ping(withinMs: number): Promise<void> {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    const askedAtMs = this.#options.nowMs();
    try {
      const pong = await attempt.calls.call("ping", this.#hooks.onScreen(), withinMs);
      this.#learnTime(pong.server_time_ms, askedAtMs);
      if (pong.behind !== undefined) this.#hooks.behind(pong.behind);
    } catch {
      // A ping without an answer has ended the session already; a refused one says that the session lives.
    }
  }

  #learnTime(serverMs: number, askedAtMs: number): void {
    const half = (this.#options.nowMs() - askedAtMs) / 2;
    this.#hooks.serverTime(serverMs + Math.max(0, half));
  }

  #lose(attempt: Attempt, code: number, reason: string): void {
    if (this.#attempt !== attempt) return;
    if ((code >= 4500 && code <= 4999) || attempt.kicked !== undefined) {
      this.#end(attempt, { closeCode: code, message: reason || "the server ended the session" });
      return;
    }
    const { nowMs, random, timers } = this.#options;
    const since = attempt.loggedInAtMs;
    if (since !== undefined && nowMs() - since >= STABLE_AFTER_MS) this.#failures = 0;

    const waitMs =
      attempt.reconnectAfterMs === undefined
        ? backoffMs(this.#failures, random())
        : askedWaitMs(attempt.reconnectAfterMs, random());
    this.#failures += 1;
    this.#drop();
    // Its listeners may have asked for something else meanwhile.
    if (this.#attempt !== undefined) return;
    this.#timer = timers.set(() => void this.#try(), waitMs);
    this.#enter({ phase: "waiting", failures: this.#failures, retryAtMs: nowMs() + waitMs });
  }

  #end(attempt: Attempt, ended: Ended): void {
    const { kicked } = attempt;
    this.#drop();
    this.#enter({
      phase: "ended",
      ended: kicked === undefined ? ended : { ...ended, kicked },
    });
  }

  /** Lets go of the transport and of everything that waits for it. */
  #drop(code?: number): void {
    this.#cancelTimer();
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    attempt.token?.end();
    attempt.transport?.close(code);
    attempt.calls.abandon();
    this.#hooks.lost();
  }

  #cancelTimer(): void {
    this.#options.timers.clear(this.#timer);
    this.#timer = undefined;
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#hooks.stateChanged(state);
  }
}
