import { brief } from "../figure.js";
import { history, type Sample } from "./store.js";

const shortest = 60_000; // milliseconds from the left edge to the right one, at least
const gap = 6_000; // milliseconds without a look that interrupt the line
const wide = 240, high = 40, edge = 2;

interface Props {
  /** What it shows, for those who do not see it. */
  label: string;
  value: (sample: Sample) => number | null;
}

/** The course of a figure over the last minutes, as far as this page has looked. */
export function Spark({ label, value }: Props) {
  const samples = history.value, now = samples.at(-1)?.at ?? 0;
  const values = samples.map(value).filter((n) => n !== null);
  const top = Math.max(1, ...values);
  const reach = Math.max(shortest, now - (samples[0]?.at ?? now));
  const x = (at: number) => wide - (now - at) * wide / reach;
  const y = (n: number) => high - edge - n * (high - 2 * edge) / top;
  const runs = runsOf(samples, value).map((run) => run.map(([at, n]) => [x(at), y(n)] as const));
  const said = values.length === 0 ? "nothing known" : `now ${brief(values.at(-1) ?? 0)}, at most ${brief(Math.max(...values))} in the last minutes`;
  return (
    <svg class="spark" viewBox={`0 0 ${wide} ${high}`} preserveAspectRatio="none" role="img" aria-label={`${label}: ${said}`}>
      {runs.map((run, i) => {
        const line = run.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
        return (
          <g key={i}>
            <polygon points={`${run[0]?.[0].toFixed(1)},${high} ${line} ${run.at(-1)?.[0].toFixed(1)},${high}`} />
            <polyline points={line} />
          </g>
        );
      })}
    </svg>
  );
}

/** The stretches of time in which the figure was known. */
function runsOf(samples: readonly Sample[], value: Props["value"]): [at: number, n: number][][] {
  const runs: [number, number][][] = [];
  let last = -Infinity;
  for (const sample of samples) {
    const n = value(sample);
    if (n === null) continue;
    if (sample.at - last > gap) runs.push([]);
    runs.at(-1)?.push([sample.at, n]);
    last = sample.at;
  }
  return runs.filter((run) => run.length > 1);
}
