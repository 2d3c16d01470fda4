interface Details {
  status?: number;
  code: string;
  param?: string | null;
  retryable: boolean;
  cause?: unknown;
}

/** What the API or NATS said no to, a job that did not succeed, or a server that could not be reached. */
export class SluiceError extends Error {
  /** The HTTP status; 0 where no HTTP answer is behind it. */
  readonly status: number;
  /** What programs decide by, as not_found. */
  readonly code: string;
  /** The path of the field at fault, as request.messages[0].role. */
  readonly param: string | null;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;

  constructor(message: string, details: Details) {
    super(message, { cause: details.cause });
    this.name = "SluiceError";
    this.status = details.status ?? 0;
    this.code = details.code;
    this.param = details.param ?? null;
    this.retryable = details.retryable;
  }
}
