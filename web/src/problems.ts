// What errors mean to the person who meets them.
import { groupOf, nameIn, RookeryError } from "@rookery/client";
import { sentence } from "./format.ts";

/** Stands for the conversation where a command about something else met an error: the server's own words say most. */
const ABOUT_NONE = "group:";

/** What went wrong: for people, and what of it the page acts upon. */
export interface Problem {
  readonly text: string;
  readonly code?: string;
  /** The field of a form that is wrong. */
  readonly field?: string;
}

/** Fails with a `Problem`. `id`: the conversation that it is about. */
export async function asked<Answer>(work: Promise<Answer>, id = ABOUT_NONE): Promise<Answer> {
  try {
    return await work;
  } catch (error) {
    throw problemOf(error, id);
  }
}

export function problemOf(error: unknown, id: string): Problem {
  const text = explanation(error, id);
  if (!(error instanceof RookeryError)) return { text };
  const { code, field } = error;
  return { text, code, ...(field === undefined ? {} : { field: field.replace(/\[.*$/, "") }) };
}

/** What an error means to the person who meets it. */
export function explanation(error: unknown, id: string): string {
  if (!(error instanceof RookeryError)) return "Something went wrong in this page.";
  return explainCode(error.code, error.message, id);
}

export function explainCode(code: string, message: string, id: string): string {
  const isGroup = groupOf(id) !== undefined;
  switch (code) {
    case "not_found":
      if (isGroup) break;
      return `There is no user called ${nameIn(id)}.`;
    case "forbidden":
      if (isGroup) break;
      return "This is not allowed.";
    case "too_large":
      if (id === ABOUT_NONE) break;
      return "The message is too long.";
    case "stale_key":
      return "It waited for too long to be sent by itself.";
    case "clock_ahead":
      return "The clock of this device was wrong when it was written.";
    case "key_reused":
      return "Another message was sent under the same id.";
    case "outbox_full":
      return "Too many messages wait to be sent.";
    case "offline":
    case "closed":
    case "deadline":
      return "There is no connection to the server.";
    case "busy":
    case "unavailable":
    case "rate_limited":
      return "The server is busy. Try again in a moment.";
    case "bad_token":
      return "The token does not hold for this user.";
    case "token_expired":
      return "The token has run out. Ask for a new one.";
  }
  // What is wrong with a field is said beside it: its name need not be said again.
  return sentence(message.replace(/^[a-z_.[\]0-9]+: /, ""));
}
