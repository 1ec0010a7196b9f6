import type { ChatMessage, Receipt } from "@rookery/client";
import { useState } from "preact/hooks";
import { exactTime, hue, isOnlyEmoji, timeOfDay, withLinks } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import { explainCode } from "../problems.ts";
import { Avatar } from "./avatar.tsx";
import { CheckIcon, CopyIcon } from "./icons.tsx";
import { ReadersMark, ReceiptMark } from "./receipt.tsx";

const COPIED_FOR_MS = 1_500;

export interface BubbleProps {
  readonly messenger: Messenger;
  readonly message: ChatMessage;
  /** Absent at what others wrote, and in a conversation with oneself. */
  readonly receipt: Receipt | undefined;
  /** The conversation. */
  readonly id: string;
  /** In a group: how many have read it, and who wants to know more. */
  readonly group?: { readonly readers: number; readonly onReaders: (() => void) | undefined };
  /** Whether the one before, or after, is of the same person and moment: they are drawn as one block. */
  readonly follows: boolean;
  readonly leads: boolean;
}

export function Bubble({ messenger, message, receipt, id, group, follows, leads }: BubbleProps) {
  const { mine, from, content, sentAtMs, state } = message;
  const text = content.type === "text" ? content.text : undefined;
  const classes = [
    "message",
    mine ? "mine" : "theirs",
    group !== undefined && !mine && "of-many",
    follows && "follows",
    leads && "leads",
    state === "failed" && "failed",
    text !== undefined && isOnlyEmoji(text) && "only-emoji",
  ].filter(Boolean);

  return (
    <li
      class={classes.join(" ")}
      data-seq={message.seq}
      data-state={receipt ?? state}
      tabIndex={-1}
      onKeyDown={(event) => {
        const copies = event.key === "c" && (event.ctrlKey || event.metaKey);
        if (copies && text !== undefined && getSelection()?.isCollapsed !== false) void copy(text);
      }}
    >
      {group !== undefined && !mine && !leads && <Avatar user={from} size="small" />}
      <div class="bubble">
        {group !== undefined && !mine && !follows ? (
          <span class={`sender hue-${hue(from)}`}>
            {from}
            <span class="visually-hidden">: </span>
          </span>
        ) : (
          <span class="visually-hidden">{mine ? "You: " : `${from}: `}</span>
        )}
        {text === undefined ? (
          <p class="text text-unknown">A message that this page cannot show.</p>
        ) : (
          <p class="text" dir="auto">
            <Text text={text} />
          </p>
        )}
        <span class="meta">
          <time dateTime={new Date(sentAtMs).toISOString()} title={exactTime(sentAtMs)}>
            {timeOfDay(sentAtMs)}
          </time>
          {receipt !== undefined &&
            (group?.onReaders === undefined || state !== "stored" ? (
              <ReceiptMark receipt={receipt} />
            ) : (
              <ReadersMark receipt={receipt} readers={group.readers} onClick={group.onReaders} />
            ))}
        </span>
      </div>
      {text !== undefined && <CopyButton text={text} />}
      {state === "failed" && <Failure messenger={messenger} message={message} id={id} />}
    </li>
  );
}

function Text({ text }: { text: string }) {
  return (
    <>
      {withLinks(text).map((piece, index) =>
        piece.href === undefined ? (
          piece.text
        ) : (
          // A text never changes, so neither do the places of its pieces.
          // biome-ignore lint/suspicious/noArrayIndexKey: see above
          <a key={index} href={piece.href} target="_blank" rel="noopener noreferrer nofollow">
            {piece.text}
          </a>
        ),
      )}
    </>
  );
}

function CopyButton({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <button
      type="button"
      class="copy"
      tabIndex={-1}
      aria-label="Copy the text"
      title="Copy"
      onClick={async () => {
        if (!(await copy(text))) return;
        setCopied(true);
        setTimeout(() => setCopied(false), COPIED_FOR_MS);
      }}
    >
      {isCopied ? <CheckIcon /> : <CopyIcon />}
    </button>
  );
}

/** Whether it could be done: the clipboard is away on plain http of another host, where selecting still works. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function Failure({ messenger, message, id }: Pick<BubbleProps, "messenger" | "message" | "id">) {
  const { error, clientMsgId } = message;
  const why = error === undefined ? "" : explainCode(error.code, error.message, id);
  return (
    <p class="failure" role="alert">
      <span>Not sent. {why}</span>
      <button type="button" class="link" onClick={() => messenger.retry(clientMsgId)}>
        Try again
      </button>
      <button type="button" class="link" onClick={() => messenger.discard(clientMsgId)}>
        Delete
      </button>
    </p>
  );
}
