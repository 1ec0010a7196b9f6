import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What stands between a client and the server: a network that cuts, delays, truncates, swallows and loses. */
export class BadNetwork {
  readonly #server: Server;
  readonly #target: { host: string; port: number };
  readonly #links = new Set<Link>();
  /** New connections find nobody. */
  isDown = false;
  /** How late everything is, in either direction. */
  delayMs = 0;
  /** Asked before each frame of the server: true loses that frame and nothing else. */
  loses: ((text: string) => boolean) | undefined;
  #budget: { direction: "there" | "back"; bytes: number } | undefined;

  private constructor(target: string) {
    const [host = "", port = ""] = target.split(":");
    this.#target = { host, port: Number(port) };
    this.#server = createServer((client) => this.#accept(client));
  }

  static async to(target: string): Promise<BadNetwork> {
    const proxy = new BadNetwork(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `ws://${this.address}/v1/ws`;
  }

  get links(): number {
    return this.#links.size;
  }

  /** Breaks everything that is open. */
  cut(): void {
    for (const link of [...this.#links]) link.cut();
  }

  /** Carries no byte any more for what is open, without a word to either side. */
  freeze(): void {
    for (const link of this.#links) link.isFrozen = true;
  }

  /** Breaks a connection in the middle of a frame: after that many more bytes in that direction. */
  cutAfter(direction: "there" | "back", bytes: number): void {
    this.#budget = { direction, bytes };
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  /** How much of a chunk still gets through. */
  #spend(direction: "there" | "back", bytes: number): number {
    const budget = this.#budget;
    if (budget === undefined || budget.direction !== direction) return bytes;
    if (budget.bytes >= bytes) {
      budget.bytes -= bytes;
      return bytes;
    }
    this.#budget = undefined;
    return budget.bytes;
  }

  #accept(client: Socket): void {
    if (this.isDown) {
      client.resetAndDestroy();
      return;
    }
    const link = new Link(client, connect(this.#target), {
      delayMs: () => this.delayMs,
      passes: (direction, bytes) => this.#spend(direction, bytes),
      loses: (text) => this.loses?.(text) ?? false,
      over: () => this.#links.delete(link),
    });
    this.#links.add(link);
  }
}

interface Rules {
  delayMs(): number;
  passes(direction: "there" | "back", bytes: number): number;
  loses(text: string): boolean;
  over(): void;
}

/** One connection of a client, and the one to the server behind it. */
class Link {
  isFrozen = false;
  #isOver = false;
  readonly #last: Record<"there" | "back", Promise<unknown> | undefined> = {
    there: undefined,
    back: undefined,
  };
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #rules: Rules;
  readonly #frames = new FrameFilter((text) => this.#rules.loses(text));

  constructor(client: Socket, server: Socket, rules: Rules) {
    this.#client = client;
    this.#server = server;
    this.#rules = rules;
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on("data", (bytes) => void this.#carry("there", bytes, server));
    server.on("data", (bytes) => void this.#carry("back", this.#frames.filter(bytes), client));
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        if (!this.isFrozen) this.cut();
      });
    }
  }

  cut(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#rules.over();
    this.#client.resetAndDestroy();
    this.#server.destroy();
  }

  async #carry(direction: "there" | "back", bytes: Buffer, to: Socket): Promise<void> {
    // However late each is, nothing overtakes what was sent before it.
    const before = this.#last[direction];
    const delayMs = this.#rules.delayMs();
    const late = delayMs === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, delayMs));
    const turn = Promise.all([before, late]);
    this.#last[direction] = turn;
    await turn;

    if (this.isFrozen || this.#isOver) return;
    const passing = this.#rules.passes(direction, bytes.length);
    to.write(bytes.subarray(0, passing), () => {
      if (passing < bytes.length) this.cut();
    });
  }
}

const HEAD_END = "\r\n\r\n";

/**
 * Takes whole WebSocket frames out of what a server sends: they are not masked, and follow its consent to the upgrade.
 * Any other answer passes as it is.
 */
class FrameFilter {
  readonly #loses: (text: string) => boolean;
  #carries: "head" | "frames" | "anything" = "head";
  #rest: Buffer = Buffer.alloc(0);

  constructor(loses: (text: string) => boolean) {
    this.#loses = loses;
  }

  filter(bytes: Buffer): Buffer {
    if (this.#carries === "anything") return bytes;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const passing: Buffer[] = [];
    if (this.#carries === "head") {
      const end = this.#rest.indexOf(HEAD_END);
      if (end < 0) return Buffer.alloc(0);
      this.#carries =
        this.#rest.toString("latin1", 0, 13) === "HTTP/1.1 101 " ? "frames" : "anything";
      if (this.#carries === "anything") return this.#take(this.#rest.length);
      passing.push(this.#take(end + HEAD_END.length));
    }
    for (let size = this.#frameSize(); size !== undefined; size = this.#frameSize()) {
      const frame = this.#take(size.header + size.payload);
      if (!this.#loses(frame.toString("utf8", size.header))) passing.push(frame);
    }
    return Buffer.concat(passing);
  }

  #take(bytes: number): Buffer {
    const taken = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return taken;
  }

  /** The size of the frame that stands first, if all of it is here. */
  #frameSize(): { header: number; payload: number } | undefined {
    const short = (this.#rest[1] ?? 0) & 0x7f;
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#rest.length < header) return undefined;
    const payload =
      short < 126
        ? short
        : short === 126
          ? this.#rest.readUInt16BE(2)
          : Number(this.#rest.readBigUInt64BE(2));
    return this.#rest.length < header + payload ? undefined : { header, payload };
  }
}
