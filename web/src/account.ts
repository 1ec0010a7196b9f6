/** Who is signed in, in this tab. */
export interface Account {
  readonly app: number;
  readonly user: string;
  readonly token: string;
}

// Of the session and not of the browser: two tabs may be two people, and what is closed is forgotten.
const KEY = "rookery.account";

export function storedAccount(): Account | undefined {
  return parsed(sessionStorage.getItem(KEY));
}

export function storeAccount(account: Account): void {
  sessionStorage.setItem(KEY, JSON.stringify(account));
}

export function forgetAccount(): void {
  sessionStorage.removeItem(KEY);
}

/**
 * The account of a link like `/#app=1&user=alice&token=…`. The fragment never leaves the browser, and is taken out of
 * the address bar and the history, so that nobody reads the token over a shoulder or in a bookmark.
 */
export function accountOfLink(): Account | undefined {
  // A plus is a plus here, as user ids may have it, and not a space as in a form.
  const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
  const user = given.get("user");
  const token = given.get("token");
  if (user === null || token === null) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  const app = Number(given.get("app") ?? 1);
  return { app: Number.isInteger(app) && app >= 1 ? app : 1, user, token };
}

function parsed(text: string | null): Account | undefined {
  if (text === null) return undefined;
  try {
    const { app, user, token } = JSON.parse(text) as Partial<Account>;
    if (typeof app === "number" && typeof user === "string" && typeof token === "string") {
      return { app, user, token };
    }
  } catch {
    // Not ours, or of a version that no longer is.
  }
  return undefined;
}
