import type { Batch } from "@sluice/client";
import { count, plural, span } from "../figure.js";
import { reconnecting } from "../net.js";
import type { Pace } from "./pace.js";
import { Progress } from "./progress.js";
import { endOf, hasEnded } from "./state.js";

/** How far a batch is, how fast it comes on, and when it will be there. */
export function Headline({ batch, pace }: { batch: Batch; pace: () => Pace | undefined }) {
  const { total, completed, failed } = batch.request_counts;
  if (batch.status === "failed") return <Refused batch={batch} />;
  return (
    <section class="headline" aria-label="Progress">
      <p class="headline-figures">
        <strong data-testid="batch-ended">{count(completed + failed)}</strong> of {plural(total, "line")}
        {failed > 0 && <span class="bad"> · {count(failed)} failed</span>}
        {total > 0 && !hasEnded(batch) && <span class="headline-share">{share(completed + failed, total)}</span>}
      </p>
      <Progress total={total} completed={completed} failed={failed} label="Lines that have ended" />
      <p class="headline-pace" data-testid="batch-pace">{paceOf(batch, pace())}</p>
    </section>
  );
}

function Refused({ batch: { errors, request_counts: { total } } }: { batch: Batch }) {
  const faults = errors?.data.length ?? 0;
  return (
    <section class="headline" aria-label="Progress">
      <p class="headline-figures"><strong>{count(faults)}</strong> {faults === 1 ? "fault" : "faults"} in {total > 0 ? plural(total, "line") : "the file"}</p>
      <p class="headline-pace">Nothing was run. Mend the file, and make a new batch of it.</p>
    </section>
  );
}

function share(ended: number, total: number): string {
  return `${Math.floor(ended * 100 / total)} %`;
}

/** One sentence about the speed and the time left, or what a person waits for. */
function paceOf(batch: Batch, pace: Pace | undefined): string {
  switch (batch.status) {
    case "validating":
      return "The file is being read. Nothing is run before all of it was.";
    case "finalizing":
      return "All lines have ended; the files are being written.";
    case "cancelling":
      return "Lines that run are being ended. The answers that are there are kept.";
    case "in_progress":
      if (batch.paused) return "No further line goes into the queue. Those that are there go on, and so does the completion window.";
      if (reconnecting.value) return "The server cannot be reached. The batch goes on when it is back, and so does this page.";
      if (!pace || pace.rate === 0) return "Waiting for lines to end.";
      return `${speed(pace.rate)}${pace.left === undefined ? "" : `, about ${span(Math.max(1, Math.round(pace.left)))} left`}`;
    default:
      return ended(batch);
  }
}

function speed(rate: number): string {
  return rate >= 1 ? `${rate >= 100 ? count(rate) : rate.toFixed(1)} lines a second` : `${(rate * 60).toFixed(1)} lines a minute`;
}

function ended(batch: Batch): string {
  const end = endOf(batch), start = batch.in_progress_at ?? batch.created_at;
  const took = end === null ? "" : ` in ${span(Math.max(1, end - start))}`;
  switch (batch.status) {
    case "expired":
      return `The completion window was over${took && ` after${took.slice(3)}`}. The answers that were there are kept.`;
    case "cancelled":
      return "Cancelled. The answers that were there are kept.";
    default:
      return `Done${took}.`;
  }
}
