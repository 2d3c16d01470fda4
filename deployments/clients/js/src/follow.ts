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
  /** Called with true when a connection is there, and with false when one is lost or could not be made. */
  onConnection?: ((there: boolean) => void) | undefined;
}

/** What it takes to follow one job, batch or conversation without the API's key. */
export interface FollowSource {
  /** completions.<tenant>.<job, batch or conversation> */
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
  const merge = new Merge(options.after ?? 0);
  yield* overConnections<LogEvent, LogEvent>(source, options, async function* (connection, signal) {
    yield* new Session(connection, merge, signal).events();
    return merge.done;
  }, () => merge.last);
}

/** What is done with one connection: it yields what is heard, and returns whether that was all there is. */
type Listen<H extends object, E> = (connection: Connection<H>, signal: AbortSignal) => AsyncGenerator<E, boolean, undefined>;

/**
 * Listens over one connection after the other, until that was all or the signal says otherwise. The less has been heard by the
 * measure of heard, the longer the pauses between them.
 */
export async function* overConnections<H extends object, E>(
  source: FollowSource, options: FollowOptions, listen: Listen<H, E>, heard: () => number,
): AsyncGenerator<E, void, undefined> {
  const signal = options.signal ?? new AbortController().signal;
  const constructor = options.WebSocket ?? globalWebSocket();
  const lease = new Lease(
    { websocketURL: source.websocketURL, credential: source.credential, expiresAt: source.expiresAt }, source.renew);
  try {
    for (let failures = 0; ; ) {
      const before = heard();
      try {
        if (yield* connected(lease, source.subject, constructor, listen, signal, options.onConnection)) return;
        failures = 0;
        continue;
      } catch (error) {
        signal.throwIfAborted();
        judge(error, lease);
      }
      options.onConnection?.(false);
      failures = heard() > before ? 0 : failures + 1;
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

/** Listens over one connection, until that was all or a fresh credential calls for another connection. */
async function* connected<H extends object, E>(
  lease: Lease, subject: string, constructor: WebSocketConstructor, listen: Listen<H, E>, signal: AbortSignal, onConnection: FollowOptions["onConnection"],
): AsyncGenerator<E, boolean, undefined> {
  signal.throwIfAborted();
  const connection = await Connection.open<H>(await abortable(lease.current(), signal), subject, constructor, signal);
  const leave = () => connection.retire();
  signal.addEventListener("abort", leave);
  lease.onFresh = () => connection.retire();
  let done: boolean;
  try {
    onConnection?.(true);
    done = yield* listen(connection, signal);
  } finally {
    lease.onFresh = () => {};
    signal.removeEventListener("abort", leave);
    connection.close();
  }
  signal.throwIfAborted();
  return done;
}
