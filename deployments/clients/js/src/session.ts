import { ConnectionLost, type Connection, type Page } from "./connection.js";
import { SluiceError } from "./error.js";
import type { LogEvent } from "./events.js";
import type { Merge } from "./merge.js";
import { backOff, pause } from "./wait.js";

const silence = 10_000; // milliseconds without an event before it asks for itself
const replicaTries = 3; // looks for what was heard of but not found: a replica that lags behind may have answered
const patience = [1_000, 2_000, 4_000]; // milliseconds that questions may stay unanswered before the connection is given up

/** What is heard over one connection: the past as far as it is missing, then what comes. */
export class Session {
  #cursor = ""; // of the latest answer
  readonly #connection: Connection;
  readonly #merge: Merge;
  readonly #signal: AbortSignal;

  constructor(connection: Connection, merge: Merge, signal: AbortSignal) {
    this.#connection = connection;
    this.#merge = merge;
    this.#signal = signal;
  }

  /** Ends with the log, or when the connection is retired. */
  async *events(): AsyncGenerator<LogEvent, void, undefined> {
    yield* this.#past();
    while (!this.#ended) {
      const heard = await this.#connection.hear(silence);
      if (heard === undefined) yield* this.#past();
      else if (heard.seq > this.#merge.last + 1) yield* this.#fill(heard);
      else yield* this.#add(heard);
    }
  }

  get #ended(): boolean {
    return this.#merge.done || this.#connection.retired;
  }

  *#add(event: LogEvent): Generator<LogEvent, void, undefined> {
    const next = this.#merge.add(event);
    if (next !== undefined) yield next;
  }

  /** Looks for what is missing before an event that was heard. What the log does not have by then, it no longer has. */
  async *#fill(heard: LogEvent): AsyncGenerator<LogEvent, void, undefined> {
    for (let n = 0; n < replicaTries; n++) {
      yield* this.#past();
      if (this.#ended || heard.seq <= this.#merge.last) return;
      await pause(10 * 2 ** n, this.#signal);
    }
    yield* this.#add(heard);
  }

  /** Asks until everything that is stored behind the latest event is there. */
  async *#past(): AsyncGenerator<LogEvent, void, undefined> {
    let failures = 0, unanswered = 0;
    while (!this.#ended) {
      const before = this.#merge.last;
      const page = await this.#ask(unanswered);
      if (page !== undefined && page !== "unserved" && !page.error) {
        for (const event of page.events ?? []) yield* this.#add(event);
        if (page.done) this.#merge.done = true;
        if (!page.more) return;
        if (this.#merge.last > before) {
          failures = unanswered = 0;
          continue;
        }
      }
      unanswered = page === undefined ? unanswered + 1 : 0;
      await pause(backOff(failures++), this.#signal);
    }
  }

  /** One question; what is refused for good is thrown. */
  async #ask(unanswered: number): Promise<Page | "unserved" | undefined> {
    const limit = patience[unanswered];
    if (limit === undefined) throw new ConnectionLost(new Error("NATS does not answer"));
    const page = await this.#connection.ask(this.#merge.last + 1, this.#cursor, limit);
    if (page === undefined || page === "unserved") return page;
    if (page.error && !page.error.retryable) throw new SluiceError(page.error.message, page.error);
    this.#cursor = page.cursor || this.#cursor;
    return page;
  }
}
