import {
  type Chat,
  type ChatMessage,
  groupOf,
  isNotice,
  readersOf,
  receiptOf,
} from "@rookery/client";
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { dayName, exactTime, isSameDay, noticeText } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import { Bubble } from "./bubble.tsx";
import { DownIcon } from "./icons.tsx";
import { ReadBy } from "./read-by.tsx";

/** Messages of one person within this time are drawn as one block. */
const BLOCK_MS = 5 * 60_000;
/** Older messages are loaded when the upper end is this near. */
const NEAR_TOP_PX = 600;
/** Within this of the lower end, a new message keeps the end in view. */
const NEAR_END_PX = 80;
/** Beyond this many members a group's server does not tell who has read. */
const MOST_WITH_READERS = 500;

/** What the list looked like after it was last drawn. */
interface Drawn {
  first: string | undefined;
  last: string | undefined;
  height: number;
}

export function MessageList({
  messenger,
  chat,
  problem,
  isOnline,
}: {
  messenger: Messenger;
  chat: Chat;
  /** Why the messages cannot be shown. */
  problem: string | undefined;
  isOnline: boolean;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn>({ first: undefined, last: undefined, height: 0 });
  const isPlaced = useRef(false);
  const sticksToEnd = useRef(true);
  const [isAtEnd, setAtEnd] = useState(true);
  const [isLoadingOlder, setLoadingOlder] = useState(false);
  const [olderProblem, setOlderProblem] = useState<string>();
  const [looksAt, setLooksAt] = useState<ChatMessage>();
  const unreadFrom = useUnreadLine(chat);
  const all = [...chat.messages, ...chat.pending];
  const { id } = chat;

  const loadOlder = useCallback(async () => {
    setLoadingOlder(true);
    setOlderProblem(await messenger.loadOlder(id));
    setLoadingOlder(false);
  }, [messenger, id]);

  /** What is on screen in a visible page, down to the end, is read. */
  const look = useCallback(() => {
    if (document.visibilityState === "visible" && sticksToEnd.current) messenger.markRead(id);
  }, [messenger, id]);

  const scrolled = (): void => {
    const box = scroller.current;
    if (box === null || !isPlaced.current) return;
    sticksToEnd.current = isNearEnd(box);
    setAtEnd(sticksToEnd.current);
    look();
    if (box.scrollTop < NEAR_TOP_PX && chat.hasOlder && olderProblem === undefined) {
      void loadOlder();
    }
  };

  // The place is kept by hand, before the browser paints: what was added above moves everything down by its height.
  useLayoutEffect(() => {
    const box = scroller.current;
    if (box === null || !chat.loaded) return;
    const before = drawn.current;
    const now = { first: all[0]?.key, last: all.at(-1)?.key, height: box.scrollHeight };
    const isOwnNew = now.last !== before.last && all.at(-1)?.mine === true;

    if (!isPlaced.current) {
      isPlaced.current = true;
      const line = box.querySelector<HTMLElement>(".unread-line");
      box.scrollTop =
        line === null ? box.scrollHeight : line.offsetTop - Math.floor(box.clientHeight / 4);
      sticksToEnd.current = isNearEnd(box);
      setAtEnd(sticksToEnd.current);
    } else if (now.first !== before.first && before.first !== undefined && !sticksToEnd.current) {
      box.scrollTop += now.height - before.height;
    } else if (sticksToEnd.current || isOwnNew) {
      box.scrollTop = box.scrollHeight;
      sticksToEnd.current = true;
      setAtEnd(true);
    }
    drawn.current = now;
    look();
    // A page that does not fill the screen cannot be scrolled for more.
    if (
      chat.hasOlder &&
      chat.messages.length > 0 &&
      olderProblem === undefined &&
      box.scrollTop < NEAR_TOP_PX
    ) {
      void loadOlder();
    }
  });

  // What failed for want of a connection is asked again when there is one.
  useEffect(() => {
    if (isOnline) setOlderProblem(undefined);
  }, [isOnline]);

  // The keyboard of a phone and a growing text field take room from below.
  useEffect(() => {
    const box = scroller.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => {
      if (sticksToEnd.current) box.scrollTop = box.scrollHeight;
    });
    observer.observe(box);
    document.addEventListener("visibilitychange", look);
    return () => {
      observer.disconnect();
      document.removeEventListener("visibilitychange", look);
    };
  }, [look]);

  const toEnd = (): void => {
    const box = scroller.current;
    if (box === null) return;
    sticksToEnd.current = true;
    box.scrollTo({ top: box.scrollHeight, behavior: gently() });
  };

  return (
    <div class="messages-frame">
      <div
        ref={scroller}
        class="messages"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        role="log"
        aria-label={`Messages with ${chat.name}`}
        // What is loaded is not read out: only what comes in is news.
        aria-busy={!chat.loaded || isLoadingOlder}
        onScroll={scrolled}
        onKeyDown={walk}
      >
        <Beginning
          chat={chat}
          isEmpty={all.length === 0}
          problem={problem ?? olderProblem}
          onRetry={problem === undefined ? () => void loadOlder() : undefined}
        />
        <ol>{rows(messenger, chat, all, unreadFrom, setLooksAt)}</ol>
      </div>
      {!isAtEnd && (
        <button type="button" class="to-end" aria-label="To the newest message" onClick={toEnd}>
          <DownIcon />
          {chat.unread > 0 && <span class="badge">{chat.unread > 99 ? "99+" : chat.unread}</span>}
        </button>
      )}
      {looksAt !== undefined && (
        <ReadBy
          messenger={messenger}
          chat={chat}
          message={looksAt}
          onClose={() => setLooksAt(undefined)}
        />
      )}
    </div>
  );
}

