import { useId, useState } from "preact/hooks";
import { CloseIcon } from "./icons.tsx";
import { isUserId } from "./sign-in.tsx";

const BETWEEN = /[\s,;]+/;

/** The people that were named in a field so far. */
export interface People {
  readonly chosen: readonly string[];
  /** What stands in the field and is no chosen one yet. */
  readonly text: string;
  readonly set: (chosen: readonly string[], text: string) => void;
  /** All of them, with the one that is being typed; nothing when that is no user id. */
  readonly all: () => string[] | undefined;
}

export function usePeople(): People {
  const [state, setState] = useState<{ chosen: readonly string[]; text: string }>({
    chosen: [],
    text: "",
  });
  const { chosen, text } = state;
  return {
    chosen,
    text,
    set: (next, rest) => setState({ chosen: [...new Set(next)], text: rest }),
    all: () => {
      const typed = text.trim();
      if (typed === "") return [...chosen];
      return isUserId(typed) ? [...new Set([...chosen, typed])] : undefined;
    },
  };
}

/** A field for user ids: each becomes a chip at a space, a comma or Enter; a pasted list becomes many. */
export function PeopleField({
  people,
  label,
  known,
}: {
  people: People;
  label: string;
  /** Users whom one may have in mind. */
  known: readonly string[];
}) {
  const id = useId();
  const { chosen, text, set } = people;
  const typed = text.trim();
  const isWrong = typed !== "" && !isUserId(typed);

  const take = (value: string, isDone: boolean): void => {
    const parts = value.split(BETWEEN);
    const rest = isDone ? "" : (parts.pop() ?? "");
    const fine = parts.filter(isUserId);
    // What is no id stays in the field, to be mended.
    const odd = parts.filter((part) => part !== "" && !isUserId(part));
    set([...chosen, ...fine], [...odd, rest].join(" ").trimStart());
  };

  return (
    <div class="field">
      <label for={id}>
        <span>{label}</span>
      </label>
      <div class="chips">
        {chosen.map((user) => (
          <span key={user} class="chip">
            {user}
            <button
              type="button"
              aria-label={`Take ${user} off the list`}
              onClick={() =>
                set(
                  chosen.filter((each) => each !== user),
                  text,
                )
              }
            >
              <CloseIcon />
            </button>
          </span>
        ))}
        <input
          id={id}
          value={text}
          list={`${id}-known`}
          aria-invalid={isWrong}
          aria-describedby={isWrong ? `${id}-wrong` : undefined}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder={chosen.length === 0 ? "alice, bob" : ""}
          onInput={(event) => take(event.currentTarget.value, false)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && typed !== "") {
              take(text, true);
              event.preventDefault();
            } else if (event.key === "Backspace" && text === "") {
              set(chosen.slice(0, -1), "");
            }
          }}
        />
      </div>
      <datalist id={`${id}-known`}>
        {known
          .filter((user) => !chosen.includes(user))
          .map((user) => (
            <option key={user} value={user} />
          ))}
      </datalist>
      {isWrong && (
        <p class="problem" id={`${id}-wrong`}>
          A user id has 1 to 64 of the characters A-Z a-z 0-9 _ . @ # + = -
        </p>
      )}
    </div>
  );
}
