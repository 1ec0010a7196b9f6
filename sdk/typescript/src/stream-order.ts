/** How many entries beyond a gap are held back. What does not fit is pulled from the server later. */
export const HOLD_BACK = 128;

/**
 * Puts the entries of one stream in order by their numbers, which have no gaps: a user's inbox, the log of a group.
 *
 * Knows no socket and no clock: what is offered comes in any order and more than once, what is returned is in order,
 * each entry once.
 */
export class StreamOrder<Entry> {
  #position: number | undefined;
  #highest = 0;
  readonly #held = new Map<number, Entry>();

  /** The highest number up to which everything was returned; none before `start`. */
  get position(): number | undefined {
    return this.#position;
  }

  /** The lowest number that is held back. */
  get lowestHeld(): number | undefined {
    return this.#held.size === 0 ? undefined : Math.min(...this.#held.keys());
  }

  /** Whether there is an entry that has not been returned, as far as anything here has shown. */
  get behind(): boolean {
    return this.#position !== undefined && this.#highest > this.#position;
  }

  /** Takes a position from a first sync, and returns what was held back and follows it. */
  start(position: number): Entry[] {
    this.#position = position;
    return this.#drain();
  }

  /** The position belongs to another history; what is held back is of the new one. */
  forgetPosition(): void {
    this.#position = undefined;
    this.heardAll();
  }

  /** Lets go of what was held back: the session that it came in is over, and the next one brings it again. */
  letGo(): void {
    this.#held.clear();
    this.heardAll();
  }

  /** Forgets everything: the numbers belong to another history. */
  reset(): void {
    this.#position = undefined;
    this.#highest = 0;
    this.#held.clear();
  }

  /** Takes note of a head that was told without its entry. */
  hearOf(head: number): void {
    this.#highest = Math.max(this.#highest, head);
  }

  /** The server has no more than what was offered: a head that was heard of before and is beyond that was wrong. */
  heardAll(): void {
    this.#highest = Math.max(this.#position ?? 0, ...this.#held.keys());
  }

  /** Takes an entry, and returns what can be shown now. */
  offer(number: number, entry: Entry): Entry[] {
    this.hearOf(number);
    if (this.#position !== undefined && number <= this.#position) return [];
    this.#held.set(number, entry);
    const ready = this.#drain();
    // The farthest goes: it is the last to be needed, and the pull that closes the gap brings it again.
    if (this.#held.size > HOLD_BACK) this.#held.delete(Math.max(...this.#held.keys()));
    return ready;
  }

  /** Passes over numbers that the server says it has no entries for. */
  skipTo(position: number): Entry[] {
    if (this.#position === undefined || position <= this.#position) return [];
    return this.start(position);
  }

  #drain(): Entry[] {
    const ready: Entry[] = [];
    if (this.#position === undefined) return ready;
    for (const number of this.#held.keys()) {
      if (number <= this.#position) this.#held.delete(number);
    }
    for (let next = this.#position + 1; ; next++) {
      const entry = this.#held.get(next);
      if (entry === undefined) return ready;
      this.#held.delete(next);
      this.#position = next;
      ready.push(entry);
    }
  }
}
