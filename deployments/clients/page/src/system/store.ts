import { computed, signal } from "@preact/signals";
import { SluiceError, type Lane } from "@sluice/client";
import { call } from "../session.js";
import type { Failure, Rates, Report } from "./types.js";

const every = 2_000; // milliseconds between two looks
const failuresEvery = 5; // looks, of which one is also at what has failed
const reach = 300_000; // milliseconds that the history goes back

/** What is kept of a report to draw lines of. Everything is gone with the page. */
export interface Sample {
  at: number; // milliseconds, by our own clock
  rates: Rates;
  lanes: Partial<Record<Lane, { waiting: number | null; running: number }>>;
}

export const report = signal<Report | undefined>(undefined);
export const history = signal<readonly Sample[]>([]);

/** What has failed of late, the newest first; undefined until it was read. */
export const failures = signal<readonly Failure[] | undefined>(undefined);

/** Why the last look saw nothing. */
export const failure = signal<Error | undefined>(undefined);

/** Whether the key does not have the scope. */
export const forbidden = computed(() => failure.value instanceof SluiceError && failure.value.status === 403);

/** How many failures are asked for. */
export const wanted = signal(20);

/** Looks again and again while the page is to be seen. Returns what ends that. */
export function watchSystem(): () => void {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let looks = 0, busy = false;
  const run = async () => {
    clearTimeout(timer);
    if (document.hidden || busy) return;
    busy = true;
    await look(stop.signal);
    if (!failure.peek() && looks++ % failuresEvery === 0) await lookAtFailures(stop.signal);
    busy = false;
    if (!stop.signal.aborted && !forbidden.peek()) timer = setTimeout(() => void run(), every);
  };
  document.addEventListener("visibilitychange", () => void run(), { signal: stop.signal });
  void run();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

async function look(signal: AbortSignal): Promise<void> {
  try {
    const said = await call<Report>({ method: "GET", path: "/v1/system", signal });
    report.value = said;
    failure.value = undefined;
    const now = Date.now();
    history.value = [...history.peek().filter(({ at }) => at > now - reach), sampleOf(said, now)];
  } catch (error) {
    if (!signal.aborted) failure.value = error as Error;
  }
}

function sampleOf({ rates, lanes }: Report, at: number): Sample {
  const sample: Sample = { at, rates: rates.last_minute, lanes: {} };
  for (const { lane, queue, running } of lanes) sample.lanes[lane] = { waiting: queue?.waiting ?? null, running };
  return sample;
}

/** Reads what has failed of late. Where that fails, what was known stays. */
export async function lookAtFailures(signal?: AbortSignal): Promise<void> {
  try {
    failures.value = (await call<{ data: Failure[] }>({ method: "GET", path: `/v1/system/failures?limit=${wanted.peek()}`, signal })).data;
  } catch {
    // the look at the system says why
  }
}

/** Tries a failure again, whosever it is; whether that had been done before. */
export async function retry({ tenant, id }: Failure): Promise<{ id: string; replayed: boolean }> {
  const path = `/v1/system/failures/${encodeURIComponent(tenant)}/${encodeURIComponent(id)}/retry`;
  const again = await call<{ id: string; replayed: boolean }>({ method: "POST", path });
  failures.value = failures.peek()?.map((one) => one.tenant === tenant && one.id === id ? { ...one, retry: again.id } : one);
  return again;
}
