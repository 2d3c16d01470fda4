import { effect, signal, untracked } from "@preact/signals";
import { SluiceError, type Conversation, type JobState, type Parameters, type Policy } from "@sluice/client";
import { newKey } from "../key.js";
import { go, route } from "../route.js";
import { access, client } from "../session.js";
import { confirm } from "../ui/confirm.js";
import { toast, toastError } from "../ui/toast.js";
import { fresh, moveDraft, setFresh, suggesting } from "./draft.js";
import { dropConversation, noteConversation, refresh } from "./list.js";
import { openOutbox, outbox, send, type Hooks } from "./outbox.js";
import { suggest, suggestions } from "./suggest.js";
import { Thread, thread } from "./thread.js";

/** Said to a screen reader. */
export const announcement = signal("");

/** The message that is being edited, by id. */
export const editing = signal("");

/** Counts what was sent here: the view goes to the end. */
export const sent = signal(0);

const asked = new Set<string>(); // answers that this tab has asked for

const hooks: Hooks = {
  onBegun: ({ key }, conversation) => {
    const { view } = route.peek();
    const waiting = outbox.peek().some((sending) => sending.key === key);
    if (view === "chat" && !idOf() && waiting) {
      moveDraft("", conversation); // what is being written by now belongs there
      go({ view: "chat", id: conversation }, { replace: true });
    }
    void refresh();
  },
  onTaken: (sending, turn) => {
    asked.add(turn.id);
    const open = thread.peek();
    if (open && open.id === sending.conversation) open.take(turn);
    else void refresh();
  },
};

effect(() => {
  if (access.value !== "in") return;
  untracked(() => openOutbox(hooks));
});

effect(() => {
  const id = idOf();
  if (access.value === "in") untracked(() => open(id));
});

function idOf(): string | undefined {
  const at = route.value;
  return at.view === "chat" ? at.id : undefined;
}

function open(id: string | undefined): void {
  if (thread.peek()?.id === id) return;
  thread.peek()?.close();
  editing.value = "";
  suggestions.value = [];
  if (!id) {
    thread.value = undefined;
    return;
  }
  const opened = new Thread(id);
  opened.onEnd = (answer, state) => ended(opened, answer, state);
  thread.value = opened;
}

const outcomes: Partial<Record<JobState, string>> = { completed: "Answer complete.", cancelled: "Answer stopped." };

function ended(opened: Thread, answer: string, state: JobState): void {
  announcement.value = "";
  setTimeout(() => { announcement.value = outcomes[state] ?? "The answer has failed."; }, 50); // the same words are said again
  if (state !== "completed" || !asked.delete(answer) || !suggesting.peek() || document.hidden) return;
  const waiting = (opened.conversation.peek()?.live ?? []).some((id) => id !== answer);
  if (!waiting && thread.peek() === opened) void suggest(opened.id);
}

/** Sends what was written; while an answer is written, the policy says what becomes of that. */
export function say(content: string, policy?: Policy): void {
  const conversation = idOf();
  const first = outbox.peek().find((sending) => sending.conversation === undefined && sending.begin);
  const place = conversation ? { conversation } : first ? { follows: first.key } : { begin: fresh.peek() };
  suggestions.value = [];
  sent.value++;
  send({ kind: "say", content, ...(policy ? { policy } : {}), ...place });
  if (!conversation) setFresh("", fresh.peek().parameters);
}

export function edit(target: string, content: string): void {
  const conversation = idOf();
  if (!conversation) return;
  editing.value = "";
  suggestions.value = [];
  sent.value++;
  send({ kind: "edit", conversation, target, content });
}

export function regenerate(): void {
  const conversation = idOf();
  if (!conversation) return;
  suggestions.value = [];
  sent.value++;
  send({ kind: "regenerate", conversation });
}

/** Ends an answer; its text so far stays. */
export async function stop(answer: string): Promise<void> {
  try {
    await client.peek().cancel(answer);
  } catch (error) {
    if (!(error instanceof SluiceError && error.status === 409)) toastError(error); // it has just ended by itself
  }
}

/** Ends the answer that is being written: the one that is heard, of which the conversation may not say so yet. */
export function stopCurrent(): boolean {
  const open = thread.peek();
  const heard = [...open?.lives.peek() ?? []].find(([, live]) => !live.over)?.[0];
  const first = heard ?? open?.conversation.peek()?.live[0];
  if (first) void stop(first);
  return first !== undefined;
}

export async function rate(message: string, rating: -1 | 0 | 1): Promise<void> {
  const open = thread.peek();
  if (!open) return;
  await doing(client.peek().conversations.rate(open.id, message, rating).then(() => open.refresh()));
}

export async function choose(message: string): Promise<void> {
  suggestions.value = [];
  await doing(thread.peek()?.choose(message) ?? Promise.resolve());
}

export async function rename(id: string, name: string): Promise<void> {
  await doing(client.peek().conversations.change(id, { name }).then(noted));
}

/** Changes what the open conversation answers with, or the next one, if none is open. */
export async function change(system: string | undefined, parameters: Parameters): Promise<void> {
  const open = thread.peek();
  if (!open) {
    setFresh(system ?? fresh.peek().system, parameters);
    return;
  }
  setFresh(fresh.peek().system, parameters);
  await doing(client.peek().conversations.change(open.id, { parameters, ...(system === undefined ? {} : { system }) }).then(noted));
}

export async function clone(id: string): Promise<void> {
  await doing(client.peek().conversations.clone(id, { idempotencyKey: newKey() }).then((made) => {
    noteConversation(made);
    go({ view: "chat", id: made.id });
    toast("This is the copy.");
  }));
}

export async function remove({ id, name }: Conversation): Promise<void> {
  const yes = await confirm({ title: "Delete this conversation?", text: `“${name || "New conversation"}” and all that was said in it will be gone.`, yes: "Delete" });
  if (!yes) return;
  await doing(client.peek().conversations.delete(id).then(() => {
    dropConversation(id);
    if (idOf() === id) go({ view: "chat" }, { replace: true });
  }));
}

function noted(changed: Conversation): void {
  noteConversation(changed);
  void thread.peek()?.refresh();
}

async function doing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    toastError(error);
  }
}
