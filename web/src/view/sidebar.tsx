import { type Chat, type ChatMessage, groupOf, type Presence, receiptOf } from "@rookery/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { noticeText, shortTime, unreadLabel } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import { ownSummary, ownWords, presenceWords } from "../presence-words.ts";
import { goTo, linkTo } from "../route.ts";
import { Avatar, ChatAvatar } from "./avatar.tsx";
import { GroupIcon, PlusIcon, SearchIcon, SignOutIcon } from "./icons.tsx";
import { NewGroup } from "./new-group.tsx";
import { Oneself } from "./oneself.tsx";
import { RowPresence, WithDot } from "./presence.tsx";
import { ReceiptMark } from "./receipt.tsx";
import { isUserId } from "./sign-in.tsx";

const NEAR_END_PX = 400;
/** Friends without a conversation that are shown at once; the search finds the others. */
const FRIENDS_SHOWN = 50;

export function Sidebar({
  messenger,
  open,
  onSignOut,
}: {
  messenger: Messenger;
  /** The conversation that is on screen. */
  open: string | undefined;
  onSignOut: () => void;
}) {
  const [search, setSearch] = useState("");
  const [isGrouping, setGrouping] = useState(false);
  const [isSelf, setSelf] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const { user } = messenger.account;
  const { friends, serverNowMs: nowMs } = messenger;
  const own = friends.presence(user);
  const wanted = search.trim();
  const fits = (text: string): boolean => text.toLowerCase().includes(wanted.toLowerCase());
  const chats = messenger.chats.value.filter(({ peer, name }) => fits(peer) || fits(name));
  const others = friendsWithout(messenger).filter(fits).slice(0, FRIENDS_SHOWN);
  const isNew =
    wanted !== "" && !chats.some(({ id }) => id === `user:${wanted}`) && !others.includes(wanted);

  const start = (peer: string): void => {
    setSearch("");
    goTo(`user:${peer}`);
  };

  // Who leaves a chat by the keyboard goes on from its row.
  const wasOpen = useRef(open);
  useEffect(() => {
    const left = wasOpen.current;
    wasOpen.current = open;
    if (open !== undefined || left === undefined) return;
    list.current?.querySelector<HTMLElement>(`a[href="${linkTo(left)}"]`)?.focus();
  }, [open]);

  /** Arrow keys walk through the list, from the search field on. */
  const walk = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const rows = [...(list.current?.querySelectorAll<HTMLElement>("a") ?? [])];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    if (next < 0) field.current?.focus();
    else rows[next]?.focus();
    event.preventDefault();
  };

  return (
    <nav class="sidebar" aria-label="Conversations">
      <header class="bar">
        <button
          type="button"
          class="own"
          aria-haspopup="dialog"
          title={own === undefined ? "Your status and devices" : ownWords(own, nowMs)}
          onClick={() => setSelf(true)}
        >
          <WithDot presence={own} nowMs={nowMs}>
            <Avatar user={user} />
          </WithDot>
          <span class="own-text">
            <strong class="own-name">{user}</strong>
            <span class="bar-sub" dir="auto">
              {own !== undefined && ownSummary(own, nowMs)}
            </span>
            <span class="visually-hidden">Your status and devices</span>
          </span>
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Start a conversation"
          title="Start a conversation"
          onClick={() => field.current?.focus()}
        >
          <PlusIcon />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="New group"
          title="New group, or join a meeting"
          onClick={() => setGrouping(true)}
        >
          <GroupIcon />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Sign out"
          title="Sign out"
          onClick={onSignOut}
        >
          <SignOutIcon />
        </button>
      </header>

      <form
        class="search"
        onKeyDown={walk}
        onSubmit={(event) => {
          event.preventDefault();
          if (isUserId(wanted)) start(wanted);
        }}
      >
        <SearchIcon />
        <input
          ref={field}
          type="search"
          name="search"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || search === "") return;
            setSearch("");
            event.preventDefault();
          }}
          aria-label="Find a conversation, or start one with a user id"
          placeholder="Find, or start with a user id"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </form>

      <ul
        ref={list}
        class="chats"
        onKeyDown={walk}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          if (!messenger.hasMoreChats.value) return;
          if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) messenger.loadMoreChats();
        }}
      >
        {isNew && <StartRow wanted={wanted} onStart={start} />}
        {chats.map((chat) => (
          <ChatRow
            key={chat.id}
            chat={chat}
            me={user}
            presence={presenceIn(messenger, chat)}
            isOpen={chat.id === open}
            nowMs={nowMs}
          />
        ))}
        {others.map((friend) => (
          <FriendRow
            key={friend}
            user={friend}
            presence={friends.presence(friend)}
            isOpen={open === `user:${friend}`}
            nowMs={nowMs}
          />
        ))}
      </ul>
      {wanted === "" && chats.length === 0 && others.length === 0 && (
        <EmptyList loaded={messenger.listLoaded.value} />
      )}
      {isGrouping && <NewGroup messenger={messenger} onClose={() => setGrouping(false)} />}
      {isSelf && <Oneself messenger={messenger} onClose={() => setSelf(false)} />}
    </nav>
  );
}

