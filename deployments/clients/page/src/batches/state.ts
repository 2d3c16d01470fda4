import type { Batch, BatchState } from "@sluice/client";

/** How a state is shown: its name for a person, and what kind of news it is. */
export interface Badge {
  label: string;
  tone: "plain" | "live" | "good" | "warn" | "bad";
}

const ends: ReadonlySet<BatchState> = new Set<BatchState>(["completed", "failed", "expired", "cancelled"]);

/** Whether nothing about the batch will change any more. */
export function hasEnded({ status }: Batch): boolean {
  return ends.has(status);
}

export function badgeOf({ status, paused, request_counts: { failed, completed } }: Batch): Badge {
  switch (status) {
    case "validating":
      return { label: "Checking", tone: "live" };
    case "in_progress":
      return paused ? { label: "Paused", tone: "warn" } : { label: "Running", tone: "live" };
    case "finalizing":
      return { label: "Writing files", tone: "live" };
    case "cancelling":
      return { label: "Cancelling", tone: "warn" };
    case "completed":
      if (failed === 0) return { label: "Done", tone: "good" };
      return completed === 0 ? { label: "All failed", tone: "bad" } : { label: "Some failed", tone: "warn" };
    case "failed":
      return { label: "Not valid", tone: "bad" };
    case "expired":
      return { label: "Out of time", tone: "bad" };
    case "cancelled":
      return { label: "Cancelled", tone: "plain" };
  }
}

/** What may be done with the batch as it stands. */
export function actsOf(batch: Batch): { pause: boolean; resume: boolean; cancel: boolean; retry: boolean } {
  const running = batch.status === "in_progress" || batch.status === "validating";
  return {
    pause: running && !batch.paused,
    resume: running && batch.paused,
    cancel: running,
    retry: batch.status !== "failed" && hasEnded(batch) && batch.request_counts.failed > 0,
  };
}

/** When the batch ended, in Unix seconds. */
export function endOf(batch: Batch): number | null {
  return batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at;
}

/** What a person calls the batch: its name among the metadata, or what it asks. */
export function nameOf({ metadata, model, endpoint, id, retry_of: before }: Batch): string {
  const name = metadata?.["name"] || `${model ?? endpoint.replace("/v1/", "")} · ${id.slice(-6)}`;
  return before ? `${name} (retry)` : name;
}
