import { effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import {
  type Account,
  accountOfLink,
  forgetAccount,
  storeAccount,
  storedAccount,
} from "../account.ts";
import { endingOf, whySignIn } from "../ending.ts";
import { Messenger } from "../messenger.ts";
import { goToList } from "../route.ts";
import { MessengerView } from "./messenger-view.tsx";
import { type Refused, SignIn } from "./sign-in.tsx";

const account = signal<Account | undefined>(undefined);
const messenger = signal<Messenger | undefined>(undefined);
const refused = signal<Refused | undefined>(undefined);

async function signIn(next: Account, isReturning = false): Promise<void> {
  messenger.peek()?.leave();
  account.value = next;
  refused.value = undefined;
  storeAccount(next);
  const created = await Messenger.create(next, isReturning);
  if (account.peek() === next) messenger.value = created;
  else void created.signOut();
}

function signOut(why?: Refused): void {
  void messenger.peek()?.signOut();
  forgetAccount();
  goToList();
  refused.value = why;
  messenger.value = undefined;
  account.value = undefined;
}

// A token that does not hold any more leads back to the sign-in, which says so.
effect(() => {
  const current = messenger.value;
  const state = current?.connection.value;
  if (current === undefined || state?.phase !== "ended") return;
  const { situation } = current;
  if (endingOf(state.ended, situation) !== undefined) return;
  signOut({ user: situation.user, message: whySignIn(state.ended, situation) });
});

effect(() => {
  const unread = messenger.value?.unread.value ?? 0;
  document.title = unread > 0 ? `(${unread}) Rookery` : "Rookery";
});

export function App() {
  useEffect(() => {
    // A link to sign in may also be opened in a tab where the page is already: then only the fragment changes.
    const look = (): void => {
      const linked = accountOfLink();
      if (linked !== undefined) void signIn(linked);
    };
    window.addEventListener("hashchange", look);
    const linked = accountOfLink();
    const first = linked ?? storedAccount();
    if (first !== undefined) void signIn(first, linked === undefined);
    return () => window.removeEventListener("hashchange", look);
  }, []);

  if (messenger.value !== undefined) {
    return <MessengerView messenger={messenger.value} onSignOut={() => signOut()} />;
  }
  if (account.value !== undefined) return null;
  return <SignIn refused={refused.value} onSignIn={(given) => void signIn(given)} />;
}
