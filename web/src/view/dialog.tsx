import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../problems.ts";
import { CloseIcon } from "./icons.tsx";

/** A card over the page, which waits until it is closed. The browser keeps the focus inside. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const heading = useId();
  // Before the effects of what is inside: one of them may move the focus to a field.
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);

  return (
    <dialog
      ref={box}
      class="dialog"
      aria-labelledby={heading}
      onCancel={(event) => {
        // It goes when its owner takes it away.
        event.preventDefault();
        onClose();
      }}
      onKeyDown={(event) => {
        // Its own Escape is not the page's.
        event.stopPropagation();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div class="dialog-card">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button
            type="button"
            class="icon-button"
            aria-label="Close"
            title="Close"
            onClick={onClose}
          >
            <CloseIcon />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** Asks before something is done that cannot be undone. */
export function Confirm({
  title,
  text,
  action,
  onConfirm,
  onClose,
}: {
  title: string;
  text: string;
  action: string;
  /** Fails with a `Problem`, which is shown. */
  onConfirm: () => Promise<void>;
  onClose: () => void;
}) {
  const { problem, isBusy, run } = useAction();
  return (
    <Dialog title={title} onClose={onClose}>
      <p class="dialog-text">{text}</p>
      <ProblemLine problem={problem} />
      <div class="dialog-actions">
        <button type="button" class="button button-quiet" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          class="button button-bad"
          aria-busy={isBusy}
          onClick={() => void run(onConfirm, onClose)}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}

export function ProblemLine({ problem }: { problem: Problem | undefined }) {
  return (
    <p class="problem" role="alert">
      {problem?.text}
    </p>
  );
}

/**
 * Something that is asked of the server: once at a time, with what went wrong. A button for it is not disabled
 * meanwhile: it would lose the focus.
 */
export function useAction() {
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  // A second click comes before the page is drawn anew.
  const runs = useRef(false);
  const run = async (work: () => Promise<void>, done?: () => void): Promise<void> => {
    if (runs.current) return;
    runs.current = true;
    setBusy(true);
    setProblem(undefined);
    try {
      await work();
      done?.();
    } catch (thrown) {
      setProblem(thrown as Problem);
    } finally {
      runs.current = false;
      setBusy(false);
    }
  };
  return { problem, setProblem, isBusy, run };
}
