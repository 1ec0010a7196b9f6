import { useEffect } from "preact/hooks";
import { endingOf } from "../ending.ts";
import type { Messenger } from "../messenger.ts";
import { goToList, openChat } from "../route.ts";
import { ChatPane } from "./chat-pane.tsx";
import { ConnectionLine } from "./connection-line.tsx";
import { SessionEnded } from "./session-ended.tsx";
import { Sidebar } from "./sidebar.tsx";

export function MessengerView({
  messenger,
  onSignOut,
}: {
  messenger: Messenger;
  onSignOut: () => void;
}) {
  const open = openChat.value;
  const state = messenger.connection.value;
  const ending = state.phase === "ended" ? endingOf(state.ended, messenger.situation) : undefined;

  useEffect(() => {
    const leave = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented) goToList();
    };
    window.addEventListener("keydown", leave);
    return () => window.removeEventListener("keydown", leave);
  }, []);

  return (
    <div class="shell">
      <ConnectionLine messenger={messenger} />
      <div class={`columns${open === undefined ? "" : " has-chat"}`} inert={ending !== undefined}>
        <Sidebar messenger={messenger} open={open} onSignOut={onSignOut} />
        {open === undefined ? (
          <NothingOpen />
        ) : (
          <ChatPane key={open} messenger={messenger} id={open} />
        )}
      </div>
      {ending !== undefined && (
        <SessionEnded messenger={messenger} ending={ending} onSignOut={onSignOut} />
      )}
    </div>
  );
}

function NothingOpen() {
  return (
    <main class="pane nothing-open">
      <img src="/favicon.svg" alt="" width="96" height="96" />
      <p>Choose a conversation, or start one.</p>
    </main>
  );
}
