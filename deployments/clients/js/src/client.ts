import type { Batch, BatchEvent } from "./batch.js";
import type { WebSocketConstructor } from "./connection.js";
import { Conversations, type Conversation } from "./conversation.js";
import { SluiceError } from "./error.js";
import type { JobEvent } from "./events.js";
import { followBatchWith, followWith, type FollowSource } from "./follow.js";
import { HTTP } from "./http.js";
import { followConversationWith, type Changed } from "./note.js";
import { textOf, type TextPart } from "./text.js";
import type { CallOptions, Credential, Job, Submission } from "./types.js";
import { backOff, pause } from "./wait.js";

export interface SluiceOptions {
  /** For instance http://127.0.0.1:8080. */
  baseURL: string;
  /** A key of the API, sk-sluice-…; not needed where the API asks for none. Keep it out of browsers: see followWith. */
  apiKey?: string | undefined;
  /** Default: the global one. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Default: the global one, which Node.js has from version 22 on. */
  WebSocket?: WebSocketConstructor | undefined;
}

interface WatchOptions extends CallOptions {
  /** Called with true when a connection is there, and with false when one is lost or could not be made. */
  onConnection?: ((there: boolean) => void) | undefined;
}

interface FollowCallOptions extends WatchOptions {
  /** The seq after which to begin; default 0: from the start. */
  after?: number | undefined;
}

/** Client of one installation. Errors are of class SluiceError. */
export class Sluice {
  readonly #http: HTTP;
  readonly #webSocket: WebSocketConstructor | undefined;
  /** Its conversations. */
  readonly conversations: Conversations;

  constructor({ baseURL, apiKey, fetch = globalThis.fetch, WebSocket }: SluiceOptions) {
    this.#http = new HTTP(baseURL, apiKey, fetch);
    this.conversations = new Conversations(this.#http);
    this.#webSocket = WebSocket;
  }

  /** Hands in a job. */
  submit({ idempotencyKey, signal, ...body }: Submission): Promise<Job> {
    const headers: Record<string, string> = idempotencyKey === undefined ? {} : { "Idempotency-Key": idempotencyKey };
    return this.#http.call({ method: "POST", path: "/v1/jobs", body, headers, signal });
  }

  get(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#http.call({ method: "GET", path: path(id), signal: options.signal });
  }

  /** Ends a job; the text so far is kept. */
  cancel(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#http.call({ method: "POST", path: path(id) + "/cancel", signal: options.signal });
  }

  /** Makes a new job of one that failed, expired or was cancelled; asked again, it returns the same new job. */
  retry(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#http.call({ method: "POST", path: path(id) + "/retry", signal: options.signal });
  }

  /** A new credential for one job, for a browser that must not have the key. */
  credential(id: string, options: CallOptions = {}): Promise<Credential> {
    return this.#http.call({ method: "POST", path: path(id) + "/credential", signal: options.signal });
  }

  /**
   * Yields a job's events over NATS WebSocket, in order and each once, and ends after the final one. It connects again
   * where a connection breaks, until the signal says otherwise. Leaving the loop frees the connection.
   */
  async *follow(jobOrId: Job | string, options: FollowCallOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    const id = typeof jobOrId === "string" ? jobOrId : jobOrId.id;
    const source = from(submitted(jobOrId) ?? await this.credential(id, options), (signal) => this.credential(id, { signal }));
    yield* followWith(source, { ...options, WebSocket: this.#webSocket });
  }

  /** The text of a job's first choice as it comes, for a user interface; see textOf. */
  text(jobOrId: Job | string, options: CallOptions = {}): AsyncGenerator<TextPart, void, undefined> {
    return textOf(this.follow(jobOrId, options), async () => (await this.result(jobOrId, options)).result);
  }

  /** Waits until the job has ended, and returns it as it is stored, whatever its outcome. */
  async result(jobOrId: Job | string, options: CallOptions = {}): Promise<Job> {
    const id = typeof jobOrId === "string" ? jobOrId : jobOrId.id;
    for await (const _ of this.follow(jobOrId, options)); // to its end
    for (let n = 0; ; n++) {
      const job = await this.get(id, options);
      if (job.state !== "queued" && job.state !== "running") return job;
      await pause(backOff(n), options.signal);
    }
  }

  getBatch(id: string, options: CallOptions = {}): Promise<Batch> {
    return this.#http.call({ method: "GET", path: batchPath(id), signal: options.signal });
  }

  /** A new credential for one batch, for a browser that must not have the key. */
  batchCredential(id: string, options: CallOptions = {}): Promise<Credential> {
    return this.#http.call({ method: "POST", path: batchPath(id) + "/credential", signal: options.signal });
  }

  /** Yields a batch's events as follow does a job's. */
  async *followBatch(batchOrId: Batch | string, options: FollowCallOptions = {}): AsyncGenerator<BatchEvent, void, undefined> {
    const id = typeof batchOrId === "string" ? batchOrId : batchOrId.id;
    const source = from(await this.batchCredential(id, options), (signal) => this.batchCredential(id, { signal }));
    yield* followBatchWith(source, { ...options, WebSocket: this.#webSocket });
  }

  /**
   * Yields a note when a conversation may have changed, beginning with one: whoever has seen an older version reads it
   * anew. Notes get lost where a connection does; the one after it is then without a version. It ends when the signal says so.
   */
  async *followConversation(conversationOrId: Conversation | string, options: WatchOptions = {}): AsyncGenerator<Changed, void, undefined> {
    const id = typeof conversationOrId === "string" ? conversationOrId : conversationOrId.id;
    const source = from(await this.conversations.credential(id, options), (signal) => this.conversations.credential(id, { signal }));
    yield* followConversationWith(source, { ...options, WebSocket: this.#webSocket });
  }
}

/** What it takes to follow with a credential. */
function from({ subject, websocket_url, credential, expires_at }: Credential, renew: FollowSource["renew"]): FollowSource {
  if (!websocket_url) throw new SluiceError("This installation offers no WebSocket.", { code: "no_websocket", retryable: false });
  return { subject, websocketURL: websocket_url, credential, expiresAt: expires_at, renew };
}

/** The credential that came with a job: only just submitted or retried ones have it. */
function submitted(job: Job | string): Credential | undefined {
  if (typeof job === "string" || !job.stream.credential || !job.stream.expires_at) return undefined;
  const { websocket_url, credential, expires_at } = job.stream;
  return { subject: job.subject, websocket_url, credential, expires_at };
}

function path(id: string): string {
  return "/v1/jobs/" + encodeURIComponent(id);
}

function batchPath(id: string): string {
  return "/v1/batches/" + encodeURIComponent(id);
}
