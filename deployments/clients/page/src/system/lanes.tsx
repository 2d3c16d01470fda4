import { count, plural, span } from "../figure.js";
import { Spark } from "./spark.js";
import type { LaneReport } from "./types.js";

const names = { interactive: "Interactive lane", batch: "Batch lane" } as const;

/** The two lanes: what runs, what waits, and for how long. */
export function Lanes({ lanes }: { lanes: readonly LaneReport[] }) {
  return (
    <section aria-labelledby="lanes">
      <h2 id="lanes">Lanes</h2>
      <div class="cards">
        {lanes.map((lane) => <Lane key={lane.lane} lane={lane} />)}
      </div>
    </section>
  );
}

function Lane({ lane: { lane, slots, running, queue, rates } }: { lane: LaneReport }) {
  const { p50_seconds: p50, p95_seconds: p95 } = rates.last_minute.first_delta;
  return (
    <article class="card" aria-labelledby={`lane-${lane}`} data-testid={`lane-${lane}`}>
      <header>
        <h3 id={`lane-${lane}`}>{names[lane]}</h3>
        <span>{running} of {plural(slots, "slot")} busy</span>
      </header>
      <div
        class="progress" role="progressbar" aria-label={`Slots of the ${lane} lane that are busy`} aria-valuemin={0} aria-valuemax={slots}
        aria-valuenow={Math.min(running, slots)}
      >
        <div class="progress-good" style={{ width: `${slots > 0 ? Math.min(100, running * 100 / slots) : 0}%` }} />
      </div>
      <dl>
        <Fact name="Waiting" value={queue && count(queue.waiting)} strong />
        <Fact name="Longest wait" value={queue && (queue.oldest_waiting_seconds === null ? "–" : span(queue.oldest_waiting_seconds))} />
        <Fact name="Taken" value={queue && count(queue.active)} />
        <Fact name="To be retried" value={queue && count(queue.retrying)} />
        <Fact name="Scheduled" value={queue && count(queue.scheduled)} />
        <Fact name="Unreadable" value={queue && count(queue.unreadable)} bad={(queue?.unreadable ?? 0) > 0} />
        <Fact name="First delta, median" value={p50 === null ? "–" : span(p50)} />
        <Fact name="First delta, 95 %" value={p95 === null ? "–" : span(p95)} />
      </dl>
      <Spark label={`Waiting in the ${lane} lane`} value={(sample) => sample.lanes[lane]?.waiting ?? null} />
      <small>Waiting, over the last minutes</small>
    </article>
  );
}

function Fact({ name, value, strong, bad }: { name: string; value: string | null; strong?: boolean; bad?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={`${strong ? "strong" : ""}${bad ? " bad" : ""}`}>{value ?? "not known"}</dd>
    </div>
  );
}