function rows(
  messenger: Messenger,
  chat: Chat,
  all: readonly ChatMessage[],
  unreadFrom: number | undefined,
  onReaders: (message: ChatMessage) => void,
): ComponentChildren[] {
  const { serverNowMs, account } = messenger;
  const isGroup = groupOf(chat.id) !== undefined;
  const areReadersTold =
    chat.group?.left === false && chat.group.members > 1 && chat.group.members <= MOST_WITH_READERS;
  const drawn: ComponentChildren[] = [];
  let isMarked = false;
  all.forEach((message, index) => {
    const before = all[index - 1];
    const after = all[index + 1];
    const newDay = before === undefined || !isSameDay(before.sentAtMs, message.sentAtMs);
    const firstUnread =
      !isMarked &&
      unreadFrom !== undefined &&
      !message.mine &&
      !isNotice(message) &&
      (message.seq ?? 0) > unreadFrom;
    if (newDay) {
      const name = dayName(message.sentAtMs, serverNowMs);
      drawn.push(
        <li key={`day ${message.key}`} class="day">
          <span>{name}</span>
        </li>,
      );
    }
    if (firstUnread) {
      isMarked = true;
      drawn.push(
        <li key="unread" class="unread-line">
          <span>New</span>
        </li>,
      );
    }
    if (message.content.type === "notice") {
      drawn.push(
        <li key={message.key} class="notice" data-seq={message.seq}>
          <span title={exactTime(message.sentAtMs)}>
            {noticeText(message.content, message.from, account.user)}
          </span>
        </li>,
      );
      return;
    }
    drawn.push(
      <Bubble
        key={message.key}
        messenger={messenger}
        message={message}
        receipt={
          message.mine && (chat.id !== `user:${account.user}` || message.state !== "stored")
            ? receiptOf(chat, message)
            : undefined
        }
        id={chat.id}
        {...(isGroup
          ? {
              group: {
                readers: readersOf(chat, message),
                onReaders: areReadersTold ? () => onReaders(message) : undefined,
              },
            }
          : {})}
        follows={!newDay && !firstUnread && isOneBlock(before, message)}
        leads={isOneBlock(message, after)}
      />,
    );
  });
  return drawn;
}

function isOneBlock(a: ChatMessage | undefined, b: ChatMessage | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.from === b.from &&
    !isNotice(a) &&
    !isNotice(b) &&
    b.sentAtMs - a.sentAtMs < BLOCK_MS &&
    isSameDay(a.sentAtMs, b.sentAtMs)
  );
}

/** What stands above the first message. */
function Beginning({
  chat,
  isEmpty,
  problem,
  onRetry,
}: {
  chat: Chat;
  isEmpty: boolean;
  problem: string | undefined;
  onRetry: (() => void) | undefined;
}) {
  if (problem !== undefined) {
    return (
      <div class="beginning" role="alert">
        <p>{problem}</p>
        {onRetry !== undefined && (
          <button type="button" class="link" onClick={onRetry}>
            Try again
          </button>
        )}
      </div>
    );
  }
  if (!chat.loaded || (chat.hasOlder && !isEmpty)) {
    return (
      <div class="beginning">
        <span class="spinner" role="img" aria-label="Loading messages" />
      </div>
    );
  }
  if (isEmpty) {
    return (
      <div class="beginning no-messages">
        <img src="/favicon.svg" alt="" width="72" height="72" />
        <p>
          No messages yet. Say hello to <strong>{chat.name}</strong>.
        </p>
      </div>
    );
  }
  return (
    <div class="beginning beginning-quiet">
      {chat.minSeq > 1 ? "This is where you came in." : "This is where it began."}
    </div>
  );
}

/**
 * The seq after which the line "New" stands: where this user had read to when the chat came on screen, or when the page
 * was last hidden. It stays while the chat is looked at, and goes when its reader answers.
 */
function useUnreadLine(chat: Chat): number | undefined {
  const [line, setLine] = useState<number>();
  const isHidden = useRef(true);
  const answered = chat.pending.at(-1)?.key;

  useEffect(() => {
    const changed = (): void => {
      if (document.visibilityState === "hidden") isHidden.current = true;
    };
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);

  if (isHidden.current && chat.loaded) {
    if (chat.unread > 0) {
      isHidden.current = false;
      if (line !== chat.read) setLine(chat.read);
      return chat.read;
    }
    if (document.visibilityState === "visible") isHidden.current = false;
  }
  if (answered !== undefined && line !== undefined) {
    setLine(undefined);
    return undefined;
  }
  return line;
}

function isNearEnd({ scrollHeight, scrollTop, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
}

/** Arrow keys walk from message to message, where each can be copied. */
function walk(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const messages = [...event.currentTarget.querySelectorAll<HTMLElement>(".message")];
  const at = messages.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? messages.length - 1 : at + (event.key === "ArrowUp" ? -1 : 1);
  messages[Math.min(Math.max(next, 0), messages.length - 1)]?.focus();
  event.preventDefault();
}

function gently(): ScrollBehavior {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}
