import { brief, count, span } from "../figure.js";
import { Spark } from "./spark.js";
import type { Sample } from "./store.js";
import type { Rates, Windows } from "./types.js";

interface Figure {
  name: string;
  value: (rates: Rates) => number | null;
  show: (n: number) => string;
  unit: string;
}

const perMinute = { show: count, unit: "a minute" };

const figures: readonly Figure[] = [
  { name: "Accepted", value: (r) => r.accepted, ...perMinute },
  { name: "Completed", value: (r) => r.completed, ...perMinute },
  { name: "Failed", value: (r) => r.failed + r.expired, ...perMinute },
  { name: "Retried", value: (r) => r.retried, ...perMinute },
  { name: "Output tokens", value: (r) => r.output_tokens_per_second, show: brief, unit: "a second" },
  { name: "First delta, p50", value: (r) => r.first_delta.p50_seconds, show: span, unit: "" },
];

/** What goes on at present, as figures and as lines. */
export function RateTiles({ rates }: { rates: Windows }) {
  return (
    <section aria-labelledby="rates">
      <h2 id="rates">Now</h2>
      <div class="tiles">
        {figures.map((figure) => <Tile key={figure.name} figure={figure} rates={rates} />)}
      </div>
    </section>
  );
}

function Tile({ figure: { name, value, show, unit }, rates }: { figure: Figure; rates: Windows }) {
  const now = value(rates.last_minute), quarter = value(rates.last_15_minutes);
  return (
    <div class="tile">
      <h3>{name}</h3>
      <p><strong>{now === null ? "–" : show(now)}</strong>{unit && <span>{unit}</span>}</p>
      <Spark label={name} value={(sample: Sample) => value(sample.rates)} />
      <small>15 min: {quarter === null ? "–" : show(quarter)}</small>
    </div>
  );
}
