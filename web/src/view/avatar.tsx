import { type Chat, groupOf } from "@rookery/client";
import { groupInitials, hue, initials } from "../format.ts";

export function Avatar({ user, size }: { user: string; size?: "small" | "large" }) {
  return (
    <span class={`avatar hue-${hue(user)}${sized(size)}`} aria-hidden="true">
      {initials(user)}
    </span>
  );
}

/** The avatar of a conversation: a person's is round, a group's is not. */
export function ChatAvatar({ chat, size }: { chat: Chat; size?: "small" | "large" }) {
  if (groupOf(chat.id) === undefined) {
    return <Avatar user={chat.peer} {...(size === undefined ? {} : { size })} />;
  }
  return (
    <span class={`avatar avatar-group hue-${hue(chat.id)}${sized(size)}`} aria-hidden="true">
      {groupInitials(chat.name)}
    </span>
  );
}

function sized(size: "small" | "large" | undefined): string {
  return size === undefined ? "" : ` avatar-${size}`;
}
