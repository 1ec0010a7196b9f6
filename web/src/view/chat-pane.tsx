import { type Chat, groupOf } from "@rookery/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { farewell } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import type { Problem } from "../problems.ts";
import { goToList } from "../route.ts";
import { ChatAvatar } from "./avatar.tsx";
import { Composer } from "./composer.tsx";
import { ProblemLine, useAction } from "./dialog.tsx";
import { GroupDetails } from "./group-details.tsx";
import { BackIcon, GroupIcon } from "./icons.tsx";
import { MessageList } from "./message-list.tsx";
import { FriendButton, PeerPresence, WithDot } from "./presence.tsx";

const KINDS = { work: "Work group", meeting: "Meeting" } as const;

/** Answers of the server that say that one is no member. */
const OUTSIDE: ReadonlySet<string | undefined> = new Set(["not_found", "not_a_member"]);

/** One conversation. Made anew for each: what belongs to one is never seen in another. */
export function ChatPane({ messenger, id }: { messenger: Messenger; id: string }) {
  const chat = messenger.chat(id);
  const [problem, setProblem] = useState<Problem>();
  const [isDetailed, setDetailed] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const title = useRef<HTMLButtonElement>(null);
  const isOnline = messenger.connection.value.phase === "online";
  const isGroup = groupOf(id) !== undefined;
  const isOneself = chat.peer === messenger.account.user;
  // Of a user who does not exist there is nothing to say.
  const isKnown = problem?.code !== "not_found";
  const presence = isGroup || !isKnown ? undefined : messenger.friends.presence(chat.peer);

  // Asked again when the connection comes back. Without one, the line at the top says all that there is to say.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is another reason to ask
  useEffect(() => {
    let isHere = true;
    void messenger.open(id).then((why) => {
      if (isHere) setProblem(isOnline ? why : undefined);
    });
    return () => {
      isHere = false;
    };
  }, [messenger, id, isOnline, attempt]);

  useEffect(() => () => messenger.close(id), [messenger, id]);

  const others = messenger.unread.value - chat.unread;
  const isOutside = isGroup && (chat.group?.left === true || OUTSIDE.has(problem?.code));
  return (
    <main class="pane" aria-label={`Conversation with ${chat.name}`}>
      <header class="bar">
        <button
          type="button"
          class="icon-button back"
          aria-label={others > 0 ? `Back to all conversations, ${others} unread` : "Back"}
          onClick={goToList}
        >
          <BackIcon />
          {others > 0 && <span class="badge">{others > 99 ? "99+" : others}</span>}
        </button>
        <WithDot presence={presence} nowMs={messenger.serverNowMs}>
          <ChatAvatar chat={chat} />
        </WithDot>
        {isGroup ? (
          <div class="bar-title">
            <h1 class="bar-name">
              <button
                ref={title}
                type="button"
                aria-expanded={isDetailed}
                onClick={() => setDetailed(!isDetailed)}
              >
                <bdi>{chat.name}</bdi>
              </button>
            </h1>
            <GroupNote chat={chat} />
          </div>
        ) : (
          <div class="bar-title">
            <h1 class="bar-name">
              {chat.name}
              {isOneself && <span class="bar-note"> (you)</span>}
            </h1>
            {isKnown && <PeerPresence messenger={messenger} user={chat.peer} />}
          </div>
        )}
        {!isGroup && !isOneself && isKnown && (
          <FriendButton messenger={messenger} user={chat.peer} />
        )}
        {isGroup && (
          <button
            type="button"
            class="icon-button"
            aria-label="About this group"
            title="About this group"
            aria-expanded={isDetailed}
            onClick={() => setDetailed(!isDetailed)}
          >
            <GroupIcon />
          </button>
        )}
      </header>
      <div class="pane-body">
        <div class="pane-main">
          <MessageList
            messenger={messenger}
            chat={chat}
            problem={chat.loaded ? undefined : problem?.text}
            isOnline={isOnline}
          />
          {isOutside ? (
            <Outside
              messenger={messenger}
              chat={chat}
              code={problem?.code}
              onJoined={() => setAttempt(attempt + 1)}
            />
          ) : (
            <Composer messenger={messenger} id={id} to={chat.name} />
          )}
        </div>
        {isGroup && isDetailed && (
          <GroupDetails
            messenger={messenger}
            chat={chat}
            onClose={() => {
              setDetailed(false);
              title.current?.focus();
            }}
          />
        )}
      </div>
    </main>
  );
}

function GroupNote({ chat: { group } }: { chat: Chat }) {
  if (group === undefined) return null;
  const { kind, members, left, dissolved } = group;
  const count = members === 1 ? "1 member" : `${members} members`;
  const state = dissolved ? "dissolved" : left ? "you are no member" : count;
  return <span class="bar-sub">{`${KINDS[kind]}, ${state}`}</span>;
}

/** Stands where a member writes, and says why this user cannot. */
function Outside({
  messenger,
  chat,
  code,
  onJoined,
}: {
  messenger: Messenger;
  chat: Chat;
  code: string | undefined;
  onJoined: () => void;
}) {
  const { problem, isBusy, run } = useAction();
  const me = messenger.account.user;
  const last = chat.messages
    .map(({ content, from }) => farewell(content, from, me))
    .filter((text) => text !== undefined)
    .at(-1);
  const { kind } = chat.group ?? {};
  // The list of conversations does not say so, but its last notice does.
  const dissolved =
    chat.group?.dissolved === true ||
    chat.messages.some(({ content }) => "action" in content && content.action === "dissolved");
  const mayJoin =
    !dissolved && (kind === "meeting" || (kind === undefined && code === "not_a_member"));
  const why = chat.loaded
    ? "You are not a member of this group any more."
    : "You are not a member of this group.";
  return (
    <div class="outside" role="note">
      <p>{last ?? why}</p>
      {mayJoin && (
        <button
          type="button"
          class="button button-short"
          aria-busy={isBusy}
          onClick={() => void run(() => messenger.joinGroup(chat.peer), onJoined)}
        >
          {chat.loaded ? "Join again" : "Join"}
        </button>
      )}
      <ProblemLine problem={problem} />
    </div>
  );
}
