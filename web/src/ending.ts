// What is said where a session was ended, and what a person can do about it.
import type { Device, Ended } from "@rookery/client";
import { atTime } from "./format.ts";
import { platformName } from "./presence-words.ts";
import { explanation } from "./problems.ts";

/** A session that a person can open again with the same token. */
export interface Ending {
  readonly title: string;
  readonly text: string;
  /** The devices that are in, where they keep this one out. */
  readonly devices: readonly Device[];
  /** What the button says that logs in. */
  readonly action: string;
}

export interface Situation {
  readonly user: string;
  readonly nowMs: number;
  /** What a device is called. */
  readonly nameOf: (device: string) => string;
}

/** How a session ended that can be opened again; nothing where that takes another token. */
export function endingOf(ended: Ended, { user, nowMs, nameOf }: Situation): Ending | undefined {
  const { kicked, error, closeCode } = ended;
  const again = { devices: [], action: "Log in here" };
  if (kicked !== undefined) {
    const when = `This session of ${user} was ended ${atTime(kicked.atMs, nowMs)}`;
    const by = kicked.by === undefined ? undefined : nameOf(kicked.by);
    switch (kicked.reason) {
      case "revoked":
        return undefined;
      case "replaced":
        return {
          ...again,
          title: "Signed in elsewhere",
          text: `${when}, because it was opened in another place.`,
        };
      case "policy": {
        const where = by === undefined ? "on another device" : `on another device (${by})`;
        return {
          ...again,
          title: "Signed in elsewhere",
          text: `${when}, because you signed in ${where}, and not both may be in at once.`,
        };
      }
      default:
        return {
          ...again,
          title: "Session ended",
          text: by === undefined ? `${when}.` : `${when} from another device (${by}).`,
        };
    }
  }
  if (error?.code !== "conflict" && closeCode !== 4501) return undefined;
  if (error?.devices !== undefined && error.devices.length > 0) {
    return {
      title: "Signed in elsewhere",
      text: `${user} is signed in on another device, and not both may be in at once. Log out there first.`,
      devices: error.devices,
      action: "Try again",
    };
  }
  return {
    ...again,
    title: "Session ended",
    text: `This session of ${user} was ended while this page was away.`,
  };
}

/** Why another token is needed. */
export function whySignIn(ended: Ended, { user, nowMs }: Situation): string {
  const { kicked, error, closeCode } = ended;
  if (error !== undefined) return explanation(error, `user:${user}`);
  if (kicked !== undefined) {
    return `All sessions of ${user} were ended ${atTime(kicked.atMs, nowMs)}. Sign in with a new token.`;
  }
  switch (closeCode) {
    case 4500:
      return "The token has run out. Ask for a new one.";
    case 4502:
      return `All sessions of ${user} were ended. Sign in with a new token.`;
    case 4503:
      return `${user} may not sign in any more.`;
    default:
      return ended.message;
  }
}

export function deviceTitle({ name, platform }: Device): string {
  return name === undefined || name === "" ? platformName(platform) : name;
}
