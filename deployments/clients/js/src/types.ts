import type { Completion, Usage } from "./events.js";

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export type JobState = "queued" | "running" | "completed" | "failed" | "cancelled" | "expired";

export type Lane = "interactive" | "batch";

/** Why an attempt or a job did not succeed. */
export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
  upstream_status?: number;
  [more: string]: Json | undefined;
}

/** Where a job's events are heard, and what lets a viewer in. */
export interface JobStream {
  nats_url: string;
  websocket_url: string;
  /** Lets its bearer read this job over NATS; only of a job just submitted or retried. */
  credential?: string;
  /** When the credential ends, RFC 3339. */
  expires_at?: string;
}

/** A job as the API shows it. */
export interface Job {
  id: string;
  state: JobState;
  lane: Lane;
  model: string;
  attempt: number;
  cancel_requested: boolean;
  metadata: Record<string, string> | null;
  subject: string;
  stream: JobStream;
  events_url: string;
  result: Completion | null;
  usage: Usage | null;
  finish_reason: string | null;
  error: Failure | null;
  retry_of?: string;
  /** The batch that the job is a line of. */
  batch?: string;
  /** The line's number in the batch's file, from 1. */
  line?: number;
  /** The line's own name. */
  custom_id?: string;
  /** x-request-id of the request that made the job. */
  request_id?: string;
  created_at: string;
  deadline: string;
  started_at: string | null;
  first_token_at: string | null;
  retry_at: string | null;
  finished_at: string | null;
}

/** The answer to a request for a credential; a browser's own backend passes it on as it is. */
export interface Credential {
  subject: string;
  nats_url?: string;
  websocket_url: string;
  credential: string;
  expires_at: string;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface Submission extends CallOptions {
  /** An OpenAI chat completion body. */
  request: object;
  /** Default: the server's. */
  lane?: Lane | undefined;
  metadata?: Record<string, string> | undefined;
  /** Seconds until the job must have ended; default: the lane's. */
  timeout?: number | undefined;
  /** Submitting again with the same key and body joins the existing job. */
  idempotencyKey?: string | undefined;
}
