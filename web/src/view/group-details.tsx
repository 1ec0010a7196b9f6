import { type Chat, type ChatMessage, isNotice, type Member } from "@rookery/client";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { shortTime } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import type { Problem } from "../problems.ts";
import { Avatar, ChatAvatar } from "./avatar.tsx";
import { Confirm, Dialog, ProblemLine, useAction } from "./dialog.tsx";
import { CheckIcon, CloseIcon, CopyIcon, PencilIcon, PlusIcon, TickMark } from "./icons.tsx";
import { knownUsers } from "./new-group.tsx";
import { PeopleField, usePeople } from "./people-field.tsx";

const PAGE = 50;
const COPIED_FOR_MS = 1_500;

const KINDS = {
  work: "Work group, by invitation only",
  meeting: "Meeting, open to all who know its id",
} as const;

/** What a group is, who is in it, and what its members may do about that. */
export function GroupDetails({
  messenger,
  chat,
  onClose,
}: {
  messenger: Messenger;
  chat: Chat;
  onClose: () => void;
}) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => box.current?.focus(), []);
  const { group } = chat;
  return (
    <aside
      ref={box}
      class="details"
      aria-label={`About ${chat.name}`}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.preventDefault();
        onClose();
      }}
    >
      <header class="bar">
        <h2 class="bar-name">About this group</h2>
        <button
          type="button"
          class="icon-button"
          aria-label="Close the details"
          title="Close"
          onClick={onClose}
        >
          <CloseIcon />
        </button>
      </header>
      <div class="details-body">
        <Head messenger={messenger} chat={chat} />
        {group !== undefined && !group.left && (
          <>
            <Members messenger={messenger} chat={chat} />
            <Endings messenger={messenger} chat={chat} />
          </>
        )}
      </div>
    </aside>
  );
}

function Head({ messenger, chat }: { messenger: Messenger; chat: Chat }) {
  const [isRenaming, setRenaming] = useState(false);
  const { group } = chat;
  // In a work group any member may, elsewhere its owner.
  const mayRename = group?.left === false && (group.kind === "work" || group.role === "owner");
  return (
    <section class="details-head">
      <ChatAvatar chat={chat} size="large" />
      {isRenaming ? (
        <Rename messenger={messenger} chat={chat} onDone={() => setRenaming(false)} />
      ) : (
        <p class="details-name">
          <bdi>{chat.name}</bdi>
          {mayRename && (
            <button
              type="button"
              class="icon-button icon-button-small"
              aria-label="Change the name"
              title="Change the name"
              onClick={() => setRenaming(true)}
            >
              <PencilIcon />
            </button>
          )}
        </p>
      )}
      {group !== undefined && <p class="details-kind">{KINDS[group.kind]}</p>}
      <p class="details-id">
        Id <code>{chat.peer}</code>
        <CopyId id={chat.peer} />
      </p>
    </section>
  );
}

function CopyId({ id }: { id: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(id);
    } catch {
      // The clipboard is away on plain http of another host, where selecting still works.
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_FOR_MS);
  };
  return (
    <button
      type="button"
      class="icon-button icon-button-small"
      aria-label="Copy the id"
      title="Copy the id"
      onClick={() => void copy()}
    >
      {isCopied ? <CheckIcon /> : <CopyIcon />}
    </button>
  );
}

function Rename({
  messenger,
  chat,
  onDone,
}: {
  messenger: Messenger;
  chat: Chat;
  onDone: () => void;
}) {
  const [name, setName] = useState(chat.name);
  const { problem, isBusy, run } = useAction();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  return (
    <form
      class="inline-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void run(() => messenger.renameGroup(chat.id, name.trim()), onDone);
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        onDone();
      }}
    >
      <label class="field">
        <span>Name</span>
        <input
          ref={field}
          value={name}
          dir="auto"
          aria-invalid={problem !== undefined}
          onInput={(event) => setName(event.currentTarget.value)}
          autocomplete="off"
        />
      </label>
      <ProblemLine problem={problem} />
      <div class="inline-actions">
        <button type="button" class="button button-quiet" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="button" aria-busy={isBusy}>
          Save
        </button>
      </div>
    </form>
  );
}

