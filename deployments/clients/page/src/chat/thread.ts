import { batch, effect, signal, untracked } from "@preact/signals";
import { SluiceError, type Conversation, type ConversationMessage, type JobState, type Turn } from "@sluice/client";
import { backOff, pause } from "@sluice/client/wait";
import { followConversation } from "../follow.js";
import { client } from "../session.js";
import { toastError } from "../ui/toast.js";
import { dropConversation, noteConversation } from "./list.js";
import { Live } from "./live.js";

const pageSize = 60;

/** One conversation as it is open: what was said, and what is being said. */
export class Thread {
  readonly id: string;
  readonly conversation = signal<Conversation | undefined>(undefined);
  /** The path that goes on, oldest first, from where it was read. */
  readonly messages = signal<readonly ConversationMessage[]>([]);
  /** There are older ones. */
  readonly older = signal(false);
  /** It is not there, or no more. */
  readonly missing = signal(false);
  /** Answers that are heard, by id. */
  readonly lives = signal<ReadonlyMap<string, Live>>(new Map());
  /** Called when an answer has ended that was heard here. */
  onEnd: (id: string, state: JobState) => void = () => {};
  #reading: Promise<void> | undefined;
  #stale = false;
  readonly #stop = new AbortController();

  constructor(id: string) {
    this.id = id;
    void this.#watch();
  }

  close(): void {
    this.#stop.abort();
    for (const live of this.lives.peek().values()) live.leave();
  }

  /** Reads it anew. What is asked for while it reads is read once more afterwards. */
  refresh(): Promise<void> {
    if (this.#reading) this.#stale = true;
    this.#reading ??= this.#read().catch(toastError).finally(() => {
      this.#reading = undefined;
      if (this.#stale && !this.#stop.signal.aborted) {
        this.#stale = false;
        void this.refresh();
      }
    });
    return this.#reading;
  }

  async loadOlder(): Promise<void> {
    const first = this.messages.peek()[0];
    if (!first) return;
    const page = await client.peek().conversations.messages(this.id, { before: first.id, limit: pageSize, signal: this.#stop.signal });
    if (this.messages.peek()[0] !== first) return;
    batch(() => {
      this.messages.value = [...page.data, ...this.messages.peek()];
      this.older.value = page.has_more;
    });
  }

  /** Shows a turn that the server has just taken: what it adds to, or puts in the place of, the path. */
  take(turn: Turn): void {
    const [first] = turn.messages;
    if (!first) return;
    batch(() => {
      const path = this.messages.peek();
      const at = first.parent === null ? 0 : path.findIndex(({ id }) => id === first.parent) + 1;
      if (at > 0 || first.parent === null) this.messages.value = [...path.slice(0, at), ...turn.messages];
      if (!turn.held) this.#listen(turn.id, turn);
    });
    void this.refresh();
  }

  /** Goes over to the branch of a message. */
  async choose(message: string): Promise<void> {
    await client.peek().conversations.change(this.id, { branch: message, signal: this.#stop.signal });
    await this.refresh();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted && !this.missing.peek(); failures++) {
      try {
        for await (const note of followConversation(this.id, signal)) {
          failures = 0;
          const known = this.conversation.peek()?.version;
          if (note.version === undefined || known === undefined || note.version > known) void this.refresh();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof SluiceError && error.status === 404) this.missing.value = true;
      }
      await pause(backOff(failures), signal).catch(() => {}); // closed
    }
  }

  async #read(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const { conversations } = client.peek();
        const [conversation, page] = await Promise.all([
          conversations.get(this.id, { signal }), conversations.messages(this.id, { limit: pageSize, signal }),
        ]);
        if ((page.data.at(-1)?.id ?? null) !== conversation.head) this.#stale = true; // it has changed between the two
        this.#show(conversation, page.data, page.has_more);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof SluiceError && error.status === 404) {
          this.missing.value = true;
          dropConversation(this.id);
          return;
        }
        if (!(error instanceof SluiceError) || !error.retryable) throw error;
      }
      await pause(backOff(failures), signal).catch(() => {}); // closed
    }
  }

  #show(conversation: Conversation, latest: readonly ConversationMessage[], older: boolean): void {
    const known = this.conversation.peek();
    if (known && conversation.version < known.version) return;
    batch(() => {
      this.conversation.value = conversation;
      this.#join(latest, older);
      this.#hear(conversation);
    });
    noteConversation(conversation);
  }

  /** Keeps the older messages that were read before, where the latest ones follow them. */
  #join(latest: readonly ConversationMessage[], older: boolean): void {
    const path = this.messages.peek(), first = latest[0];
    const at = first ? path.findIndex(({ id }) => id === first.id) : -1;
    const before = at > 0 && path[at - 1]?.id === first?.parent ? path.slice(0, at) : [];
    const known = new Map(path.map((message) => [message.id, message]));
    const same = (message: ConversationMessage) => {
      const there = known.get(message.id);
      return there && JSON.stringify(there) === JSON.stringify(message) ? there : message;
    };
    this.messages.value = [...before, ...latest.map(same)];
    if (before.length === 0) this.older.value = older;
  }

  /** Listens to the answer that is being written, and leaves those that have ended. */
  #hear(conversation: Conversation): void {
    const [first] = conversation.live;
    if (first) this.#listen(first);
    const whole = new Set(this.messages.peek().filter(({ state }) => final(state)).map(({ id }) => id));
    const gone = [...this.lives.peek().keys()].filter((id) => whole.has(id) || !conversation.live.includes(id) && this.lives.peek().get(id)?.over);
    for (const id of gone) this.#drop(id);
  }

  #listen(id: string, turn?: Turn): void {
    if (this.lives.peek().has(id)) return;
    const live = new Live(id);
    this.lives.value = new Map(this.lives.peek()).set(id, live);
    const stop = effect(() => {
      const state = live.state.value;
      if (final(state)) untracked(() => this.#ended(id, state));
    });
    void live.follow(turn).finally(stop);
  }

  #ended(id: string, state: JobState): void {
    this.onEnd(id, state);
    void this.refresh();
  }

  #drop(id: string): void {
    const live = this.lives.peek().get(id);
    if (!live) return;
    const said = this.messages.peek().find((message) => message.id === id);
    if (!live.over && said) this.onEnd(id, said.state); // the note was faster than the event
    live.close();
    const rest = new Map(this.lives.peek());
    rest.delete(id);
    this.lives.value = rest;
  }
}

function final(state: JobState): boolean {
  return state !== "queued" && state !== "running";
}

/** The thread that is open. */
export const thread = signal<Thread | undefined>(undefined);
