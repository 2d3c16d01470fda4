import { count } from "../figure.js";
import { Grid } from "../ui/grid.js";
import { Badge } from "../ui/piece.js";
import type { UpstreamReport } from "./types.js";

const states = {
  ok: { label: "Well", tone: "good" },
  degraded: { label: "Fails for some", tone: "warn" },
  failing: { label: "Failing", tone: "bad" },
  idle: { label: "Idle", tone: "plain" },
} as const;

const heads = [
  { name: "Name" }, { name: "State" }, { name: "Workers", kind: "number" }, { name: "Calls under way", kind: "number" },
  { name: "Calls ended", kind: "number" }, { name: "Errors", kind: "wide" },
] as const;

/** What the live workers say of the upstreams. */
export function Upstreams({ upstreams }: { upstreams: readonly UpstreamReport[] }) {
  if (upstreams.length === 0) return null;
  return (
    <Grid caption="Upstreams, in the last minute" heads={heads} testId="upstreams">
      {upstreams.map(({ name, state, workers, running, calls, errors }) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          <td><Badge tone={states[state].tone}>{states[state].label}</Badge></td>
          <td class="number">{count(workers)}</td>
          <td class="number">{count(running)}</td>
          <td class="number">{count(calls)}</td>
          <td><Codes errors={errors} /></td>
        </tr>
      ))}
    </Grid>
  );
}

/** Error codes and how often each was, the most frequent first. */
function Codes({ errors }: { errors: Record<string, number> }) {
  const codes = Object.entries(errors).sort(([, a], [, b]) => b - a);
  if (codes.length === 0) return <>none</>;
  return <span class="bad">{codes.map(([code, n]) => `${code} × ${n}`).join(", ")}</span>;
}
