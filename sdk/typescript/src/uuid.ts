import { randomBytes } from "./runtime.ts";

/** How far the clock may go back before ids follow it, rather than staying ahead of those already minted. */
const BACKWARD_MS = 1_000;

/** Mints UUIDs of version 7 that rise, also within one millisecond. */
export class UuidMint {
  #lastMs = 0;
  #counter = 0;

  /** @param nowMs the server's time: the server refuses an id from too far ahead. */
  mint(nowMs: number): string {
    const bytes = randomBytes(new Uint8Array(16));
    const at = (index: number): number => bytes[index] ?? 0;

    let ms = Math.max(0, Math.floor(nowMs));
    if (ms <= this.#lastMs && this.#lastMs - ms < BACKWARD_MS) {
      this.#counter += 1;
      ms = this.#lastMs;
      if (this.#counter > 0xfff) {
        this.#counter = 0;
        ms += 1;
      }
    } else {
      // The upper half stays free, so that a burst in one millisecond has room to count.
      this.#counter = ((at(6) << 8) | at(7)) & 0x7ff;
    }
    this.#lastMs = ms;

    for (let i = 5, rest = ms; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
    bytes[6] = 0x70 | (this.#counter >> 8);
    bytes[7] = this.#counter & 0xff;
    bytes[8] = 0x80 | (at(8) & 0x3f);

    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }
}
