import { type Status, utf8Bytes } from "@rookery/client";
import { useState } from "preact/hooks";
import { atTime } from "../format.ts";
import type { OwnStatus as Body } from "../friends.ts";
import type { Messenger } from "../messenger.ts";
import { STATUS_NAMES } from "../presence-words.ts";
import { ProblemLine, useAction } from "./dialog.tsx";

const TEXT_BYTES = 128;

const STATUSES = Object.keys(STATUS_NAMES) as Status[];

const MINUTE_MS = 60_000;

/** For how long, in minutes. */
const SPANS = [
  [30, "For 30 minutes"],
  [60, "For an hour"],
  [240, "For 4 hours"],
] as const;

/** Stands for the end that the status has already. */
const AS_IT_IS = "as-it-is";

/** What one says of oneself, on all one's devices. */
export function OwnStatus({ messenger, onDone }: { messenger: Messenger; onDone: () => void }) {
  const { account, friends, serverNowMs: nowMs } = messenger;
  const own = friends.presence(account.user);
  const { until_ms: untilMs = 0 } = own ?? {};
  const isHeld = untilMs <= 0 || untilMs > nowMs;
  const [status, setStatus] = useState<Status>((isHeld && own?.status) || "available");
  const [text, setText] = useState((isHeld && own?.text) || "");
  const [span, setSpan] = useState(untilMs > nowMs ? AS_IT_IS : "");
  const { problem, setProblem, isBusy, run } = useAction();

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const words = text.trim();
    if (utf8Bytes(words) > TEXT_BYTES) {
      setProblem({ text: "These are too many words.", field: "text" });
      return;
    }
    const body: Body = {
      status,
      ...(words === "" ? {} : { text: words }),
      ...endOf(span, untilMs, messenger.serverNowMs),
    };
    void run(() => friends.setStatus(body), onDone);
  };

  return (
    <form class="own-status" onSubmit={submit} noValidate>
      <fieldset class="pills">
        <legend>Status</legend>
        {STATUSES.map((each) => (
          <label key={each} class="pill">
            <input
              type="radio"
              name="status"
              value={each}
              checked={status === each}
              onChange={() => setStatus(each)}
            />
            <span class={`dot dot-${MARKS[each]}`} aria-hidden="true" />
            {STATUS_NAMES[each]}
          </label>
        ))}
      </fieldset>
      {status === "invisible" && <p class="own-hint">Others see you as offline.</p>}
      <div class="own-fields">
        <label class="field">
          <span>In words (optional)</span>
          <input
            name="text"
            value={text}
            dir="auto"
            aria-invalid={problem?.field === "text"}
            onInput={(event) => setText(event.currentTarget.value)}
            autocomplete="off"
            placeholder="In a meeting"
          />
        </label>
        <label class="field">
          <span>How long</span>
          <select value={span} onChange={(event) => setSpan(event.currentTarget.value)}>
            <option value="">Until I change it</option>
            {untilMs > nowMs && (
              <option value={AS_IT_IS}>Until {atTime(untilMs, nowMs).replace(/^at /, "")}</option>
            )}
            {SPANS.map(([minutes, name]) => (
              <option key={minutes} value={minutes}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <ProblemLine problem={problem} />
      <button type="submit" class="button" aria-busy={isBusy}>
        Set status
      </button>
    </form>
  );
}

const MARKS = {
  available: "online",
  away: "away",
  busy: "busy",
  dnd: "dnd",
  invisible: "offline",
} as const;

function endOf(span: string, untilMs: number, nowMs: number): { until_ms?: number } {
  if (span === "") return {};
  const ends = span === AS_IT_IS ? untilMs : nowMs + Number(span) * MINUTE_MS;
  return { until_ms: Math.round(ends) };
}
