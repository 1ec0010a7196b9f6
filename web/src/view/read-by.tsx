import type { Chat, ChatMessage, Member } from "@rookery/client";
import { useEffect, useState } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import type { Problem } from "../problems.ts";
import { Avatar } from "./avatar.tsx";
import { Dialog, ProblemLine } from "./dialog.tsx";

/** Who has read a message of one's own, and who has not. */
export function ReadBy({
  messenger,
  chat,
  message,
  onClose,
}: {
  messenger: Messenger;
  chat: Chat;
  message: ChatMessage;
  onClose: () => void;
}) {
  const [members, setMembers] = useState<readonly Member[]>();
  const [isTold, setTold] = useState(true);
  const [problem, setProblem] = useState<Problem>();
  const { id } = chat;

  useEffect(() => {
    let isHere = true;
    messenger.reads(id).then(
      (all) => {
        if (!isHere) return;
        setMembers(all ?? []);
        setTold(all !== undefined);
      },
      (thrown: Problem) => {
        if (isHere) setProblem(thrown);
      },
    );
    return () => {
      isHere = false;
    };
  }, [messenger, id]);

  const others = members?.filter(({ user }) => user !== messenger.account.user) ?? [];
  const { seq = 0, sentAtMs } = message;
  const hasRead = others.filter(({ read = 0 }) => read >= seq);
  // Who came later is not waited for.
  const hasNot = others.filter(
    ({ read = 0, joined_at_ms }) => read < seq && joined_at_ms <= sentAtMs,
  );
  return (
    <Dialog title="Who has read it" onClose={onClose}>
      <ProblemLine problem={problem} />
      {members === undefined && problem === undefined && (
        <span class="spinner" role="img" aria-label="Loading" />
      )}
      {!isTold && <p class="dialog-text">In this group it is not told who has read.</p>}
      {members !== undefined && isTold && (
        <div class="read-by">
          <Group title={`Read by ${hasRead.length}`} members={hasRead} />
          <Group title={`Not read by ${hasNot.length}`} members={hasNot} />
        </div>
      )}
    </Dialog>
  );
}

function Group({ title, members }: { title: string; members: readonly Member[] }) {
  if (members.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="members" aria-label={title}>
        {members.map(({ user }) => (
          <li key={user} class="member">
            <Avatar user={user} size="small" />
            <span class="member-name">{user}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
