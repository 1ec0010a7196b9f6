// How times, names and texts are written for people.
import type { Content, Notice } from "@rookery/client";

const DAY_MS = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const shortWeekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const dateWithYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const shortDate = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** How many midnights lie between then and now. */
function daysAgo(ms: number, nowMs: number): number {
  const midnight = (at: number): number => new Date(at).setHours(0, 0, 0, 0);
  return Math.round((midnight(nowMs) - midnight(ms)) / DAY_MS);
}

export function timeOfDay(ms: number): string {
  return clock.format(ms);
}

export function exactTime(ms: number): string {
  return exact.format(ms);
}

/** The day, as a line between messages names it. */
export function dayName(ms: number, nowMs: number): string {
  const days = daysAgo(ms, nowMs);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return weekday.format(ms);
  const sameYear = new Date(ms).getFullYear() === new Date(nowMs).getFullYear();
  return (sameYear ? date : dateWithYear).format(ms);
}

/** When, in the little room that a row of the list has. */
export function shortTime(ms: number, nowMs: number): string {
  const days = daysAgo(ms, nowMs);
  if (days <= 0) return timeOfDay(ms);
  if (days === 1) return "Yesterday";
  return days < 7 ? shortWeekday.format(ms) : shortDate.format(ms);
}

/** When, within a sentence: "at 14:03", "yesterday at 14:03". */
export function atTime(ms: number, nowMs: number): string {
  const time = `at ${timeOfDay(ms)}`;
  switch (daysAgo(ms, nowMs)) {
    case 0:
      return time;
    case 1:
      return `yesterday ${time}`;
    case -1:
      return `tomorrow ${time}`;
  }
  const isNear = Math.abs(daysAgo(ms, nowMs)) < 7;
  return `on ${isNear ? weekday.format(ms) : dayName(ms, nowMs)} ${time}`;
}

export function isSameDay(a: number, b: number): boolean {
  return daysAgo(a, b) === 0;
}

/** One or two letters for a person without a picture. */
export function initials(user: string): string {
  const words = user.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  const [first = user, second] = words;
  const letters = second === undefined ? first.slice(0, 2) : `${first[0]}${second[0]}`;
  return letters.toUpperCase();
}

/** One or two letters for a group, whose name may be of any script. */
export function groupInitials(name: string): string {
  const words = name
    .split(/[^\p{L}\p{N}\p{Extended_Pictographic}]+/u)
    .filter((word) => word !== "");
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? "");
  return letters.join("").toUpperCase() || "#";
}

/** One of twelve colours, the same for a user everywhere. */
export function hue(user: string): number {
  let hash = 0;
  for (const character of user) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % 12;
}

export function unreadLabel(count: number): string {
  return count > 99 ? "99+" : `${count}`;
}

/** Names of a list that are written out; the others are counted. */
const NAMED = 3;

/** Several people in a sentence: "bob, carol and 98 others". */
export function people(names: readonly string[]): string {
  const named = names.length <= NAMED + 1 ? names : names.slice(0, NAMED);
  const more = names.length - named.length;
  const all = more > 0 ? [...named, `${more} others`] : named;
  const last = all.at(-1) ?? "nobody";
  return all.length < 2 ? last : `${all.slice(0, -1).join(", ")} and ${last}`;
}

/** What could turn the direction of the sentence around a name. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

function quoted(name: string): string {
  return `“${name.replace(TURNS, "")}”`;
}

/** What a notice tells, as a sentence for `me`. */
export function noticeText(notice: Notice, from: string, me: string): string {
  const { action, users = [], name = "", owner } = notice;
  const who = from === me ? "You" : from;
  const others = users.filter((user) => user !== from);
  const whom = people(
    others.includes(me) ? ["you", ...others.filter((user) => user !== me)] : others,
  );
  switch (action) {
    case "created":
      return `${who} created the group ${quoted(name)}${others.length > 0 ? ` with ${whom}` : ""}`;
    case "added":
      return `${who} added ${whom}`;
    case "joined":
      return `${who} joined`;
    case "left":
      if (owner === undefined) return `${who} left`;
      return `${who} left. ${owner === me ? "You own" : `${owner} owns`} the group now`;
    case "removed":
      return `${who} removed ${whom}`;
    case "renamed":
      return `${who} named the group ${quoted(name)}`;
    case "dissolved":
      return `${who} dissolved the group`;
    default:
      return `${who} changed the group`;
  }
}

/** Why a former member cannot write any more, as the notice about it tells; nothing when it is about another matter. */
export function farewell(content: Content, from: string, me: string): string | undefined {
  if (content.type !== "notice") return undefined;
  const { action, users = [] } = content;
  if (action === "left" && from === me) return "You left this group.";
  if (action === "removed" && users.includes(me)) return `${from} removed you from this group.`;
  if (action !== "dissolved") return undefined;
  return from === me ? "You dissolved this group." : `${from} dissolved this group.`;
}

/** What an answer of the server says, as a sentence of its own. */
export function sentence(message: string): string {
  const [first = "", ...rest] = message.trim();
  const text = first.toUpperCase() + rest.join("");
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

const URLS = /\bhttps?:\/\/[^\s<>"']+/g;
const AFTER_URL = /[.,;:!?)\]}…]+$/;

/** A text cut into plain pieces and links. */
export function withLinks(text: string): Array<{ text: string; href?: string }> {
  const pieces: Array<{ text: string; href?: string }> = [];
  let end = 0;
  for (const match of text.matchAll(URLS)) {
    const url = match[0].replace(AFTER_URL, "");
    if (!isAddress(url)) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index) });
    pieces.push({ text: url, href: url });
    end = match.index + url.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end) });
  return pieces;
}

function isAddress(text: string): boolean {
  try {
    return new URL(text).hostname !== "";
  } catch {
    return false;
  }
}

const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s){1,12}$/u;

/** A greeting of a few emoji is shown larger. Digits are emoji components too, and are not meant. */
export function isOnlyEmoji(text: string): boolean {
  return ONLY_EMOJI.test(text) && /\p{Extended_Pictographic}/u.test(text) && !/[0-9#*]/.test(text);
}