function StartRow({ wanted, onStart }: { wanted: string; onStart: (peer: string) => void }) {
  if (!isUserId(wanted)) {
    return (
      <li class="chats-hint">
        A user id has 1 to 64 of the characters <code>A-Z a-z 0-9 _ . @ # + = -</code>
      </li>
    );
  }
  return (
    <li>
      <a
        class="row"
        href={linkTo(`user:${wanted}`)}
        onClick={(event) => {
          event.preventDefault();
          onStart(wanted);
        }}
      >
        <span class="avatar avatar-new" aria-hidden="true">
          <PlusIcon />
        </span>
        <span class="row-text">
          <span class="row-name">{wanted}</span>
          <span class="row-last">Start a conversation</span>
        </span>
      </a>
    </li>
  );
}

function ChatRow({
  chat,
  me,
  presence,
  isOpen,
  nowMs,
}: {
  chat: Chat;
  me: string;
  presence: Presence | undefined;
  isOpen: boolean;
  nowMs: number;
}) {
  const { id, name, unread } = chat;
  const last = chat.pending.at(-1) ?? newest(chat.last, chat.messages.at(-1));
  return (
    <li>
      <a
        class={`row${unread > 0 ? " row-unread" : ""}`}
        href={linkTo(id)}
        aria-current={isOpen ? "page" : undefined}
        onClick={(event) => {
          event.preventDefault();
          goTo(id);
        }}
      >
        <WithDot presence={presence} nowMs={nowMs}>
          <ChatAvatar chat={chat} />
        </WithDot>
        <span class="row-text">
          <span class="row-top">
            <span class="row-name">
              <bdi>{name}</bdi>
              {id === `user:${me}` && <span class="bar-note"> (you)</span>}
              {presence !== undefined && <RowPresence presence={presence} nowMs={nowMs} />}
            </span>
            {last !== undefined && (
              <time class="row-time" dateTime={new Date(last.sentAtMs).toISOString()}>
                {shortTime(last.sentAtMs, nowMs)}
              </time>
            )}
          </span>
          <span class="row-bottom">
            <span class="row-last" dir="auto">
              {last?.mine === true &&
                last.content.type !== "notice" &&
                (id !== `user:${me}` || last.state !== "stored") && (
                  <ReceiptMark receipt={receiptOf(chat, last)} />
                )}
              {last !== undefined && preview(chat, last, me)}
            </span>
            {unread > 0 && (
              <span class="badge" role="img" aria-label={`${unread} unread`}>
                {unreadLabel(unread)}
              </span>
            )}
          </span>
        </span>
      </a>
    </li>
  );
}

/** A friend to whom nothing was said yet. */
function FriendRow({
  user,
  presence,
  isOpen,
  nowMs,
}: {
  user: string;
  presence: Presence | undefined;
  isOpen: boolean;
  nowMs: number;
}) {
  const id = `user:${user}`;
  return (
    <li>
      <a
        class="row"
        href={linkTo(id)}
        aria-current={isOpen ? "page" : undefined}
        onClick={(event) => {
          event.preventDefault();
          goTo(id);
        }}
      >
        <WithDot presence={presence} nowMs={nowMs}>
          <Avatar user={user} />
        </WithDot>
        <span class="row-text">
          <bdi class="row-name">{user}</bdi>
          <span class="row-last" dir="auto">
            {presence === undefined ? "A friend" : presenceWords(presence, nowMs)}
          </span>
        </span>
      </a>
    </li>
  );
}

/** Friends without a row of their own, as far as all rows are known. */
function friendsWithout(messenger: Messenger): string[] {
  if (!messenger.listLoaded.value || messenger.hasMoreChats.value) return [];
  const known = new Set(messenger.chats.value.map(({ id }) => id));
  return messenger.friends.all.value.filter((friend) => !known.has(`user:${friend}`));
}

/** Of the people in the list, those are shown who are friends: of the others not each change is told. */
function presenceIn({ friends }: Messenger, { id, peer }: Chat): Presence | undefined {
  return groupOf(id) === undefined && friends.has(peer) ? friends.presence(peer) : undefined;
}

function newest(a: ChatMessage | undefined, b: ChatMessage | undefined): ChatMessage | undefined {
  return (a?.seq ?? 0) >= (b?.seq ?? 0) ? a : b;
}

function preview(chat: Chat, { content, from, mine }: ChatMessage, me: string): string {
  if (content.type === "notice") return noticeText(content, from, me);
  const text = content.type === "text" ? content.text : "A message that this page cannot show";
  return groupOf(chat.id) === undefined || mine ? text : `${from}: ${text}`;
}

function EmptyList({ loaded }: { loaded: boolean }) {
  if (!loaded) {
    return (
      <div class="skeletons" aria-hidden="true">
        <span />
        <span />
        <span />
      </div>
    );
  }
  return (
    <div class="empty-list">
      <p>
        <strong>No conversations yet</strong>
      </p>
      <p>Type a user id above to write to someone, or make a group.</p>
    </div>
  );
}
