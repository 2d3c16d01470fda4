import type { Lane } from "@sluice/client";

/** What happened within a span of time. */
export interface Rates {
  accepted: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  /** Attempts after which another follows. */
  retried: number;
  output_tokens: number;
  output_tokens_per_second: number;
  /** From the submit to the first delta; null where there was none. */
  first_delta: { count: number; p50_seconds: number | null; p95_seconds: number | null };
}

export interface Windows {
  last_minute: Rates;
  last_15_minutes: Rates;
}

export interface LaneReport {
  lane: Lane;
  slots: number;
  running: number;
  /** null while Redis is away. */
  queue: {
    waiting: number;
    oldest_waiting_seconds: number | null;
    active: number;
    retrying: number;
    scheduled: number;
    unreadable: number;
  } | null;
  rates: Windows;
}

export interface UpstreamReport {
  name: string;
  state: "ok" | "degraded" | "failing" | "idle";
  workers: number;
  running: number;
  calls: number;
  errors: Record<string, number>;
}

export interface WorkerLane {
  lane: Lane;
  slots: number;
  running: number;
  /** Missing: it is not slowed down. */
  throttle?: { limit: number; waiting: number; until?: string | null } | null;
}

export interface WorkerReport {
  id: string;
  host: string;
  version: string;
  started_at: string | null;
  seen_at: string;
  alive: boolean;
  draining: boolean;
  lanes: WorkerLane[];
  upstreams: { name: string; state: "ok" | "failing" | "idle"; running: number; calls: number; errors: Record<string, number> }[];
}

/** The answer of GET /v1/system. */
export interface Report {
  version: string;
  at: string;
  queue_ready: boolean;
  lanes: LaneReport[];
  rates: Windows;
  upstreams: UpstreamReport[];
  workers: WorkerReport[];
}

export interface Failure {
  tenant: string;
  id: string;
  state: "failed" | "expired";
  lane: Lane;
  model: string;
  endpoint: string;
  upstream?: string;
  attempt: number;
  batch?: string;
  error: { code: string; message: string; upstream_status?: number };
  created_at: string;
  finished_at: string;
  /** The job that tries it again already. */
  retry: string | null;
}
