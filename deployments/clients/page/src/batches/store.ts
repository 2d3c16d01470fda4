import { computed, signal } from "@preact/signals";
import type { Batch } from "@sluice/client";
import { call } from "../session.js";
import { hasEnded } from "./state.js";

interface Page {
  data: Batch[];
  last_id: string | null;
  has_more: boolean;
}

const known = signal<ReadonlyMap<string, Batch>>(new Map());
const shown = signal<readonly string[]>([]);

/** The batches of the list, newest first; undefined until it was read. */
export const batches = computed(() => listed.value ? shown.value.flatMap((id) => known.value.get(id) ?? []) : undefined);

/** Whether there are older ones. */
export const more = signal(false);

/** Why the list could not be read. */
export const failure = signal<Error | undefined>(undefined);

const listed = signal(false);

/** What is known of one batch. */
export function batchOf(id: string): Batch | undefined {
  return known.value.get(id);
}

/** Takes what the API or an event has said of a batch. */
export function learn(batch: Batch): void {
  const before = known.peek().get(batch.id);
  known.value = new Map(known.peek()).set(batch.id, before ? latest(before, batch) : batch);
}

/** A batch that was just made: it is at the top of the list. */
export function begin(batch: Batch): void {
  learn(batch);
  shown.value = [batch.id, ...shown.peek().filter((id) => id !== batch.id)];
}

/** Events are ahead of what is stored: no count goes back, and what has ended stays so. */
function latest(before: Batch, said: Batch): Batch {
  if (hasEnded(before) && !hasEnded(said)) return before;
  const old = before.request_counts, counts = said.request_counts;
  const back = !hasEnded(said) && counts.completed + counts.failed < old.completed + old.failed;
  return { ...said, errors: said.errors ?? before.errors, ...(back ? { request_counts: old, usage: before.usage } : {}) };
}

/** Reads the first page anew; pages behind it that were read stay. */
export async function refresh(signal?: AbortSignal): Promise<void> {
  try {
    const { data, has_more } = await call<Page>({ method: "GET", path: "/v1/batches?limit=20", signal });
    const first = data.map(({ id }) => id), last = first.at(-1);
    data.forEach(learn);
    const at = last === undefined ? -1 : shown.peek().indexOf(last);
    const behind = at < 0 ? [] : shown.peek().slice(at + 1);
    if (behind.length === 0) more.value = has_more;
    shown.value = [...first, ...behind];
    listed.value = true;
    failure.value = undefined;
  } catch (error) {
    if (!signal?.aborted) failure.value = error as Error;
  }
}

/** Reads the page behind the last one. */
export async function readMore(): Promise<void> {
  const after = shown.peek().at(-1) ?? "";
  const { data, has_more } = await call<Page>({ method: "GET", path: `/v1/batches?limit=20&after=${encodeURIComponent(after)}` });
  data.forEach(learn);
  shown.value = [...new Set([...shown.peek(), ...data.map(({ id }) => id)])];
  more.value = has_more;
}

const lively = 2_000; // milliseconds between two looks while something goes on
const calm = 15_000; // otherwise
const away = 4_000; // after one that has failed

/** Keeps the list as it is on the server, while somebody looks at it. Returns what ends that. */
export function watchList(): () => void {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    await refresh(stop.signal);
    if (stop.signal.aborted) return;
    clearTimeout(timer); // another look may have begun meanwhile
    timer = setTimeout(() => void look(), failure.peek() ? away : batches.peek()?.every(hasEnded) ? calm : lively);
  };
  document.addEventListener("visibilitychange", () => void look(), { signal: stop.signal });
  void look();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

/** Pauses, resumes, cancels or tries again; a retry brings the new batch. */
export async function act(id: string, what: "pause" | "resume" | "cancel" | "retry"): Promise<Batch> {
  const batch = await call<Batch>({ method: "POST", path: `/v1/batches/${encodeURIComponent(id)}/${what}` });
  if (what === "retry") begin(batch);
  else learn(batch);
  return batch;
}
