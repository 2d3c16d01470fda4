import { SluiceError } from "./error.js";

/** One request to the API, and what it takes to send it. */
export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  body?: object | undefined;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** Sends requests to one installation. */
export class HTTP {
  readonly #base: string;
  readonly #apiKey: string | undefined;
  readonly #fetch: typeof globalThis.fetch;

  constructor(base: string, apiKey: string | undefined, fetch: typeof globalThis.fetch) {
    this.#base = base.replace(/\/+$/, "");
    this.#apiKey = apiKey;
    this.#fetch = fetch;
  }

  /** The answer's body; every other outcome is a SluiceError, or the signal's reason. */
  async call<T>(call: Call): Promise<T> {
    try {
      const answer = await this.#send(call);
      if (!answer.ok) throw await refusal(answer);
      return await answer.json() as T;
    } catch (error) {
      if (error instanceof SluiceError) throw error;
      call.signal?.throwIfAborted();
      throw new SluiceError(`${call.method} ${call.path} got no answer.`, { code: "connection_failed", retryable: true, cause: error });
    }
  }

  #send({ method, path, body, headers, signal }: Call): Promise<Response> {
    const fetch = this.#fetch; // called without a receiver, which browsers insist on
    return fetch(this.#base + path, {
      method,
      headers: {
        ...headers,
        ...(this.#apiKey === undefined ? {} : { Authorization: `Bearer ${this.#apiKey}` }),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

interface Envelope {
  error?: { message?: string; code?: string | null; param?: string | null };
}

async function refusal(answer: Response): Promise<SluiceError> {
  const { error } = await answer.json().catch(() => ({})) as Envelope; // a proxy's answer may be anything
  const transient = answer.status >= 500 || answer.status === 429 || answer.status === 408;
  return new SluiceError(error?.message ?? `The server answered ${answer.status}.`, {
    status: answer.status, code: error?.code ?? `http_${answer.status}`, param: error?.param ?? null,
    retryable: transient && answer.headers.get("X-Should-Retry") !== "false",
  });
}