function Members({ messenger, chat }: { messenger: Messenger; chat: Chat }) {
  const { members, next, problem, more } = useMembers(messenger, chat);
  const [isInviting, setInviting] = useState(false);
  const [leaving, setLeaving] = useState<string>();
  const isOwner = chat.group?.role === "owner";
  const me = messenger.account.user;
  return (
    <section class="details-members" aria-labelledby="members">
      <header class="details-section">
        <h3 id="members">
          {chat.group?.members === 1 ? "1 member" : `${chat.group?.members ?? 0} members`}
        </h3>
        {!isInviting && (
          <button type="button" class="link-button" onClick={() => setInviting(true)}>
            <PlusIcon /> Invite
          </button>
        )}
      </header>
      {isInviting && <Invite messenger={messenger} chat={chat} onDone={() => setInviting(false)} />}
      <ul class="members" aria-label="Members">
        {members.map((member) => (
          <li key={member.user} class="member">
            <Avatar user={member.user} size="small" />
            <span class="member-text">
              <span class="member-name">
                {member.user}
                {member.user === me && <span class="bar-note"> (you)</span>}
              </span>
              {member.user !== me && (
                <ReadState chat={chat} member={member} nowMs={messenger.serverNowMs} />
              )}
            </span>
            {member.role === "owner" && <span class="role">Owner</span>}
            {isOwner && member.user !== me && (
              <button
                type="button"
                class="icon-button icon-button-small"
                aria-label={`Remove ${member.user}`}
                title="Remove"
                onClick={() => setLeaving(member.user)}
              >
                <CloseIcon />
              </button>
            )}
          </li>
        ))}
      </ul>
      {problem !== undefined && (
        <p class="problem" role="alert">
          {problem.text}{" "}
          <button type="button" class="link" onClick={more}>
            Try again
          </button>
        </p>
      )}
      {next && problem === undefined && (
        <button type="button" class="link-button" onClick={more}>
          Show more members
        </button>
      )}
      {leaving !== undefined && (
        <Confirm
          title={`Remove ${leaving}?`}
          text={`${leaving} will not see what is said from then on.`}
          action="Remove"
          onConfirm={() => messenger.removeMember(chat.id, leaving)}
          onClose={() => setLeaving(undefined)}
        />
      )}
    </section>
  );
}

/** The members as far as they were looked at, read anew when the group changes. */
function useMembers(messenger: Messenger, chat: Chat) {
  const [members, setMembers] = useState<readonly Member[]>([]);
  const [next, setNext] = useState<string>();
  const [problem, setProblem] = useState<Problem>();
  const wanted = useRef(PAGE);
  const round = useRef(0);
  const { id, group } = chat;

  const load = useCallback(async (): Promise<void> => {
    round.current += 1;
    const own = round.current;
    const all: Member[] = [];
    let after: string | undefined;
    try {
      do {
        const limit = Math.min(200, wanted.current - all.length);
        const page = await messenger.members(id, after, limit);
        all.push(...page.members);
        after = page.next;
      } while (after !== undefined && all.length < wanted.current);
      if (own !== round.current) return;
      setMembers(all);
      setNext(after);
      setProblem(undefined);
    } catch (thrown) {
      if (own === round.current) setProblem(thrown as Problem);
    }
  }, [messenger, id]);

  const isOnline = messenger.connection.value.phase === "online";
  // biome-ignore lint/correctness/useExhaustiveDependencies: the group is another object whenever it was asked anew
  useEffect(() => {
    if (isOnline) void load();
  }, [load, group, isOnline]);

  const more = (): void => {
    if (next !== undefined) wanted.current = members.length + PAGE;
    void load();
  };
  return { members, next: next !== undefined, problem, more };
}

