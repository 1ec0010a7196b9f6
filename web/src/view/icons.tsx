import type { ComponentChildren } from "preact";

function Icon({ children, size = 20 }: { children: ComponentChildren; size?: number }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      stroke-width="2"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const BackIcon = () => (
  <Icon size={22}>
    <path d="M15 5l-7 7 7 7" />
  </Icon>
);

export const SignOutIcon = () => (
  <Icon>
    <path d="M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M15 8l4 4-4 4M19 12H9" />
  </Icon>
);

export const SearchIcon = () => (
  <Icon size={18}>
    <circle cx="11" cy="11" r="6.500" />
    <path d="M16 16l4 4" />
  </Icon>
);

export const PlusIcon = () => (
  <Icon>
    <path d="M12 5v14M5 12h14" />
  </Icon>
);

export const GroupIcon = () => (
  <Icon>
    <circle cx="9" cy="8" r="3.500" />
    <path d="M2.500 20c0-3.600 2.900-6 6.500-6s6.500 2.400 6.500 6M16 4.800a3.500 3.500 0 0 1 0 6.400M18.500 14.500c1.900.9 3 2.800 3 5.500" />
  </Icon>
);

export const AddFriendIcon = () => (
  <Icon>
    <circle cx="10" cy="8" r="3.500" />
    <path d="M3.500 20c0-3.600 2.900-6 6.500-6 1.700 0 3.200.500 4.400 1.400M18.500 14.500v6M15.500 17.500h6" />
  </Icon>
);

export const FriendIcon = () => (
  <Icon>
    <circle cx="10" cy="8" r="3.500" />
    <path d="M3.500 20c0-3.600 2.900-6 6.500-6 1.500 0 2.900.400 4 1.100M15.500 18l2.200 2.200 4.300-4.700" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="M6 6l12 12M18 6L6 18" />
  </Icon>
);

export const PencilIcon = () => (
  <Icon size={16}>
    <path d="M4 20l1-4L16 5l3 3L8 19l-4 1zM13.500 7.500l3 3" />
  </Icon>
);

export const SendIcon = () => (
  <Icon>
    <path d="M12 19V5M6 11l6-6 6 6" />
  </Icon>
);

export const DownIcon = () => (
  <Icon>
    <path d="M6 9l6 6 6-6" />
  </Icon>
);

export const CopyIcon = () => (
  <Icon size={15}>
    <rect x="9" y="9" width="11" height="11" rx="2.500" />
    <path d="M5 15V6a2 2 0 0 1 2-2h8" />
  </Icon>
);

export const CheckIcon = () => (
  <Icon size={15}>
    <path d="M5 12.500l4.500 4.500L19 7.500" />
  </Icon>
);

/** The marks at one's own messages, drawn closer together than letters would be. */
export function TickMark({ kind }: { kind: "clock" | "one" | "two" | "failed" }) {
  return (
    <svg
      class="tick"
      viewBox="0 0 18 12"
      width="18"
      height="12"
      fill="none"
      stroke="currentColor"
      stroke-width="1.700"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {kind === "clock" && (
        <>
          <circle cx="11" cy="6" r="4.600" />
          <path d="M11 3.500V6l1.800 1.200" />
        </>
      )}
      {kind === "one" && <path d="M6.500 6.500l3 3L16 2.500" />}
      {kind === "two" && <path d="M2 6.500l3 3 6.500-7M9 9l.5.5L16 2.500" />}
      {kind === "failed" && (
        <>
          <circle cx="11" cy="6" r="4.600" />
          <path d="M11 3.600v2.800M11 8.300v.1" />
        </>
      )}
    </svg>
  );
}
