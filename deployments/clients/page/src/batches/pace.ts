/** How fast a batch comes on. */
export interface Pace {
  /** Lines that end in a second. */
  rate: number;
  /** Seconds until the last one has ended; undefined: nobody knows. */
  left: number | undefined;
}

interface Sample {
  at: number; // milliseconds, by the server's clock
  ended: number;
}

const reach = 30_000; // milliseconds that the rate looks back
const least = 1_000; // milliseconds that it must span to say anything

/** Measures the pace of one batch by what its events tell. */
export class Pacer {
  #samples: Sample[] = [];
  #ahead = -Infinity; // milliseconds by which the server's clock is ahead of ours

  /** Takes note of how many lines had ended at a time; what is older than the latest note says nothing new. */
  note(at: number, ended: number, now = Date.now()): void {
    const last = this.#samples.at(-1);
    if (last && (at < last.at || ended < last.ended)) return;
    this.#ahead = Math.max(this.#ahead, at - now); // an event on its way makes it look less
    this.#samples.push({ at, ended });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) < at - reach) this.#samples.shift();
  }

  /** After a pause, what came before it says nothing about what comes. */
  reset(): void {
    this.#samples = [];
  }

  /** The pace of the latest half minute; undefined as long as too little is known. */
  pace(total: number, now = Date.now()): Pace | undefined {
    const first = this.#samples[0], last = this.#samples.at(-1);
    if (!first || !last) return undefined;
    const passed = Math.max(now + this.#ahead, last.at) - first.at;
    if (passed < least) return undefined;
    const rate = (last.ended - first.ended) * 1_000 / passed;
    return { rate, left: rate > 0 ? (total - last.ended) / rate : undefined };
  }
}
