import { useEffect } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import { goToList, openChat } from "../route.ts";
import { ChatPane } from "./chat-pane.tsx";
import { ConnectionLine } from "./connection-line.tsx";
import { Sidebar } from "./sidebar.tsx";
import { TakenOver } from "./taken-over.tsx";

export function MessengerView({
  messenger,
  onSignOut,
}: {
  messenger: Messenger;
  onSignOut: () => void;
}) {
  const open = openChat.value;
  const takenOver = messenger.connection.value.phase === "ended";

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
      <div class={`columns${open === undefined ? "" : " has-chat"}`} inert={takenOver}>
        <Sidebar messenger={messenger} open={open} onSignOut={onSignOut} />
        {open === undefined ? (
          <NothingOpen />
        ) : (
          <ChatPane key={open} messenger={messenger} id={open} />
        )}
      </div>
      {takenOver && <TakenOver messenger={messenger} onSignOut={onSignOut} />}
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
