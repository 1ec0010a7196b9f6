import { hue, initials } from "../format.ts";

export function Avatar({ user, large = false }: { user: string; large?: boolean }) {
  return (
    <span class={`avatar hue-${hue(user)}${large ? " avatar-large" : ""}`} aria-hidden="true">
      {initials(user)}
    </span>
  );
}
