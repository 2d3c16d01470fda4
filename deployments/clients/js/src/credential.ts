import { SluiceError } from "./error.js";
import type { Credential } from "./types.js";
import { backOff } from "./wait.js";

/** What opens a connection. */
export interface Access {
  websocketURL: string;
  /** Undefined: the server decides whether it does without. */
  credential: string | undefined;
  /** RFC 3339; undefined where it does not end, or nobody has said when. */
  expiresAt: string | undefined;
}

const freshShare = 0.8; // of a credential's life, after which it is renewed
const leastRenewal = 1_000; // milliseconds between two renewals
const longestTimer = 2 ** 31 - 1;

/**
 * Lease holds the access to one log and renews it before it ends. How long that is the client's clock says; where it is
 * wrong, and where a laptop has slept, the server's refusal leads to a renewal too.
 */
export class Lease {
  /** Called when a renewed access is there. */
  onFresh: () => void = () => {};
  #access: Access;
  #spoiled = false;
  #renewing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #closed = new AbortController();
  readonly #renew: (signal: AbortSignal) => Promise<Credential>;

  constructor(access: Access, renew: (signal: AbortSignal) => Promise<Credential>) {
    this.#access = access;
    this.#renew = renew;
    this.#schedule(0);
  }

  /** The access to connect with, renewed if the server has refused the one before. */
  async current(): Promise<Access> {
    if (this.#spoiled) await this.#renewed();
    return this.#access;
  }

  /** The server has refused the access. */
  spoil(): void {
    this.#spoiled = true;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#closed.abort();
  }

  /** Plans the renewal ahead of the end. Of an access that seems to have ended only the server knows whether it has. */
  #schedule(failures: number): void {
    clearTimeout(this.#timer);
    const left = Date.parse(this.#access.expiresAt ?? "") - Date.now();
    if (!(left > 0) || this.#closed.signal.aborted) return;
    const due = failures > 0 ? backOff(failures) : left * freshShare;
    this.#timer = setTimeout(() => {
      this.#renewed().then(() => this.onFresh(), () => this.#schedule(failures + 1));
    }, Math.min(Math.max(due, leastRenewal), longestTimer));
  }

  #renewed(): Promise<void> {
    this.#renewing ??= this.#replace().finally(() => { this.#renewing = undefined; });
    return this.#renewing;
  }

  async #replace(): Promise<void> {
    const got = await this.#ask();
    if (!got.credential) throw new SluiceError("The renewal brought no credential.", { code: "no_credential", retryable: false });
    this.#access = {
      websocketURL: got.websocket_url || this.#access.websocketURL, credential: got.credential, expiresAt: got.expires_at,
    };
    this.#spoiled = false;
    this.#schedule(0);
  }

  async #ask(): Promise<Credential> {
    try {
      return await this.#renew(this.#closed.signal);
    } catch (error) {
      if (error instanceof SluiceError) throw error;
      throw new SluiceError("The credential could not be renewed.", { code: "renewal_failed", retryable: true, cause: error });
    }
  }
}
