import { WebSocket as WsWebSocket } from "ws";
import {
  type ClientEvents,
  type ClientOptions,
  type Message,
  RookeryClient,
  type WebSocketConstructor,
} from "../src/index.ts";
import type { Server } from "./server.ts";

export const OwnWebSocket = WsWebSocket as unknown as WebSocketConstructor;

let lastDevice = 0;

const everyone = new Set<Person>();

/** Ends all connections of a test, however it went: an open one would keep the process alive. */
export function everyoneLeaves(): void {
  for (const { client } of everyone) client.disconnect();
  everyone.clear();
}

/** A client whose waits between tries are short, with everything that it was told. */
export class Person {
  readonly messages: Message[] = [];
  readonly resets: Array<ClientEvents["reset"]> = [];

  private constructor(
    readonly client: RookeryClient,
    readonly name: string,
  ) {
    client.on("message", (message) => this.messages.push(message));
    client.on("reset", (why) => this.resets.push(why));
  }

  static async create(
    server: Server,
    name: string,
    more: Partial<ClientOptions> = {},
  ): Promise<Person> {
    const token = await server.token(name);
    lastDevice += 1;
    const client = await RookeryClient.create({
      url: server.url,
      user: name,
      token: () => token,
      device: { id: `test-${lastDevice}`, platform: "api" },
      WebSocket: OwnWebSocket,
      // The backoff is this part of its bound.
      random: () => 0.02,
      ...more,
    });
    const person = new Person(client, name);
    everyone.add(person);
    return person;
  }

  /** The same, online. */
  static async online(
    server: Server,
    name: string,
    more: Partial<ClientOptions> = {},
  ): Promise<Person> {
    const person = await Person.create(server, name, more);
    person.client.connect();
    await person.is("online");
    return person;
  }

  say(to: Person, text: string): string {
    return this.client.send(`user:${to.name}`, { type: "text", text });
  }

  /** Waits for a state of the connection. Fails when there will be no other. */
  async is(phase: ClientEvents["state"]["phase"]): Promise<ClientEvents["state"]> {
    const state =
      this.client.state.phase === phase
        ? this.client.state
        : await this.next("state", (next) => next.phase === phase || next.phase === "ended");
    if (state.phase === "ended" && phase !== "ended") throw new Error(state.ended.message);
    return state;
  }

  /** Waits for an event that is still to come. */
  next<Name extends keyof ClientEvents>(
    name: Name,
    fits: (value: ClientEvents[Name]) => boolean = () => true,
  ): Promise<ClientEvents[Name]> {
    return new Promise((resolve) => {
      const end = this.client.on(name, (value) => {
        if (!fits(value)) return;
        end();
        resolve(value);
      });
    });
  }

  /** Waits until that text was told, now or before. */
  async hears(text: string): Promise<Message> {
    const known = this.messages.find((message) => textOf(message) === text);
    return known ?? this.next("message", (message) => textOf(message) === text);
  }

  /** What was told of that group, in its order. */
  inGroup(group: string): Message[] {
    return this.messages.filter(({ conversation }) => conversation === `group:${group}`);
  }

  /** Waits until such an entry of that group was told, now or before. */
  async hearsIn(group: string, fits: (message: Message) => boolean): Promise<Message> {
    const known = this.inGroup(group).find(fits);
    if (known !== undefined) return known;
    return this.next(
      "message",
      (message) => message.conversation === `group:${group}` && fits(message),
    );
  }

  /** What the log of the pair with somebody says, all of it. */
  log(other: Person): Promise<Message[]> {
    return this.logOf(`user:${other.name}`);
  }

  /** What the log of a conversation says, all that this person may see of it. */
  async logOf(conversation: string): Promise<Message[]> {
    const messages: Message[] = [];
    for (let more = true; more; ) {
      const after = messages.at(-1)?.seq ?? 0;
      const page = await this.client.history({ conversation, after, limit: 200 });
      messages.push(...page.messages);
      more = page.has_more;
    }
    return messages;
  }
}

/** What a message says; of a notice, what it is about. */
export function textOf({ content }: Message): string {
  switch (content.type) {
    case "text":
      return content.text;
    case "custom":
      return content.data;
    case "notice":
      return [content.action, ...(content.users ?? [])].join(" ");
    default:
      return "";
  }
}
