import type { TokenRenewed } from "./protocol.ts";
import type { Timers } from "./runtime.ts";

/** How long to wait after a token that could not be had, or was not taken. The server gives two minutes in all. */
export const RENEW_AGAIN_MS = 5_000;

/**
 * Where a token comes from. `spent` is one that holds no longer, or not for long: giving the same again is of no use.
 */
export type GetToken = (spent?: string) => string | Promise<string>;

/** Keeps the token of one session valid: gets another when it is about to run out, or has. */
export class TokenKeeper {
  readonly #get: GetToken;
  readonly #tell: (token: string) => Promise<TokenRenewed>;
  readonly #timers: Timers;
  #token: string;
  #isOver = false;
  #renewing: Promise<boolean> | undefined;
  #timer: unknown;
  #wake: () => void = () => {};

  /** @param tell tells the server of a token. */
  constructor(
    token: string,
    get: GetToken,
    tell: (token: string) => Promise<TokenRenewed>,
    timers: Timers,
  ) {
    this.#token = token;
    this.#get = get;
    this.#tell = tell;
    this.#timers = timers;
  }

  get token(): string {
    return this.#token;
  }

  /** Renews the token, unless it is another than `spent` already. Returns false when the session ended before. */
  renew(spent = this.#token): Promise<boolean> {
    if (spent !== this.#token) return Promise.resolve(true);
    this.#renewing ??= this.#keepTrying().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** The session is over. */
  end(): void {
    this.#isOver = true;
    this.#timers.clear(this.#timer);
    this.#wake();
  }

  async #keepTrying(): Promise<boolean> {
    while (!this.#isOver) {
      if (await this.#try()) return true;
      await this.#pause();
    }
    return false;
  }

  async #try(): Promise<boolean> {
    try {
      const token = await this.#get(this.#token);
      // Told once more, the server would only say once more that it runs out.
      if (token === this.#token || this.#isOver) return false;
      await this.#tell(token);
      this.#token = token;
      return true;
    } catch {
      // None could be had, or the server did not take it. Another may do, until it ends the session.
      return false;
    }
  }

  #pause(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#timers.set(resolve, RENEW_AGAIN_MS);
    });
  }
}
