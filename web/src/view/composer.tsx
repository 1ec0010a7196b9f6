import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import { SendIcon } from "./icons.tsx";

const GROWS_TO_PX = 180;

export function Composer({
  messenger,
  id,
  to,
}: {
  messenger: Messenger;
  id: string;
  /** What people call the other side. */
  to: string;
}) {
  const [text, setText] = useState(() => messenger.draft(id));
  const [problem, setProblem] = useState<string>();
  const field = useRef<HTMLTextAreaElement>(null);
  const excess = messenger.excessBytes(text);

  useEffect(() => {
    // On a touch screen the keyboard would cover what the chat was opened for.
    if (matchMedia("(hover: hover)").matches) field.current?.focus();
  }, []);

  useLayoutEffect(() => {
    const area = field.current;
    if (area === null) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, GROWS_TO_PX)}px`;
  });

  const write = (next: string): void => {
    setText(next);
    setProblem(undefined);
    messenger.keepDraft(id, next);
  };

  const send = (): void => {
    const message = text.trim();
    if (message === "" || excess > 0) return;
    const why = messenger.send(id, message);
    if (why === undefined) write("");
    else setProblem(why);
    field.current?.focus();
  };

  const tooLong = excess > 0 ? `The message is too long by ${excess} bytes.` : undefined;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {(problem ?? tooLong) !== undefined && (
        <p class="problem" role="alert">
          {problem ?? tooLong}
        </p>
      )}
      <div class="composer-row">
        <textarea
          ref={field}
          rows={1}
          value={text}
          aria-label={`Message to ${to}`}
          placeholder="Write a message"
          enterkeyhint="send"
          dir="auto"
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            // While a word is being composed, Enter ends the word.
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        <button
          type="submit"
          class="send"
          aria-label="Send"
          title="Send (Enter)"
          disabled={text.trim() === "" || excess > 0}
        >
          <SendIcon />
        </button>
      </div>
    </form>
  );
}
