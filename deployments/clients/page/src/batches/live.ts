import { computed, signal } from "@preact/signals";
import { SluiceError, type Batch, type BatchEvent } from "@sluice/client";
import { followBatch } from "../follow.js";
import { call } from "../session.js";
import { outcomeOf, type Outcome } from "./outcome.js";
import { Pacer, type Pace } from "./pace.js";
import { hasEnded } from "./state.js";
import { batchOf, learn } from "./store.js";

const most = 100; // lines that are kept to be shown
const look = 10; // events before the present one that are asked for, so that the table is not empty at first
const pulse = 200; // milliseconds for which what is heard is gathered before it is shown
const again = 2_000; // milliseconds until what has failed is tried again

/** One batch that somebody looks at. It goes on until it is closed or the batch has ended. */
export class Live {
  readonly id: string;
  readonly batch = computed(() => batchOf(this.id));
  /** The latest lines to have ended, the last one first. */
  readonly lines = signal<readonly Outcome[]>([]);
  /** Why there is nothing to look at. */
  readonly failure = signal<Error | undefined>(undefined);

  readonly #second = signal(0); // moves while the batch may
  readonly #pacer = new Pacer();
  readonly #stop = new AbortController();
  #waiting: Outcome[] = [];
  #said: Batch | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: string) {
    this.id = id;
    void this.#run();
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  /** How fast it comes on at present. */
  pace(): Pace | undefined {
    const total = this.batch.value?.request_counts.total ?? 0;
    return this.#second.value >= 0 ? this.#pacer.pace(total) : undefined;
  }

  async #run(): Promise<void> {
    const beat = setInterval(() => { this.#second.value++; }, 1_000);
    try {
      while (!await this.#attend()) await new Promise((resolve) => setTimeout(resolve, again));
    } finally {
      clearInterval(beat);
    }
  }

  /** Follows the batch from where it stands; whether there is no more to come. */
  async #attend(): Promise<boolean> {
    const { signal } = this.#stop;
    try {
      const batch = await this.#read();
      if (hasEnded(batch)) return true;
      const from = batch.last_seq;
      for await (const event of followBatch(this.id, Math.max(0, from - look), signal)) this.#hear(event, event.seq > from);
      this.#show();
      return hasEnded(await this.#read());
    } catch (error) {
      if (signal.aborted) return true;
      if (!(error instanceof SluiceError) || error.retryable) return false;
      if (!this.batch.peek()) this.failure.value = error;
      return error.status === 401 || error.status === 403 || error.status === 404;
    }
  }

  async #read(): Promise<Batch> {
    const batch = await call<Batch>({ method: "GET", path: `/v1/batches/${encodeURIComponent(this.id)}`, signal: this.#stop.signal });
    learn(batch);
    return batch;
  }

  /** Takes an event; one that is not news tells of lines only. */
  #hear(event: BatchEvent, news: boolean): void {
    if (event.type === "lines") this.#waiting = [...event.lines.map(outcomeOf).reverse(), ...this.#waiting].slice(0, most);
    if (news) {
      const { completed, failed } = event.batch.request_counts;
      if (event.batch.paused) this.#pacer.reset();
      else this.#pacer.note(Date.parse(event.at), completed + failed);
      this.#said = event.batch;
    }
    this.#timer ??= setTimeout(() => this.#show(), pulse);
  }

  #show(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length > 0) this.lines.value = once([...this.#waiting, ...this.lines.peek()]).slice(0, most);
    this.#waiting = [];
    if (this.#said) learn(this.#said);
    this.#said = undefined;
  }
}

/** Each line once: those before the place where a batch was followed again are told again. */
function once(rows: readonly Outcome[]): Outcome[] {
  const seen = new Set<number | undefined>();
  return rows.filter(({ line }) => !seen.has(line) && seen.add(line));
}
