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

export function ReceiptMark({ receipt }: { receipt: Receipt }) {
  const { kind, label } = MARKS[receipt];
  return (
    <span class={`receipt receipt-${receipt}`} role="img" aria-label={label} title={label}>
      <TickMark kind={kind} />
    </span>
  );
}
