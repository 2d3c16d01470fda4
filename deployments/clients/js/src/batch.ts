import type { Place } from "./events.js";
import type { Json } from "./types.js";

export type BatchState =
  "validating" | "in_progress" | "finalizing" | "cancelling" | "completed" | "failed" | "expired" | "cancelled";

/** A batch as the API shows it: OpenAI's, and what Sluice adds. Times are Unix times in seconds. */
export interface Batch {
  id: string;
  object: "batch";
  endpoint: string;
  /** Of its first line; null until that was read. */
  model: string | null;
  /** What is wrong with its file; events leave it out. */
  errors: { object: "list"; data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: BatchState;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number | null;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  /** Lines that were cancelled or have expired count as failed. */
  request_counts: { total: number; completed: number; failed: number };
  usage: BatchUsage;
  metadata: Record<string, string> | null;
  /** No further line goes into the queue. */
  paused: boolean;
  /** Lines of the same content share one answer. */
  deduplicate: boolean;
  /** The batch whose lines this one tries again. */
  retry_of: string | null;
  /** Where its events are. */
  subject: string;
  /** The seq of an event, as a rule the latest: follow after it to hear what comes, without what was. In an event: of one before it. */
  last_seq: number;
}

/** What is wrong with one line of a batch's file, or, without a line, with all of it. */
export interface BatchError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

/** What the lines of a batch have cost together, in tokens. */
export interface BatchUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** What has become of one line of a batch. */
export interface BatchLine {
  /** Its number, from 1. */
  line: number;
  id: string;
  custom_id: string | null;
  /** What the endpoint answered; null: it did not. A status from 400 on is an error, which the body tells. */
  response: { status_code: number; request_id: string; body: { [name: string]: Json } | null } | null;
  /** Why there is no answer: batch_expired, batch_cancelled, request_timeout, or what is wrong with the line. */
  error: { code: string; message: string; param?: string; line?: number } | null;
  /** The answer is too large for an event, its body is null: read the batch's results. */
  truncated?: true;
}

interface Told extends Place {
  /** Where the batch stands, without its errors. */
  batch: Batch;
}

/** The batch was taken on, at first or once more. What was told before still holds. */
export interface BatchStarted extends Told {
  type: "started";
  model?: string;
}

/** The batch has come further, or was paused, resumed or cancelled. */
export interface Progress extends Told {
  type: "progress";
}

/** Lines have ended; they come in no order. */
export interface Lines extends Told {
  type: "lines";
  lines: BatchLine[];
}

export interface BatchEnded extends Told {
  type: "completed" | "failed" | "cancelled" | "expired";
}

/** attempt counts how often the batch was taken on; every event stands for itself. */
export type BatchEvent = BatchStarted | Progress | Lines | BatchEnded;