function ReadState({ chat, member, nowMs }: { chat: Chat; member: Member; nowMs: number }) {
  const { read, user } = member;
  if (read === undefined) return null;
  const words = chat.messages.filter((message) => !isNotice(message));
  // What one wrote oneself need not be read.
  const last = words.filter(({ from }) => from !== user).at(-1);
  if (last === undefined) return null;
  if (read >= (last.seq ?? 0)) {
    return (
      <span class="member-read member-read-all">
        <TickMark kind="two" /> Has read everything
      </span>
    );
  }
  return <span class="member-read">{readUntil(words, read, nowMs)}</span>;
}

function readUntil(words: readonly ChatMessage[], read: number, nowMs: number): string {
  if (read === 0) return "Has read nothing yet";
  const latest = words.filter(({ seq = 0 }) => seq <= read).at(-1);
  if (latest === undefined) return "Has not read the latest messages";
  return `Has read until ${shortTime(latest.sentAtMs, nowMs).replace("Y", "y")}`;
}

function Invite({
  messenger,
  chat,
  onDone,
}: {
  messenger: Messenger;
  chat: Chat;
  onDone: () => void;
}) {
  const people = usePeople();
  const { problem, setProblem, isBusy, run } = useAction();
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const users = people.all();
    if (users === undefined) return;
    void run(async () => {
      const added = await messenger.invite(chat.id, users);
      if (added.length > 0) onDone();
      else setProblem({ text: "They are members already." });
    });
  };
  return (
    <form class="inline-form" onSubmit={submit} noValidate>
      <PeopleField
        people={people}
        label="Whom to invite, by user id"
        known={knownUsers(messenger)}
      />
      <ProblemLine problem={problem} />
      <div class="inline-actions">
        <button type="button" class="button button-quiet" onClick={onDone}>
          Cancel
        </button>
        <button
          type="submit"
          class="button"
          aria-busy={isBusy}
          disabled={people.chosen.length === 0 && people.text.trim() === ""}
        >
          Invite
        </button>
      </div>
    </form>
  );
}

/** How one's membership, or the group itself, comes to an end. */
function Endings({ messenger, chat }: { messenger: Messenger; chat: Chat }) {
  const [asks, setAsks] = useState<"leave" | "dissolve">();
  const { kind, role, members = 0 } = chat.group ?? {};
  const isOwner = role === "owner";
  const back = (): void => setAsks(undefined);
  return (
    <section class="details-endings">
      <button type="button" class="link-button link-button-bad" onClick={() => setAsks("leave")}>
        Leave this group
      </button>
      {isOwner && (
        <button
          type="button"
          class="link-button link-button-bad"
          onClick={() => setAsks("dissolve")}
        >
          Dissolve this group
        </button>
      )}
      {asks === "leave" && isOwner && kind === "meeting" && (
        <Dialog title="You cannot leave" onClose={back}>
          <p class="dialog-text">
            A meeting has an owner for as long as it exists, and you are the owner of this one. You
            can dissolve it.
          </p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={back}>
              Stay
            </button>
          </div>
        </Dialog>
      )}
      {asks === "leave" && !(isOwner && kind === "meeting") && (
        <Confirm
          title={`Leave ${chat.name}?`}
          text={
            isOwner && members > 1
              ? "You will not see what is said from then on. The member who has been here longest will own the group."
              : "You will not see what is said from then on."
          }
          action="Leave"
          onConfirm={() => messenger.leaveGroup(chat.id)}
          onClose={back}
        />
      )}
      {asks === "dissolve" && (
        <Confirm
          title={`Dissolve ${chat.name}?`}
          text="Nobody will be able to write in it any more, for ever. What was said stays readable to its members."
          action="Dissolve"
          onConfirm={() => messenger.dissolveGroup(chat.id)}
          onClose={back}
        />
      )}
    </section>
  );
}
