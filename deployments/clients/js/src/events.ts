import type { BatchEnded, BatchEvent } from "./batch.js";
import type { Failure, JobState, Json } from "./types.js";

/** Where an event is in its log. */
export interface Place {
  /** From 1 without gaps, across attempts: the state to resume anywhere. */
  seq: number;
  attempt: number;
  at: string;
}

/** A new attempt: drop what earlier attempts said. */
export interface Started extends Place {
  type: "started";
  model?: string;
  upstream?: string;
}

export interface Delta extends Place {
  type: "delta";
  /** The upstream's chunks; fields that do not change between chunks come once per attempt. */
  chunks?: Chunk[];
}

/** This attempt failed, another will come. */
export interface Retrying extends Place {
  type: "retrying";
  error?: Failure;
  retry_at?: string;
}

/** The outcome is known and will be stored. */
export interface Storing extends Place {
  type: "storing";
  state?: JobState;
  error?: Failure;
  result?: Completion;
  usage?: Usage;
  finish_reason?: string;
}

export interface Completed extends Place {
  type: "completed";
  /** Left out above 192 kB: read the job. */
  result?: Completion;
  usage?: Usage;
  finish_reason?: string;
}

interface Ended extends Place {
  error?: Failure;
  /** What there was of the answer. */
  partial?: Completion;
  usage?: Usage;
}

export interface Failed extends Ended {
  type: "failed";
}

export interface Cancelled extends Ended {
  type: "cancelled";
}

export interface Expired extends Ended {
  type: "expired";
}

export type FinalEvent = Completed | Failed | Cancelled | Expired;

export type JobEvent = Started | Delta | Retrying | Storing | FinalEvent;

/** What a log may hold: that of a job, or that of a batch. */
export type LogEvent = JobEvent | BatchEvent;

export interface Message {
  role?: string;
  content?: string | null;
  [more: string]: Json | undefined;
}

export interface ChunkChoice {
  index?: number;
  delta?: Message;
  finish_reason?: string | null;
  [more: string]: Json | Message | undefined;
}

/** What one chunk of the upstream's stream added. */
export interface Chunk {
  choices?: ChunkChoice[];
  usage?: Usage | null;
  [more: string]: Json | ChunkChoice[] | Usage | undefined;
}

export interface Usage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
  [more: string]: Json | undefined;
}

/** A chat.completion. */
export interface Completion {
  id?: string;
  model?: string;
  choices?: { index?: number; message?: Message; finish_reason?: string | null }[];
  usage?: Usage | null;
  [more: string]: unknown;
}

/** Whether the event is the last of its job or batch. */
export function isFinal<E extends LogEvent>(event: E): event is Extract<E, FinalEvent | BatchEnded> {
  switch (event.type) {
    case "completed": case "failed": case "cancelled": case "expired":
      return true;
    default:
      return false;
  }
}
