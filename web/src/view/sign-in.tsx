import { useEffect, useRef, useState } from "preact/hooks";
import type { Account } from "../account.ts";

/** Whom the server did not let in, and why. */
export interface Refused {
  readonly user: string;
  readonly message: string;
}

const USER_ID = /^[A-Za-z0-9_.@#+=-]{1,64}$/;

export function isUserId(text: string): boolean {
  return USER_ID.test(text);
}

export function SignIn({
  refused,
  onSignIn,
}: {
  refused: Refused | undefined;
  onSignIn: (account: Account) => void;
}) {
  const [user, setUser] = useState(refused?.user ?? "");
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(refused?.message);
  const userField = useRef<HTMLInputElement>(null);
  const tokenField = useRef<HTMLInputElement>(null);

  useEffect(() => {
    (refused === undefined ? userField : tokenField).current?.focus();
  }, [refused]);

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const id = user.trim();
    if (!isUserId(id)) {
      setProblem("A user id has 1 to 64 of the characters A-Z a-z 0-9 _ . @ # + = -");
      userField.current?.focus();
      return;
    }
    if (token.trim() === "") {
      setProblem("The token is missing.");
      tokenField.current?.focus();
      return;
    }
    onSignIn({ app: 1, user: id, token: token.trim() });
  };

  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit} noValidate>
        <img class="logo" src="/favicon.svg" alt="" width="72" height="72" />
        <h1>Rookery</h1>
        <p class="lead">Sign in to your conversations.</p>

        <label class="field">
          <span>User id</span>
          <input
            ref={userField}
            name="user"
            value={user}
            onInput={(event) => setUser(event.currentTarget.value)}
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            placeholder="alice"
          />
        </label>
        <label class="field">
          <span>Token</span>
          <input
            ref={tokenField}
            name="token"
            type="password"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
            autocomplete="off"
            spellcheck={false}
          />
        </label>

        <p class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="button">
          Sign in
        </button>
        <p class="hint">
          The token comes from the app that you use. Running this server yourself? Then{" "}
          <code>rookery token --user alice</code> makes one.
        </p>
      </form>
    </main>
  );
}
