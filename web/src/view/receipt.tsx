import type { Receipt } from "@rookery/client";
import { TickMark } from "./icons.tsx";

const MARKS = {
  waiting: { kind: "clock", label: "Waiting to be sent" },
  sending: { kind: "clock", label: "Sending" },
  failed: { kind: "failed", label: "Not sent" },
  sent: { kind: "one", label: "Sent" },
  delivered: { kind: "two", label: "Delivered" },
  read: { kind: "two", label: "Read" },
} as const satisfies Record<Receipt, { kind: string; label: string }>;

/** The mark at one's own message in a group: how many have read it, and on request who. */
export function ReadersMark({
  receipt,
  readers,
  onClick,
}: {
  receipt: Receipt;
  readers: number;
  onClick: () => void;
}) {
  const label =
    readers === 0 ? "Sent, read by nobody yet" : `Read by ${receipt === "read" ? "all" : readers}`;
  return (
    <button
      type="button"
      class={`readers receipt receipt-${readers === 0 ? receipt : "read"}`}
      aria-label={`${label}. Show who`}
      title={label}
      onClick={onClick}
    >
      {readers > 0 && receipt !== "read" && <span class="readers-count">{readers}</span>}
      <TickMark kind={readers > 0 ? "two" : "one"} />
    </button>
  );
}

export function ReceiptMark({ receipt }: { receipt: Receipt }) {
  const { kind, label } = MARKS[receipt];
  return (
    <span class={`receipt receipt-${receipt}`} role="img" aria-label={label} title={label}>
      <TickMark kind={kind} />
    </span>
  );
}
