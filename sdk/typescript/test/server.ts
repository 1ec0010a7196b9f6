import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The folder of the whole project, seen from any of its packages. */
export function projectRoot(): string {
  let folder = process.cwd();
  while (!existsSync(join(folder, "Cargo.toml"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("run this inside the project");
    folder = parent;
  }
  return folder;
}

function binary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? join(projectRoot(), "target");
  const path = process.env.ROOKERY_BIN ?? join(target, "debug", "rookery");
  if (!existsSync(path)) {
    throw new Error(`the server is not built: there is no ${path}; run cargo build first`);
  }
  return path;
}

/** A real server with its own PostgreSQL, in a folder of its own, on ports that are free. */
export class Server {
  readonly #folder = mkdtempSync(join(tmpdir(), "rookery-ts-"));
  #process: ChildProcess | undefined;
  #said: string[] = [];
  #http = "127.0.0.1:0";
  #inside = "127.0.0.1:0";
  #key: string | undefined;

  static async start(): Promise<Server> {
    const server = new Server();
    await server.#serve();
    return server;
  }

  /** Host and port. They stay the same over restarts. */
  get address(): string {
    return this.#http;
  }

  get url(): string {
    return `ws://${this.#http}/v1/ws`;
  }

  /** @param expireS for how many seconds it is valid; for long when left out. */
  async token(user: string, expireS?: number): Promise<string> {
    const { stdout } = await run(binary(), [
      "token",
      ...["--user", user, "--data-dir", this.#folder],
      ...(expireS === undefined ? [] : ["--expire-s", `${expireS}`]),
    ]);
    return stdout.trim();
  }

  /** Asks over REST, as the app's backend does. Fails when it is refused. */
  async rest(method: "POST" | "PUT", path: string, body: object = {}): Promise<void> {
    this.#key ??= await this.#makeKey();
    const answer = await fetch(`http://${this.#http}/api/v1${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  }

  async #makeKey(): Promise<string> {
    const args = ["api-key", "create", "--name", "tests", "--data-dir", this.#folder];
    const { stdout } = await run(binary(), args);
    return stdout.trim();
  }

  /** Ends it as a power cut does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Starts it again after `kill`, on the same ports. */
  async restart(): Promise<void> {
    await this.#serve();
  }

  /** Ends it for good, and leaves nothing behind. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  async #serve(): Promise<void> {
    const port = (address: string): string => address.slice(address.lastIndexOf(":") + 1);
    const child = spawn(binary(), ["serve", "--data-dir", this.#folder], {
      // Not where a settings file of the developer's may lie.
      cwd: this.#folder,
      env: {
        ...process.env,
        ROOKERY__HTTP__PORT: port(this.#http),
        ROOKERY__TCP__PORT: "0",
        ROOKERY__INSIDE__PORT: port(this.#inside),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    createInterface({ input: child.stderr }).on("line", (line) => this.#said.push(line));

    const ready = /^rookery ready http=(\S+) .*inside=(\S+)/;
    await new Promise<void>((resolve, reject) => {
      child.once("exit", (code) => {
        reject(new Error(`the server ended with ${code}:\n${this.#said.join("\n")}`));
      });
      createInterface({ input: child.stdout }).on("line", (line) => {
        const [, http, inside] = ready.exec(`${line} `) ?? [];
        if (http === undefined || inside === undefined) return;
        this.#http = http;
        this.#inside = inside;
        resolve();
      });
    });
  }
}
