import type { HTTP } from "./http.js";
import type { Usage } from "./events.js";
import type { CallOptions, Credential, Failure, Job, JobState, JobStream, Json } from "./types.js";

/** How turns are answered: the request's come first, then the conversation's, its tenant's, and the server's. */
export interface Parameters {
  model?: string;
  /** 0 to 2. */
  temperature?: number;
  /** 0 to 1. */
  top_p?: number;
  /** -2 to 2. */
  presence_penalty?: number;
  /** -2 to 2. */
  frequency_penalty?: number;
  /** At most 4 texts at which the answer ends. */
  stop?: string[];
  /** Longest answer, in tokens. */
  max_completion_tokens?: number;
  seed?: number;
  reasoning_effort?: string;
  /** At most so many of the latest messages are sent along. */
  context_messages?: number;
  /** At most about so many tokens of them. */
  context_tokens?: number;
}

/** What a user says: a text, or OpenAI's parts. */
export type Content = string | { [name: string]: Json }[];

/** An ordered memory: a tree of messages, of which the path up to head goes on. */
export interface Conversation {
  id: string;
  object: "conversation";
  name: string;
  system: string;
  parameters: Parameters;
  /** The tenant's own name for its end user. */
  owner: string;
  metadata: Record<string, string> | null;
  /** The last message of the path; null: nothing was said. */
  head: string | null;
  /** How often it has changed. */
  version: number;
  /** The answers that are being written or wait, oldest first; only the first is written. */
  live: string[];
  subject: string;
  stream: JobStream;
  events_url: string;
  created_at: string;
  updated_at: string;
  /** When something was last said. */
  active_at: string;
  /** In a search: the latest message that has the words. */
  match?: { message: string; snippet: string };
}

/** One thing that was said, or is being said. An answer's id is its job's. */
export interface ConversationMessage {
  id: string;
  object: "message";
  conversation: string;
  /** The message that it follows. */
  parent: string | null;
  seq: number;
  role: "user" | "assistant";
  state: JobState;
  /** Of an answer that has not ended: null. Follow its job. */
  content: Content | null;
  model: string | null;
  usage: Usage | null;
  finish_reason: string | null;
  error: Failure | null;
  rating: number;
  comment: string | null;
  /** The messages that follow the same one, this one included, in order. */
  siblings: string[];
  created_at: string;
  finished_at: string | null;
}

/** The job that writes an answer, and the messages that came to be with it. */
export interface Turn extends Job {
  conversation: string;
  /** It waits for the turns before it. */
  held: boolean;
  messages: ConversationMessage[];
}

export interface Page<T> {
  object: "list";
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

/** What becomes of a turn that is under way when another one comes; rollback also takes it off the path. */
export type Policy = "queue" | "reject" | "interrupt" | "rollback";

export interface ConversationDraft extends CallOptions {
  name?: string | undefined;
  /** It does not change once something was said. */
  system?: string | undefined;
  parameters?: Parameters | undefined;
  owner?: string | undefined;
  metadata?: Record<string, string> | undefined;
  /** What was said before. */
  messages?: { role: "user" | "assistant"; content: Content }[] | undefined;
  idempotencyKey?: string | undefined;
}

export interface ConversationChange extends CallOptions {
  name?: string | undefined;
  system?: string | undefined;
  parameters?: Parameters | undefined;
  owner?: string | undefined;
  metadata?: Record<string, string> | undefined;
  /** A message whose branch is to go on. */
  branch?: string | undefined;
}

export interface TurnOptions extends CallOptions {
  /** Default: queue for a message, interrupt for edit and regenerate. */
  policy?: Policy | undefined;
  parameters?: Parameters | undefined;
  metadata?: Record<string, string> | undefined;
  /** Seconds. */
  timeout?: number | undefined;
  /** Asked again with the same key, the server answers with the same turn. */
  idempotencyKey?: string | undefined;
}

export interface ListOptions extends CallOptions {
  owner?: string | undefined;
  /** Words to look for in names and messages. */
  q?: string | undefined;
  limit?: number | undefined;
  /** The last_id of the page before. */
  after?: string | undefined;
}

export interface MessagesOptions extends CallOptions {
  /** A message of another branch; default: the path that goes on. */
  branch?: string | undefined;
  limit?: number | undefined;
  /** The first_id of the page that follows. */
  before?: string | undefined;
}

/** The conversations of one installation; see Sluice.conversations. */
export class Conversations {
  readonly #http: HTTP;

  constructor(http: HTTP) {
    this.#http = http;
  }

