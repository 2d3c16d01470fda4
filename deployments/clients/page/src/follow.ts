import { effect } from "@preact/signals";
import { followBatchWith, isFinal, SluiceError, type BatchEvent, type Changed, type Job, type JobEvent } from "@sluice/client";
import { note } from "./net.js";
import { giveUpWebSocket, noteAddress, way, webSocketWorks } from "./road.js";
import { unseen } from "./seen.js";
import { client } from "./session.js";
import { serverEvents } from "./sse.js";
import { backOff, pause } from "@sluice/client/wait";

const tries = 3; // connections that fail in a row before HTTP is taken

/** One way to hear something: it goes on where the other way has stopped. */
type Listen<E> = (signal: AbortSignal, onConnection: (there: boolean) => void) => AsyncIterable<E>;

interface Ways<E> {
  /** Tells what is heard from what else is, in the banner. */
  name: string;
  webSocket: Listen<E>;
  http: Listen<E>;
  /** Whether nothing comes after this. */
  last: (event: E) => boolean;
}

/** Yields a job's events behind seq after, in order and each once, up to the final one, on whichever way there is. */
export function followJob(job: Job | string, after: number, signal: AbortSignal): AsyncGenerator<JobEvent, void, undefined> {
  const id = typeof job === "string" ? job : job.id;
  let fresh = typeof job !== "string";
  if (typeof job !== "string") noteAddress(job.stream.websocket_url);
  return followLog<JobEvent>(id, `/v1/jobs/${encodeURIComponent(id)}/events`, after, signal, (after, signal, onConnection) => {
    const from = fresh ? job : id; // the credential that came with it opens once
    fresh = false;
    return client.peek().follow(from, { after, signal, onConnection });
  });
}

/** Yields a batch's events as followJob does a job's. */
export function followBatch(id: string, after: number, signal: AbortSignal): AsyncGenerator<BatchEvent, void, undefined> {
  return followLog<BatchEvent>(id, `/v1/batches/${encodeURIComponent(id)}/events`, after, signal, async function* (after, signal, onConnection) {
    const { subject, websocket_url, credential, expires_at } = await client.peek().batchCredential(id, { signal });
    if (!websocket_url) throw new SluiceError("This installation offers no WebSocket.", { code: "no_websocket", retryable: false });
    noteAddress(websocket_url);
    const renew = (signal: AbortSignal) => client.peek().batchCredential(id, { signal });
    yield* followBatchWith({ subject, websocketURL: websocket_url, credential, expiresAt: expires_at, renew }, { after, signal, onConnection });
  });
}

type ListenAfter<E> = (after: number, ...rest: Parameters<Listen<E>>) => AsyncIterable<E>;

async function* followLog<E extends JobEvent | BatchEvent>(
  name: string, path: string, after: number, signal: AbortSignal, webSocket: ListenAfter<E>,
): AsyncGenerator<E, void, undefined> {
  let seq = after;
  const events = listen<E>({
    name,
    webSocket: (signal, onConnection) => webSocket(seq, signal, onConnection),
    http: (signal, onConnection) => parsed<E>(`${path}?after=${seq}`, signal, onConnection),
    last: isFinal,
  }, signal);
  for await (const event of events) {
    if (event.seq <= seq && !isFinal(event)) continue;
    seq = event.seq;
    yield event;
  }
}

/** Yields whenever a conversation may have changed, until the signal says otherwise. */
export function followConversation(id: string, signal: AbortSignal): AsyncGenerator<Changed, void, undefined> {
  return listen<Changed>({
    name: id,
    webSocket: (signal, onConnection) => client.peek().followConversation(id, { signal, onConnection }),
    http: (signal, onConnection) => parsed<Changed>(`/v1/conversations/${id}/events`, signal, onConnection),
    last: () => false,
  }, signal);
}

async function* listen<E>(ways: Ways<E>, signal: AbortSignal): AsyncGenerator<E, void, undefined> {
  let offered = true; // a WebSocket is, for this
  try {
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted();
      const http = way.peek() === "http" || !offered;
      if (http && unseen()) await look(signal);
      const other = switched(signal, http);
      try {
        for await (const event of http ? ways.http(other.signal, (there) => note(ways.name, there)) : overWebSocket(ways, other.signal)) {
          failures = 0;
          note(ways.name, true);
          yield event;
          if (ways.last(event)) return;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SluiceError && error.code === "no_websocket" && offered) {
          offered = false;
          continue;
        }
        if (error instanceof SluiceError && !error.retryable) throw error;
      } finally {
        other.stop();
      }
      if (!other.signal.aborted) await pause(backOff(failures), signal);
    }
  } finally {
    note(ways.name, true);
  }
}

/** Gives the WebSocket up after some tries. */
async function* overWebSocket<E>(ways: Ways<E>, signal: AbortSignal): AsyncGenerator<E, void, undefined> {
  let failures = 0;
  yield* ways.webSocket(signal, (there) => {
    note(ways.name, there);
    failures = there ? 0 : failures + 1;
    if (there) webSocketWorks();
    else if (failures >= tries) giveUpWebSocket();
  });
}

/** A signal that also ends when the way changes, and over HTTP when nobody looks. */
function switched(signal: AbortSignal, http: boolean): { signal: AbortSignal; stop: () => void } {
  const change = new AbortController();
  const begun = way.peek();
  const stop = effect(() => {
    if (way.value !== begun) change.abort(new Error("Another way is taken."));
    if (http && unseen()) change.abort(new Error("Nobody looks."));
  });
  return { signal: AbortSignal.any([signal, change.signal]), stop };
}

/** Waits until somebody looks. */
function look(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => settle(() => reject(signal.reason));
    const settle = (end: () => void) => {
      signal.removeEventListener("abort", leave);
      queueMicrotask(() => stop()); // it may be called before stop is there
      end();
    };
    signal.addEventListener("abort", leave);
    const stop = effect(() => { if (!unseen()) settle(resolve); });
  });
}

async function* parsed<E>(path: string, signal: AbortSignal, onConnection: (there: boolean) => void): AsyncGenerator<E, void, undefined> {
  for await (const { type, data } of serverEvents(path, signal, () => onConnection(true))) {
    if (type !== "reconnect") yield JSON.parse(data) as E;
  }
}
