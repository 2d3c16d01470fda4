import {
  AuthorizationError, jwtAuthenticator, UserAuthenticationExpiredError, wsconnect,
  type Msg, type NatsConnection, type WsSocketFactory,
} from "@nats-io/nats-core";
import type { Access } from "./credential.js";
import { SluiceError } from "./error.js";
import type { LogEvent } from "./events.js";

/** What makes a WebSocket: the browser's own, or one of the same behaviour. */
export type WebSocketConstructor = new (url: string) => WebSocket;

const connectLimit = 5_000; // milliseconds until a connection must be there
const liveBytes = 1 << 20; // of live events that wait for a slow reader; more are dropped, and asked for later

/** A connection that could not be made or was cut: another may do. */
export class ConnectionLost extends Error {
  /** Whether the server refused the credential. */
  readonly refused: boolean;

  constructor(cause: unknown) {
    super("The connection to NATS was lost.", { cause });
    this.refused = cause instanceof AuthorizationError || cause instanceof UserAuthenticationExpiredError;
  }
}

/** An answer about the past. */
export interface Page {
  events?: LogEvent[];
  more?: boolean;
  done?: boolean;
  cursor?: string;
  error?: { code: string; message: string; retryable: boolean };
}

/** One connection that hears one job, batch or conversation. It is not made again when it breaks. */
export class Connection<E extends object = LogEvent> {
  readonly #nats: NatsConnection;
  readonly #log: string;
  readonly #inbox: string;
  #live: E[] = [];
  #sizes: number[] = [];
  #held = 0;
  #dropped = false;
  #asked = 0;
  #answer: Page | "unserved" | undefined;
  #failure: Error | undefined;
  #stale = false;
  #wake: () => void = () => {};

  /** Connects and subscribes. The first question travels behind the subscription, so what is stored later is also heard. */
  static async open<E extends object>(
    access: Access, subject: string, constructor: WebSocketConstructor, signal: AbortSignal,
  ): Promise<Connection<E>> {
    return new Connection<E>(await dial(access, constructor, signal), subject);
  }

  private constructor(nats: NatsConnection, subject: string) {
    this.#nats = nats;
    this.#log = subject.slice("completions.".length);
    this.#inbox = `rp.${this.#log}.${randomToken()}`;
    nats.subscribe(subject, { callback: (error, msg) => this.#take(error, () => this.#hearLive(msg)) });
    nats.subscribe(`${this.#inbox}.*`, { callback: (error, msg) => this.#take(error, () => this.#hearAnswer(msg)) });
    void nats.closed().then((cause) => this.#fail(new ConnectionLost(cause)));
  }

  close(): void {
    this.#nats.close().catch(() => {}); // there is nobody to tell
  }

  /** Another connection is to take over: no more is heard on this one. */
  retire(): void {
    this.#stale = true;
    this.#wake();
  }

  get retired(): boolean {
    return this.#stale;
  }

  /** The next live event; undefined after so many milliseconds, when some were dropped, or when it is retired. */
  async hear(ms: number): Promise<E | undefined> {
    await this.#until(() => this.#stale || this.#live.length > 0 || this.#dropped, ms);
    if (this.#stale) return undefined;
    const event = this.#live.shift();
    this.#held -= this.#sizes.shift() ?? 0;
    if (event === undefined) this.#dropped = false;
    return event;
  }

  /** Asks for the past; undefined if there is no answer after so many milliseconds. Live events wait in the meantime. */
  async ask(from: number, cursor: string, ms: number): Promise<Page | "unserved" | undefined> {
    this.#answer = undefined;
    if (this.#failure === undefined) {
      this.#nats.publish(`replay.${this.#log}`, JSON.stringify({ from, cursor }), { reply: `${this.#inbox}.${++this.#asked}` });
    }
    await this.#until(() => this.#stale || this.#answer !== undefined, ms);
    return this.#answer;
  }

  /** Throws a ConnectionLost if the server does not answer within so many milliseconds. */
  async check(ms: number): Promise<void> {
    let there = false;
    this.#nats.flush().then(() => {
      there = true;
      this.#wake();
    }, () => {}); // closed, which is heard of
    await this.#until(() => this.#stale || there, ms);
    if (!there && !this.#stale) throw new ConnectionLost(new Error("NATS does not answer"));
  }

  #take(error: Error | null, hear: () => void): void {
    try {
      if (error) throw new SluiceError("The credential does not permit to follow this.", { code: "permission_denied", retryable: false, cause: error });
      hear();
    } catch (failure) {
      this.#fail(failure instanceof Error ? failure : new Error(String(failure)));
    }
    this.#wake();
  }

  #hearLive(msg: Msg): void {
    if (this.#held + msg.data.length > liveBytes) {
      this.#dropped = true;
      return;
    }
    const event = msg.json<E>();
    this.#held += msg.data.length;
    this.#sizes.push(msg.data.length);
    this.#live.push(event);
  }

  #hearAnswer(msg: Msg): void {
    if (msg.subject !== `${this.#inbox}.${this.#asked}`) return; // to a question that was given up
    this.#answer = msg.headers?.code === 503 || msg.data.length === 0 ? "unserved" : msg.json<Page>();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** Waits until the condition holds, at most so many milliseconds. */
  async #until(condition: () => boolean, ms: number): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, ms);
    try {
      while (!condition() && !late) {
        if (this.#failure) throw this.#failure;
        await new Promise<void>((resolve) => { this.#wake = resolve; });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

function randomToken(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Connects once, or throws a ConnectionLost. A socket that is closed before the server has spoken is lost at once;
 * afterwards the library tells why, if the server has said so.
 */
async function dial(access: Access, constructor: WebSocketConstructor, signal: AbortSignal): Promise<NatsConnection> {
  let socket: WebSocket | undefined;
  let lose: (cause: unknown) => void = () => {};
  const cut = new Promise<never>((_, reject) => {
    lose = (cause) => reject(new ConnectionLost(cause));
  });
  const hangUp = () => lose(signal.reason);
  const wsFactory: WsSocketFactory = async (url) => {
    try {
      socket = new constructor(url);
    } catch (error) { // a page of https: may not open ws:, and nobody else would say so
      lose(error);
      throw error;
    }
    socket.addEventListener("close", hangUp);
    socket.addEventListener("message", () => socket?.removeEventListener("close", hangUp), { once: true });
    return { socket, encrypted: url.startsWith("wss:") };
  };
  signal.addEventListener("abort", hangUp, { once: true });
  const connecting = wsconnect({
    servers: access.websocketURL, wsFactory, reconnect: false, ignoreClusterUpdates: true, noAsyncTraces: true, timeout: connectLimit,
    ...(access.credential === undefined ? {} : { authenticator: jwtAuthenticator(access.credential) }),
  });
  try {
    return await Promise.race([connecting.catch((error: unknown) => Promise.reject(new ConnectionLost(error))), cut]);
  } catch (error) {
    connecting.then((nats) => nats.close()).catch(() => {}); // it failed, or comes too late
    socket?.close();
    throw error;
  } finally {
    socket?.removeEventListener("close", hangUp);
    signal.removeEventListener("abort", hangUp);
  }
}
