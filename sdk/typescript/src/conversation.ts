const USER = "user:";
const GROUP = "group:";

/** The group that a conversation's name stands for, if it is one. */
export function groupOf(conversation: string): string | undefined {
  return conversation.startsWith(GROUP) ? conversation.slice(GROUP.length) : undefined;
}

/** The name of the conversation of a group. */
export function conversationOf(group: string): string {
  return GROUP + group;
}

/** The other side of a pair, or the group: what follows the prefix. */
export function nameIn(conversation: string): string {
  for (const prefix of [USER, GROUP]) {
    if (conversation.startsWith(prefix)) return conversation.slice(prefix.length);
  }
  return conversation;
}
