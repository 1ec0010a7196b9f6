import { signal } from "@preact/signals";

const PREFIX = "#/";

function current(): string | undefined {
  if (!location.hash.startsWith(PREFIX)) return undefined;
  try {
    return decodeURIComponent(location.hash.slice(PREFIX.length)) || undefined;
  } catch {
    return undefined;
  }
}

/** The conversation that is open, as the address bar has it: a reload and the back button find it. */
export const openChat = signal(current());

window.addEventListener("popstate", () => {
  openChat.value = current();
});

export function linkTo(chat: string): string {
  return PREFIX + encodeURIComponent(chat);
}

export function goTo(chat: string): void {
  if (openChat.value === chat) return;
  const url = linkTo(chat);
  // One step back is the list, however many chats were looked at.
  if (openChat.value === undefined) history.pushState({ fromList: true }, "", url);
  else history.replaceState(history.state, "", url);
  openChat.value = chat;
}

export function goToList(): void {
  if (openChat.value === undefined) return;
  if ((history.state as { fromList?: boolean } | null)?.fromList === true) {
    history.back();
    return;
  }
  history.replaceState(null, "", location.pathname + location.search);
  openChat.value = undefined;
}
