import { isFinal, type LogEvent } from "./events.js";

/**
 * Puts the past and the present together: whatever comes from either, in whatever order and how often, is passed on
 * once and in order.
 */
export class Merge {
  /** The seq of the latest event, or where the viewer began. */
  last: number;
  /** The job or batch has ended, and all of it was passed on. */
  done = false;
  #attempt = 0; // of that event; 0: not known
  #muted = false; // the text so far is not what the next delta adds to

  constructor(after: number) {
    this.last = after;
  }

  /** Takes the next event that is known to be stored, and returns it if it is to be passed on. */
  add(event: LogEvent): LogEvent | undefined {
    const final = isFinal(event);
    if (this.done || (event.seq <= this.last && !final)) return undefined;
    if (event.seq === this.last) { // the viewer has seen the end before
      this.done = true;
      return undefined;
    }
    // A log that began anew below what the viewer has seen may have ended there.
    if (event.seq < this.last) event = { ...event, seq: this.last + 1 };
    this.#judge(event, event.seq > this.last + 1);
    this.last = event.seq;
    if (this.#muted) return undefined;
    this.#attempt = event.attempt;
    this.done = final;
    return event;
  }

  /**
   * Decides whether the event fits the text so far. A started or final event does, unless it is of an attempt that was
   * given up, and so do those of a batch, which each stand for themselves; what follows a hole does not, nor what belongs
   * to an attempt whose start the viewer has not seen.
   */
  #judge(event: LogEvent, hole: boolean): void {
    const other = this.#attempt !== 0 && event.attempt !== this.#attempt;
    if (isFinal(event) || event.type === "lines" || event.type === "progress") this.#muted = false;
    else if (event.type === "started") this.#muted = event.attempt < this.#attempt;
    else if (hole || (other && event.type !== "storing")) this.#muted = true;
  }
}
