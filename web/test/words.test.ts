import assert from "node:assert/strict";
import test from "node:test";
import { type Ended, type Presence, RookeryError } from "@rookery/client";
import { endingOf, whySignIn } from "../src/ending.ts";
import { markOf, ownWords, presenceWords } from "../src/presence-words.ts";

const NOON = new Date(2026, 4, 20, 12, 0).getTime();
const HOUR = 3_600_000;

function words(presence: Partial<Presence>): string {
  return presenceWords({ user: "bob", state: "online", ...presence }, NOON);
}

test("how somebody is, is said in a line", () => {
  assert.equal(words({}), "Online");
  assert.equal(words({ platforms: [{ platform: "ios", state: "online" }] }), "Online on a phone");
  assert.equal(words({ state: "background" }), "In the background");
  assert.equal(words({ status: "busy", text: "in a meeting" }), "Busy: in a meeting");
  assert.equal(words({ status: "dnd" }), "Do not disturb");
  assert.match(words({ status: "away", until_ms: NOON + HOUR }), /^Away until (13|0?1):00/);
  assert.equal(words({ state: "offline" }), "Offline");
  assert.match(words({ state: "offline", last_seen_ms: NOON - HOUR }), /^Last seen at 11:00/);
  assert.match(words({ state: "offline", last_seen_ms: NOON - 24 * HOUR }), /^Last seen yesterday/);
});

test("a status that has come to its end is none any more", () => {
  const ended: Presence = {
    user: "bob",
    state: "online",
    status: "busy",
    text: "in a meeting",
    until_ms: NOON - 1,
  };

  assert.equal(presenceWords(ended, NOON), "Online");
  assert.equal(markOf(ended, NOON), "online");
  assert.equal(markOf(ended, NOON - 2), "busy");
});

test("who is invisible is told so, and has the mark of those who are away", () => {
  const own: Presence = { user: "alice", state: "online", status: "invisible" };

  assert.equal(ownWords(own, NOON), "Invisible");
  assert.equal(markOf(own, NOON), "offline");
});

const SITUATION = { user: "alice", nowMs: NOON, nameOf: (id: string) => `the ${id}` };

function kicked(reason: string, by?: string): Ended {
  return {
    closeCode: 4501,
    message: "",
    kicked: { reason, atMs: NOON - HOUR, ...(by === undefined ? {} : { by }) },
  } as Ended;
}

test("an ended session says why, when and by which device, and how to come back", () => {
  const byPolicy = endingOf(kicked("policy", "laptop"), SITUATION);
  const byDevice = endingOf(kicked("kicked", "phone"), SITUATION);
  const byApp = endingOf(kicked("kicked"), SITUATION);

  assert.match(byPolicy?.text ?? "", /at 11:00.*, because you signed in .*\(the laptop\)/);
  assert.match(byDevice?.text ?? "", /at 11:00.* from another device \(the phone\)\.$/);
  assert.match(byApp?.text ?? "", /was ended at 11:00[^(]*\.$/);
  assert.equal(byDevice?.action, "Log in here");
});

test("a session whose end nobody explained says that it ended", () => {
  const refused = { error: new RookeryError("conflict", ""), message: "" };

  assert.equal(endingOf(refused, SITUATION)?.title, "Session ended");
  assert.equal(endingOf({ closeCode: 4501, message: "" }, SITUATION)?.title, "Session ended");
});

test("where another device keeps this one out, it is named", () => {
  const device = { id: "laptop", platform: "linux" } as const;
  const error = new RookeryError("conflict", "", {
    code: "conflict",
    message: "",
    devices: [device],
  });

  const ending = endingOf({ error, message: "" }, SITUATION);

  assert.deepEqual(ending?.devices, [device]);
  assert.equal(ending?.action, "Try again");
});

test("where the token holds no longer, only another one leads back", () => {
  const revoked = kicked("revoked");
  const closed: Ended = { closeCode: 4502, message: "" };

  assert.equal(endingOf(revoked, SITUATION), undefined);
  assert.match(whySignIn(revoked, SITUATION), /ended at 11:00.*new token/);
  assert.equal(endingOf(closed, SITUATION), undefined);
  assert.match(whySignIn(closed, SITUATION), /new token/);
  assert.match(whySignIn({ closeCode: 4500, message: "" }, SITUATION), /run out/);
});
