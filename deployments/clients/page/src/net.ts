import { computed, signal } from "@preact/signals";

const patience = 2_000; // milliseconds that something may be away before a person is told

/** What is away at present, by name. */
const away = signal<ReadonlySet<string>>(new Set());
const late = signal(false);
let timer: ReturnType<typeof setTimeout> | undefined;

/** Whether to say that we are reconnecting. */
export const reconnecting = computed(() => late.value && away.value.size > 0);

/** Notes that a connection is there or not. The name tells it from others; a connection that is given up is back. */
export function note(name: string, there: boolean): void {
  const known = away.peek();
  if (known.has(name) !== there) return;
  const next = new Set(known);
  if (there) next.delete(name);
  else next.add(name);
  away.value = next;
  if (next.size === 0) {
    clearTimeout(timer);
    timer = undefined;
    late.value = false;
  } else timer ??= setTimeout(() => { late.value = true; }, patience);
}

/** Notes whether the API has answered a request. */
export function noteReached(there: boolean): void {
  note("http", there);
}
