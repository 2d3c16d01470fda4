import { signal } from "@preact/signals";
import { isFinal, SluiceError, type Delta, type Failure, type FinalEvent, type Job, type JobEvent, type JobState } from "@sluice/client";
import { followJob } from "../follow.js";
import { Paint } from "./paint.js";

const place = "sluice.live.";
const keepPace = 1_000; // milliseconds between two times that the text so far is kept

/** What is kept of an answer over a reload: no more is asked for than came since. */
interface Kept {
  seq: number;
  text: string;
  thought: string;
}

/** An answer that is being written, as it is heard. */
export class Live {
  readonly id: string;
  readonly text = signal("");
  /** What the model has thought so far, where it says so. */
  readonly thought = signal("");
  readonly state = signal<JobState>("queued");
  readonly error = signal<Failure | undefined>(undefined);
  /** A try has failed and the next will come: when, RFC 3339. */
  readonly retryAt = signal("");
  #kept: Kept = { seq: 0, text: "", thought: "" };
  #keptAt = 0;
  readonly #stop = new AbortController();
  readonly #paint = new Paint(() => this.#show());

  constructor(id: string) {
    this.id = id;
    this.#kept = recall(id) ?? this.#kept;
    if (this.#kept.seq > 0) this.state.value = "running";
    this.#show();
    addEventListener("pagehide", this.#keep, { signal: this.#stop.signal });
  }

  /** Follows to the end; it returns when that is known, or when it was stopped. The job has the credential, if it has just come. */
  async follow(job?: Job): Promise<void> {
    try {
      for await (const event of followJob(job ?? this.id, this.#kept.seq, this.#stop.signal)) this.#take(event);
      this.close();
    } catch (error) {
      if (this.over) return;
      this.close();
      const code = error instanceof SluiceError ? error.code : "unknown";
      this.error.value = { code, message: error instanceof Error ? error.message : String(error), retryable: false };
    }
  }

  /** Whether its end was heard, or cannot be. */
  get over(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Nobody looks any more; what was heard is kept for the next time. */
  leave(): void {
    if (!this.over) this.#keep();
    this.#stop.abort();
  }

  /** It has ended. */
  close(): void {
    this.#stop.abort();
    sessionStorage.removeItem(place + this.id);
  }

  #take(event: JobEvent): void {
    const kept = this.#kept;
    kept.seq = event.seq;
    switch (event.type) {
      case "started":
        kept.text = kept.thought = "";
        this.retryAt.value = "";
        this.state.value = "running";
        break;
      case "delta":
        kept.text += added(event, ["content", "refusal"]);
        kept.thought += added(event, ["reasoning_content", "reasoning"]);
        this.state.value = "running";
        break;
      case "retrying":
        this.retryAt.value = event.retry_at ?? event.at;
        this.state.value = "queued";
        break;
      default:
        if (isFinal(event)) this.#end(event);
        return;
    }
    this.#paint.soon();
    if (Date.now() - this.#keptAt > keepPace) this.#keep();
  }

  #end(event: FinalEvent): void {
    const outcome = event.type === "completed" ? event.result : event.partial;
    const whole = outcome?.choices?.find(({ index }) => !index)?.message?.content;
    if (typeof whole === "string") this.#kept.text = whole;
    if (event.type !== "completed") this.error.value = event.error;
    this.#paint.now();
    this.state.value = event.type;
  }

  #show(): void {
    this.text.value = this.#kept.text;
    this.thought.value = this.#kept.thought;
  }

  readonly #keep = (): void => {
    this.#keptAt = Date.now();
    try {
      sessionStorage.setItem(place + this.id, JSON.stringify(this.#kept));
    } catch {
      sessionStorage.removeItem(place + this.id); // full: after a reload it is heard from the start
    }
  };
}

function recall(id: string): Kept | undefined {
  try {
    const said = sessionStorage.getItem(place + id);
    return said ? JSON.parse(said) as Kept : undefined;
  } catch {
    return undefined;
  }
}

/** What a delta adds to the first choice, under whichever of the names the upstream uses. */
function added(event: Delta, names: readonly string[]): string {
  let text = "";
  for (const chunk of event.chunks ?? []) {
    for (const { index, delta } of chunk.choices ?? []) {
      if (index) continue;
      const said = names.map((name) => delta?.[name]).find((value) => typeof value === "string" && value !== "");
      if (typeof said === "string") text += said;
    }
  }
  return text;
}
