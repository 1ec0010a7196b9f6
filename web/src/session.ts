import type { Account } from "./account.ts";

// A page that is loaded again goes on with its session and pushes nobody out, as it would by a login of its own; and one
// whose session was ended finds that out, and does not come back by itself.
const KEY = "rookery.session";

function nameOf({ app, user }: Account, device: string): string {
  return `${app}/${user}/${device}/`;
}

/** The number of the session that this device had, if it had one. */
export function keptSession(account: Account, device: string): string | undefined {
  const kept = sessionStorage.getItem(KEY);
  const name = nameOf(account, device);
  // A duplicated tab has a copy, and is another device.
  return kept?.startsWith(name) ? kept.slice(name.length) : undefined;
}

export function keepSession(account: Account, device: string, loginNo: string): void {
  sessionStorage.setItem(KEY, nameOf(account, device) + loginNo);
}

export function forgetSession(): void {
  sessionStorage.removeItem(KEY);
}
