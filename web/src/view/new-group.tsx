import { conversationOf, type GroupKind, groupOf } from "@rookery/client";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Messenger } from "../messenger.ts";
import { goTo } from "../route.ts";
import { Dialog, ProblemLine, useAction } from "./dialog.tsx";
import { PeopleField, usePeople } from "./people-field.tsx";

const KINDS: ReadonlyArray<{ kind: GroupKind; name: string; about: string }> = [
  {
    kind: "work",
    name: "Work",
    about: "By invitation only. Members see what was said since they came.",
  },
  {
    kind: "meeting",
    name: "Meeting",
    about: "Open to all who know its id. All of it can be read.",
  },
];

const NO_PEOPLE = "One of the members is no user id yet.";

/** Makes a group, or joins a meeting. */
export function NewGroup({ messenger, onClose }: { messenger: Messenger; onClose: () => void }) {
  const [isJoining, setJoining] = useState(false);
  return (
    <Dialog title={isJoining ? "Join a meeting" : "New group"} onClose={onClose}>
      {isJoining ? (
        <JoinForm messenger={messenger} onClose={onClose} />
      ) : (
        <CreateForm messenger={messenger} onClose={onClose} />
      )}
      <p class="dialog-switch">
        <button type="button" class="link" onClick={() => setJoining(!isJoining)}>
          {isJoining ? "Make a new group instead" : "Join a meeting by its id instead"}
        </button>
      </p>
    </Dialog>
  );
}

function CreateForm({ messenger, onClose }: { messenger: Messenger; onClose: () => void }) {
  const [kind, setKind] = useState<GroupKind>("work");
  const [name, setName] = useState("");
  const [id, setId] = useState("");
  const people = usePeople();
  const { problem, setProblem, isBusy, run } = useAction();
  const field = useFocus();

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const members = people.all();
    if (members === undefined) {
      setProblem({ text: NO_PEOPLE, field: "members" });
      return;
    }
    void run(async () => {
      const conversation = await messenger.createGroup({
        kind,
        name: name.trim(),
        id: kind === "meeting" ? id.trim() : "",
        members,
      });
      onClose();
      goTo(conversation);
    });
  };

  return (
    <form onSubmit={submit} noValidate>
      <fieldset class="kinds">
        <legend>Kind</legend>
        {KINDS.map((each) => (
          <label key={each.kind} class="kind">
            <input
              type="radio"
              name="kind"
              value={each.kind}
              checked={kind === each.kind}
              onChange={() => setKind(each.kind)}
            />
            <span class="kind-text">
              <strong>{each.name}</strong>
              <span>{each.about}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label class="field">
        <span>Name</span>
        <input
          ref={field}
          name="name"
          value={name}
          dir="auto"
          aria-invalid={problem?.field === "name"}
          onInput={(event) => setName(event.currentTarget.value)}
          autocomplete="off"
        />
      </label>
      {kind === "meeting" && (
        <label class="field">
          <span>Id, by which others join (optional)</span>
          <input
            name="id"
            value={id}
            aria-invalid={problem?.field === "group"}
            onInput={(event) => setId(event.currentTarget.value)}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            placeholder="Made up if left empty"
          />
        </label>
      )}
      <PeopleField people={people} label="Members, by user id" known={knownUsers(messenger)} />
      <ProblemLine problem={problem} />
      <button type="submit" class="button" aria-busy={isBusy}>
        Create
      </button>
    </form>
  );
}

function JoinForm({ messenger, onClose }: { messenger: Messenger; onClose: () => void }) {
  const [group, setGroup] = useState("");
  const { problem, isBusy, run } = useAction();
  const field = useFocus();

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const id = group.trim();
    void run(async () => {
      await messenger.joinGroup(id);
      onClose();
      goTo(conversationOf(id));
    });
  };

  return (
    <form onSubmit={submit} noValidate>
      <label class="field">
        <span>Id of the meeting</span>
        <input
          ref={field}
          name="group"
          value={group}
          aria-invalid={problem !== undefined}
          onInput={(event) => setGroup(event.currentTarget.value)}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </label>
      <ProblemLine problem={problem} />
      <button type="submit" class="button" aria-busy={isBusy} disabled={group.trim() === ""}>
        Join
      </button>
    </form>
  );
}

/** Those whom this user talks with already. */
export function knownUsers(messenger: Messenger): string[] {
  const { user } = messenger.account;
  return messenger.chats.value
    .filter(({ id, peer }) => groupOf(id) === undefined && peer !== user)
    .map(({ peer }) => peer);
}

function useFocus() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  return field;
}
