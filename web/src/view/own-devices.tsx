import type { DeviceRow } from "@rookery/client";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { deviceTitle } from "../ending.ts";
import { atTime } from "../format.ts";
import type { Messenger } from "../messenger.ts";
import { platformName } from "../presence-words.ts";
import type { Problem } from "../problems.ts";
import { ProblemLine, useAction } from "./dialog.tsx";

const AGAIN_MS = 10_000;

/** Where one is logged in, with an end to each. */
export function OwnDevices({ messenger }: { messenger: Messenger }) {
  const { rows, problem, load } = useDevices(messenger);
  const [isAll, setAll] = useState(false);
  const action = useAction();
  const online = rows?.filter((row) => row.online) ?? [];
  const away = rows?.filter((row) => !row.online) ?? [];
  const others = online.filter((row) => row.current !== true).length;
  const section = useRef<HTMLElement>(null);

  const end = (work: () => Promise<void>): void => {
    void action.run(async () => {
      await work();
      await load();
      // The button that was pressed is gone, and the focus was on it.
      section.current?.focus();
    });
  };

  return (
    <section ref={section} class="own-devices" aria-label="Your devices" tabIndex={-1}>
      <h3>Devices</h3>
      {rows === undefined && problem === undefined && <div class="spinner" />}
      <ul>
        {[...online, ...(isAll ? away : [])].map((row) => (
          <DeviceItem
            key={`${row.device.platform} ${row.device.id}`}
            row={row}
            nowMs={messenger.serverNowMs}
            isBusy={action.isBusy}
            onEnd={() => end(() => messenger.endDevice(row.device))}
          />
        ))}
      </ul>
      <ProblemLine problem={action.problem ?? problem} />
      <div class="own-endings">
        {others > 0 && <EndOthers onEnd={() => end(() => messenger.endOtherDevices())} />}
        {away.length > 0 && (
          <button
            type="button"
            class="link-button"
            aria-expanded={isAll}
            onClick={() => setAll(!isAll)}
          >
            {isAll ? "Hide those that are logged out" : `Show ${away.length} logged out`}
          </button>
        )}
      </div>
    </section>
  );
}

/** The list, read anew when one of them comes or goes. */
function useDevices(messenger: Messenger) {
  const [rows, setRows] = useState<readonly DeviceRow[]>();
  const [problem, setProblem] = useState<Problem>();
  const own = messenger.friends.presence(messenger.account.user);

  const load = async (): Promise<void> => {
    try {
      setRows(await messenger.devices());
      setProblem(undefined);
    } catch (thrown) {
      setProblem(thrown as Problem);
    }
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: another presence of one's own is a reason to ask
  useEffect(() => {
    void load();
    // A second one of a kind changes no presence.
    const timer = setInterval(() => void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [messenger, own]);

  return { rows, problem, load };
}

function DeviceItem({
  row,
  nowMs,
  isBusy,
  onEnd,
}: {
  row: DeviceRow;
  nowMs: number;
  isBusy: boolean;
  onEnd: () => void;
}) {
  const { device, online, current = false, logged_in_at_ms, ended_at_ms = logged_in_at_ms } = row;
  const title = deviceTitle(device);
  const when = online
    ? `logged in ${atTime(logged_in_at_ms, nowMs)}`
    : `logged out ${atTime(ended_at_ms, nowMs)}`;
  return (
    <li class="device">
      <span class="device-text">
        <bdi class="device-name">{title}</bdi>
        <span class="device-note">
          {title === platformName(device.platform) ? "" : `${platformName(device.platform)}, `}
          {when}
        </span>
      </span>
      {current && <span class="role">This one</span>}
      {online && !current && (
        <button
          type="button"
          class="link-button link-button-bad"
          aria-label={`Log out ${title}, ${when}`}
          aria-busy={isBusy}
          onClick={onEnd}
        >
          Log out
        </button>
      )}
    </li>
  );
}

/** All others at once are asked about first. */
function EndOthers({ onEnd }: { onEnd: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const question = useId();
  const yes = useRef<HTMLButtonElement>(null);
  // It takes the place of the button that had the focus.
  useEffect(() => {
    if (isAsking) yes.current?.focus();
  }, [isAsking]);
  if (!isAsking) {
    return (
      <button type="button" class="link-button link-button-bad" onClick={() => setAsking(true)}>
        Log out all others
      </button>
    );
  }
  return (
    <div class="own-ask">
      <p id={question}>Log out all other devices?</p>
      <div class="inline-actions">
        <button
          ref={yes}
          type="button"
          class="button button-bad button-short"
          aria-describedby={question}
          onClick={() => {
            setAsking(false);
            onEnd();
          }}
        >
          Log out
        </button>
        <button
          type="button"
          class="button button-quiet button-short"
          onClick={() => setAsking(false)}
        >
          Cancel
        </button>
      </div>
    </div>
  );
}
