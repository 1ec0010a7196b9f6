import type { Presence } from "@rookery/client";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import { chosenWords, markOf, presenceWords } from "../presence-words.ts";
import { useAction } from "./dialog.tsx";
import { AddFriendIcon, FriendIcon } from "./icons.tsx";

/** An avatar with a dot at its edge, which says nothing to those who cannot see it: words stand beside it. */
export function WithDot({
  presence,
  nowMs,
  children,
}: {
  presence: Presence | undefined;
  nowMs: number;
  children: ComponentChildren;
}) {
  return (
    <span class="with-dot" aria-hidden="true">
      {children}
      {presence !== undefined && (
        <span class={`dot dot-${markOf(presence, nowMs)}`} title={presenceWords(presence, nowMs)} />
      )}
    </span>
  );
}

/** Beside the name in a row: the words that somebody chose, and for those who listen, how they are. */
export function RowPresence({ presence, nowMs }: { presence: Presence; nowMs: number }) {
  const words = chosenWords(presence, nowMs);
  return (
    <>
      {words !== undefined && (
        <bdi class="row-words" aria-hidden="true">
          {words}
        </bdi>
      )}
      <span class="visually-hidden">, {presenceWords(presence, nowMs)}</span>
    </>
  );
}

/** Below the name of the other side: how they are, friend or not. */
export function PeerPresence({ messenger, user }: { messenger: Messenger; user: string }) {
  const { friends } = messenger;
  useEffect(() => friends.watch(user), [friends, user]);
  const presence = friends.presence(user);
  if (presence === undefined) return null;
  return (
    <span class="bar-sub" dir="auto">
      {presenceWords(presence, messenger.serverNowMs)}
    </span>
  );
}

/** Makes the other side a friend, or ends it. */
export function FriendButton({ messenger, user }: { messenger: Messenger; user: string }) {
  const { friends } = messenger;
  const { problem, isBusy, run } = useAction();
  // There is no room for it here.
  useEffect(() => {
    if (problem !== undefined) messenger.notice.value = problem.text;
  }, [messenger, problem]);
  if (!friends.isLoaded) return null;
  const isFriend = friends.has(user);
  const label = isFriend ? "Remove friend" : "Add friend";
  return (
    <button
      type="button"
      class={`icon-button${isFriend ? " icon-button-on" : ""}`}
      aria-label={label}
      title={label}
      aria-busy={isBusy}
      onClick={() => void run(() => (isFriend ? friends.remove(user) : friends.add(user)))}
    >
      {isFriend ? <FriendIcon /> : <AddFriendIcon />}
    </button>
  );
}
