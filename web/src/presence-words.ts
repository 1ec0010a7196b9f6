// How it is said whether somebody is there.
import type { Platform, Presence, Status } from "@rookery/client";
import { atTime } from "./format.ts";

/** What a dot shows. Each has a shape of its own: its colour alone says nothing to some. */
export type Mark = "online" | "away" | "busy" | "dnd" | "offline";

export const STATUS_NAMES: Readonly<Record<Status, string>> = {
  available: "Available",
  away: "Away",
  busy: "Busy",
  dnd: "Do not disturb",
  invisible: "Invisible",
};

const PLATFORM_NAMES: Readonly<Record<Platform, string>> = {
  web: "Browser",
  ios: "iPhone or iPad",
  android: "Android",
  windows: "Windows",
  macos: "Mac",
  linux: "Linux",
  api: "Program",
};

const PHONES: ReadonlySet<Platform> = new Set(["ios", "android"]);

export function platformName(platform: Platform): string {
  return PLATFORM_NAMES[platform] ?? platform;
}

/** The presence without a status that has come to its end. */
function current(presence: Presence, nowMs: number): Presence {
  const { until_ms = Infinity } = presence;
  if (until_ms > nowMs) return presence;
  const { text: _, until_ms: __, ...rest } = presence;
  return { ...rest, status: "available" };
}

export function markOf(presence: Presence, nowMs: number): Mark {
  const { state, status } = current(presence, nowMs);
  if (state === "offline" || status === "invisible") return "offline";
  if (status === "busy" || status === "dnd") return status;
  return state === "background" || status === "away" ? "away" : "online";
}

/** The words that somebody chose beside their status. */
export function chosenWords(presence: Presence | undefined, nowMs: number): string | undefined {
  if (presence === undefined || presence.state === "offline") return undefined;
  return current(presence, nowMs).text || undefined;
}

/** All that is known of how somebody is, in a line. */
export function presenceWords(presence: Presence, nowMs: number): string {
  const { state, platforms = [], status = "available", text, until_ms } = current(presence, nowMs);
  if (state === "offline") {
    const { last_seen_ms } = presence;
    return last_seen_ms === undefined ? "Offline" : `Last seen ${atTime(last_seen_ms, nowMs)}`;
  }
  const onPhone = platforms.length > 0 && platforms.every((one) => PHONES.has(one.platform));
  const there = state === "background" ? "In the background" : "Online";
  const how = status === "available" ? there : STATUS_NAMES[status];
  return `${how}${onPhone ? " on a phone" : ""}${untilAndWords(until_ms, text, nowMs)}`;
}

/** The same for oneself, who is there in any case. */
export function ownWords(presence: Presence, nowMs: number): string {
  const { status = "available", text, until_ms } = current(presence, nowMs);
  return `${STATUS_NAMES[status]}${untilAndWords(until_ms, text, nowMs)}`;
}

/** The same without its end, for a narrow place. */
export function ownSummary(presence: Presence, nowMs: number): string {
  const { status = "available", text } = current(presence, nowMs);
  return `${STATUS_NAMES[status]}${untilAndWords(undefined, text, nowMs)}`;
}

/** "until 14:30: in a meeting" */
function untilAndWords(untilMs: number | undefined, text: string | undefined, nowMs: number) {
  const until = untilMs === undefined ? "" : ` until ${atTime(untilMs, nowMs).replace(/^at /, "")}`;
  return `${until}${text ? `: ${text}` : ""}`;
}
