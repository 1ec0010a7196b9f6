import { useEffect, useState } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import { goToList } from "../route.ts";
import { Avatar } from "./avatar.tsx";
import { Composer } from "./composer.tsx";
import { BackIcon } from "./icons.tsx";
import { MessageList } from "./message-list.tsx";

/** One conversation. Made anew for each: what belongs to one is never seen in another. */
export function ChatPane({ messenger, id }: { messenger: Messenger; id: string }) {
  const chat = messenger.chat(id);
  const [problem, setProblem] = useState<string>();
  const isOnline = messenger.connection.value.phase === "online";

  // Asked again when the connection comes back. Without one, the line at the top says all that there is to say.
  useEffect(() => {
    let isHere = true;
    void messenger.open(id).then((why) => {
      if (isHere) setProblem(isOnline ? why : undefined);
    });
    return () => {
      isHere = false;
    };
  }, [messenger, id, isOnline]);

  useEffect(() => () => messenger.close(id), [messenger, id]);

  const others = messenger.unread.value - chat.unread;
  return (
    <main class="pane" aria-label={`Conversation with ${chat.peer}`}>
      <header class="bar">
        <button
          type="button"
          class="icon-button back"
          aria-label={others > 0 ? `Back to all conversations, ${others} unread` : "Back"}
          onClick={goToList}
        >
          <BackIcon />
          {others > 0 && <span class="badge">{others > 99 ? "99+" : others}</span>}
        </button>
        <Avatar user={chat.peer} />
        <h1 class="bar-name">
          {chat.peer}
          {chat.peer === messenger.account.user && <span class="bar-note"> (you)</span>}
        </h1>
      </header>
      <MessageList
        messenger={messenger}
        chat={chat}
        problem={chat.loaded ? undefined : problem}
        isOnline={isOnline}
      />
      <Composer messenger={messenger} id={id} peer={chat.peer} />
    </main>
  );
}
