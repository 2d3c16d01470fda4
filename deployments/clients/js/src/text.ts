import { SluiceError } from "./error.js";
import { isFinal, type Completion, type Delta, type FinalEvent, type JobEvent } from "./events.js";

/** What a user interface does next: with reset, show text instead of all that is shown; else add it. */
export interface TextPart {
  text: string;
  reset: boolean;
}

/**
 * Turns a job's events into the text of its first choice. A new attempt begins with a reset. Where the outcome says
 * more, or something else, than was heard, the last part is a reset with the whole text. A job that fails or expires
 * ends it with a SluiceError; one that is cancelled just ends.
 */
export async function* textOf(
  events: AsyncIterable<JobEvent>, stored: () => Promise<Completion | null> = async () => null,
): AsyncGenerator<TextPart, void, undefined> {
  let shown = "";
  for await (const event of events) {
    if (event.type === "started" && shown !== "") {
      shown = "";
      yield { text: "", reset: true };
    } else if (event.type === "delta") {
      const text = added(event);
      shown += text;
      if (text !== "") yield { text, reset: false };
    } else if (isFinal(event)) {
      const whole = await outcome(event, stored);
      if (whole !== undefined && whole !== shown) yield { text: whole, reset: true };
      refuse(event);
    }
  }
}

function added(event: Delta): string {
  return (event.chunks ?? []).map((chunk) => {
    return (chunk.choices ?? []).filter(({ index }) => !index).map(({ delta }) => delta?.content ?? "").join("");
  }).join("");
}

/** The whole text, as far as it is known. A large answer is not in its event, but stored. */
async function outcome(event: FinalEvent, stored: () => Promise<Completion | null>): Promise<string | undefined> {
  const answer = event.type === "completed" ? event.result ?? await stored() : event.partial;
  return answer?.choices?.find(({ index }) => !index)?.message?.content ?? undefined;
}

function refuse(event: FinalEvent): void {
  if (event.type !== "failed" && event.type !== "expired") return;
  const { code = event.type, message = `The job has ${event.type}.`, retryable = false } = event.error ?? {};
  throw new SluiceError(message, { code, retryable });
}
