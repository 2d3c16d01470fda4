import type { BatchEvent } from "./batch.js";
import { Connection, ConnectionLost, type WebSocketConstructor } from "./connection.js";
import { Lease } from "./credential.js";
import { SluiceError } from "./error.js";
import type { JobEvent, LogEvent } from "./events.js";
import { Merge } from "./merge.js";
import { Session } from "./session.js";
import type { Credential } from "./types.js";
import { abortable, backOff, pause } from "./wait.js";

export interface FollowOptions {
  /** The seq after which to begin; default 0: from the start. */
  after?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Default: the global one, which Node.js has from version 22 on. */
  WebSocket?: WebSocketConstructor | undefined;
}

/** What it takes to follow one job or batch without the API's key. */
export interface FollowSource {
  /** completions.<tenant>.<job or batch> */
  subject: string;
  websocketURL: string;
  /** Missing: renew is asked for one as soon as the server has refused to do without. */
  credential?: string | undefined;
  /** When the credential ends, RFC 3339. Where it is missing, the server's refusal says so. */
  expiresAt?: string | undefined;
  /**
   * Asks for a new credential; called ahead of the end of the one before, and when the server has refused it. What it
   * throws makes it ask again later, unless that is a SluiceError that is not retryable.
   */
  renew: (signal: AbortSignal) => Promise<Credential>;
}

/**
 * Yields a job's events, in order and each once, and ends after the final one. It connects again where a connection
 * breaks, until the signal says otherwise. Leaving the loop frees the connection.
 */
export function followWith(source: FollowSource, options: FollowOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
  return read(source, options) as AsyncGenerator<JobEvent, void, undefined>; // the subject is a job's
}

/** Yields a batch's events as followWith does a job's. */
export function followBatchWith(source: FollowSource, options: FollowOptions = {}): AsyncGenerator<BatchEvent, void, undefined> {
  return read(source, options) as AsyncGenerator<BatchEvent, void, undefined>; // the subject is a batch's
}

async function* read(source: FollowSource, options: FollowOptions): AsyncGenerator<LogEvent, void, undefined> {
  const signal = options.signal ?? new AbortController().signal;
  const constructor = options.WebSocket ?? globalWebSocket();
  const merge = new Merge(options.after ?? 0);
  const lease = new Lease(
    { websocketURL: source.websocketURL, credential: source.credential, expiresAt: source.expiresAt }, source.renew);
  try {
    for (let failures = 0; !merge.done; ) {
      const before = merge.last;
      try {
        yield* connected(lease, source.subject, constructor, merge, signal);
        failures = 0;
        continue;
      } catch (error) {
        signal.throwIfAborted();
        judge(error, lease);
      }
      failures = merge.last > before ? 0 : failures + 1;
      await pause(backOff(failures), signal);
    }
  } finally {
    lease.close();
  }
}

function globalWebSocket(): WebSocketConstructor {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  throw new SluiceError("There is no global WebSocket: pass one as an option, for instance that of the package ws.", { code: "no_websocket", retryable: false });
}

/** Throws what another connection cannot help. */
function judge(error: unknown, lease: Lease): void {
  if (error instanceof ConnectionLost) {
    if (error.refused) lease.spoil();
  } else if (!(error instanceof SluiceError) || !error.retryable) {
    throw error;
  }
}

/** Follows over one connection, until the log has ended or a fresh credential calls for another connection. */
async function* connected(
  lease: Lease, subject: string, constructor: WebSocketConstructor, merge: Merge, signal: AbortSignal,
): AsyncGenerator<LogEvent, void, undefined> {
  signal.throwIfAborted();
  const connection = await Connection.open(await abortable(lease.current(), signal), subject, constructor, signal);
  const leave = () => connection.retire();
  signal.addEventListener("abort", leave);
  lease.onFresh = () => connection.retire();
  try {
    yield* new Session(connection, merge, signal).events();
  } finally {
    lease.onFresh = () => {};
    signal.removeEventListener("abort", leave);
    connection.close();
  }
  signal.throwIfAborted();
}
