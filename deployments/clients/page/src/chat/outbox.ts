import { signal } from "@preact/signals";
import { SluiceError, type Content, type Parameters, type Policy, type Turn } from "@sluice/client";
import { backOff, pause } from "@sluice/client/wait";
import { newKey } from "../key.js";
import { client } from "../session.js";

const place = "sluice.outbox";

/** What a person wants to be done, until the server has taken it. */
export interface Sending {
  /** Its idempotency key: however often it is sent, it is done once. */
  key: string;
  kind: "say" | "edit" | "regenerate";
  /** undefined: a new one, which is made with begin. */
  conversation?: string;
  begin?: { system: string; parameters: Parameters };
  /** It belongs into the conversation that is made for what has this key. */
  follows?: string;
  /** Of an edit: the message in whose place it comes. */
  target?: string;
  content?: string;
  policy?: Policy;
  /** Why the server has refused it; it is not sent again by itself. */
  refused?: string;
}

/** What has not been taken yet, in order. It survives a reload. */
export const outbox = signal<readonly Sending[]>(stored());

export interface Hooks {
  /** A new conversation was made for it. */
  onBegun: (sending: Sending, conversation: string) => void;
  onTaken: (sending: Sending, turn: Turn) => void;
}

let hooks: Hooks = { onBegun: () => {}, onTaken: () => {} };
let running: Promise<void> | undefined;
let current = new AbortController();

/** Says who hears of what was taken, and sends what was left from before a reload. */
export function openOutbox(listener: Hooks): void {
  hooks = listener;
  work();
}

/** Sends; it is tried until the server has taken or refused it. */
export function send(sending: Omit<Sending, "key">): void {
  keep([...outbox.peek(), { ...sending, key: newKey() }]);
  work();
}

/** Gives it up. If it is on its way, the server may take it all the same. */
export function discard(key: string): void {
  const first = next()?.key === key;
  keep(bequeath(outbox.peek(), key).filter((sending) => sending.key !== key));
  if (first) {
    current.abort();
    current = new AbortController();
  }
}

/** Lets the first of those that follow what is given up make the conversation in its place. */
function bequeath(all: readonly Sending[], key: string): readonly Sending[] {
  const gone = all.find((sending) => sending.key === key), heir = all.find(({ follows }) => follows === key);
  if (!gone?.begin || !heir) return all;
  return all.map((sending) => {
    if (sending.follows !== key) return sending;
    const { follows: _, ...rest } = sending;
    return sending === heir ? { ...rest, ...(gone.begin ? { begin: gone.begin } : {}) } : { ...rest, follows: heir.key };
  });
}

/** Sends once more what was refused. */
export function sendAgain(key: string): void {
  change(key, ({ refused: _, ...rest }) => rest);
  work();
}

function next(): Sending | undefined {
  return outbox.peek().find(({ refused, conversation, begin }) => refused === undefined && (conversation !== undefined || begin));
}

function work(): void {
  running ??= drain().finally(() => {
    running = undefined;
    if (next()) work();
  });
}

async function drain(): Promise<void> {
  let failures = 0;
  for (let sending = next(); sending; sending = next()) {
    const { signal } = current;
    try {
      await one(sending, signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) continue;
      if (passing(error)) await pause(backOff(failures++), signal).catch(() => {}); // discarded in the meantime
      else change(sending.key, (refused) => ({ ...refused, refused: error instanceof Error ? error.message : String(error) }));
    }
  }
}

/** Whether the same may be taken in a moment: the server was not reached, or is not well. */
function passing(error: unknown): boolean {
  return error instanceof SluiceError && error.retryable && error.status !== 429;
}

async function one(sending: Sending, signal: AbortSignal): Promise<void> {
  const { conversations } = client.peek();
  let { conversation } = sending;
  if (conversation === undefined) {
    const made = await conversations.create({ ...sending.begin, idempotencyKey: sending.key + "-begin", signal });
    conversation = made.id;
    keep(outbox.peek().map((one) => one.key === sending.key || one.follows === sending.key ? { ...one, conversation: made.id } : one));
    hooks.onBegun(sending, made.id);
  }
  const turn = await ask(sending, conversation, signal);
  keep(outbox.peek().filter(({ key }) => key !== sending.key));
  hooks.onTaken({ ...sending, conversation }, turn);
}

function ask({ kind, target, content = "", policy, key }: Sending, conversation: string, signal: AbortSignal): Promise<Turn> {
  const { conversations } = client.peek();
  const options = { policy, idempotencyKey: key, signal };
  const said: Content = content;
  if (kind === "regenerate") return conversations.regenerate(conversation, options);
  if (kind === "edit" && target) return conversations.edit(conversation, target, said, options);
  return conversations.say(conversation, said, options);
}

function change(key: string, how: (sending: Sending) => Sending): void {
  keep(outbox.peek().map((sending) => sending.key === key ? how(sending) : sending));
}

function keep(all: readonly Sending[]): void {
  outbox.value = all;
  if (all.length > 0) sessionStorage.setItem(place, JSON.stringify(all));
  else sessionStorage.removeItem(place);
}

function stored(): Sending[] {
  try {
    return JSON.parse(sessionStorage.getItem(place) ?? "[]") as Sending[];
  } catch {
    return [];
  }
}