  /** A page of them, latest activity first. */
  list({ signal, ...query }: ListOptions = {}): Promise<Page<Conversation>> {
    return this.#http.call({ method: "GET", path: "/v1/conversations" + queryOf(query), signal });
  }

  create({ idempotencyKey, signal, ...body }: ConversationDraft = {}): Promise<Conversation> {
    return this.#http.call({ method: "POST", path: "/v1/conversations", body, headers: keyed(idempotencyKey), signal });
  }

  get(id: string, { signal }: CallOptions = {}): Promise<Conversation> {
    return this.#http.call({ method: "GET", path: path(id), signal });
  }

  change(id: string, { signal, ...body }: ConversationChange): Promise<Conversation> {
    return this.#http.call({ method: "PATCH", path: path(id), body, signal });
  }

  /** Ends its turns; it is gone. */
  async delete(id: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#http.call({ method: "DELETE", path: path(id), signal });
  }

  /** A page of a path, oldest first, ending at its end. */
  messages(id: string, { signal, ...query }: MessagesOptions = {}): Promise<Page<ConversationMessage>> {
    return this.#http.call({ method: "GET", path: path(id, "messages") + queryOf(query), signal });
  }

  message(id: string, message: string, { signal }: CallOptions = {}): Promise<ConversationMessage> {
    return this.#http.call({ method: "GET", path: path(id, "messages", message), signal });
  }

  /** Deletes a message and all that follows it. */
  async deleteMessage(id: string, message: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#http.call({ method: "DELETE", path: path(id, "messages", message), signal });
  }

  /** Says something; the answer is the job that answers it. */
  say(id: string, content: Content, options: TurnOptions = {}): Promise<Turn> {
    return this.#turn(path(id, "messages"), { content }, options);
  }

  /** Says something in place of an earlier message of the user's; that branch stays readable. */
  edit(id: string, message: string, content: Content, options: TurnOptions = {}): Promise<Turn> {
    return this.#turn(path(id, "messages", message, "edit"), { content }, options);
  }

  /** Answers the last message once more. */
  regenerate(id: string, options: TurnOptions = {}): Promise<Turn> {
    return this.#turn(path(id, "regenerate"), {}, options);
  }

  /** Rates an answer: -1, 1, or 0 to take it back. */
  rate(id: string, message: string, rating: -1 | 0 | 1, { comment, signal }: CallOptions & { comment?: string } = {}): Promise<ConversationMessage> {
    const body = { rating, ...(comment === undefined ? {} : { comment }) };
    return this.#http.call({ method: "PUT", path: path(id, "messages", message, "rating"), body, signal });
  }

  /** A new conversation with the path up to a message; default: up to the last one that is whole. */
  clone(id: string, { signal, idempotencyKey, ...body }: CallOptions & { name?: string; message?: string; idempotencyKey?: string } = {}): Promise<Conversation> {
    return this.#http.call({ method: "POST", path: path(id, "clone"), body, headers: keyed(idempotencyKey), signal });
  }

  /** Answers in the conversation's context, and keeps nothing in it. */
  complete(id: string, content: Content, { signal, ...more }: CallOptions & { parameters?: Parameters } = {}): Promise<Job> {
    return this.#http.call({ method: "POST", path: path(id, "completions"), body: { content, ...more }, signal });
  }

  /** What the user might say next; the job's text is one suggestion a line. */
  suggestions(id: string, { signal, count }: CallOptions & { count?: number } = {}): Promise<Job> {
    return this.#http.call({ method: "POST", path: path(id, "suggestions"), body: count === undefined ? {} : { count }, signal });
  }

  /** Finds a name for it. */
  findName(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#http.call({ method: "POST", path: path(id, "name"), body: {}, signal });
  }

  /** A credential for the notes of one conversation, for a browser that must not have the key. */
  credential(id: string, { signal }: CallOptions = {}): Promise<Credential> {
    return this.#http.call({ method: "POST", path: path(id, "credential"), signal });
  }

  #turn(path: string, content: { content?: Content }, { idempotencyKey, signal, ...more }: TurnOptions): Promise<Turn> {
    return this.#http.call({ method: "POST", path, body: { ...content, ...more }, headers: keyed(idempotencyKey), signal });
  }
}

function path(id: string, ...parts: string[]): string {
  return ["/v1/conversations", ...[id, ...parts].map(encodeURIComponent)].join("/");
}

function keyed(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { "Idempotency-Key": key };
}

function queryOf(query: Record<string, string | number | undefined>): string {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) said.set(name, String(value));
  return said.size === 0 ? "" : `?${said}`;
}
