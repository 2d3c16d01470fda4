import { ago, count, span } from "../figure.js";
import { Grid } from "../ui/grid.js";
import { Badge } from "../ui/piece.js";
import type { WorkerLane, WorkerReport } from "./types.js";

const heads = ["Worker", "State", "Interactive", "Batch", "Up for", "Version", "Heard of"].map((name) => ({ name }));

/** The workers, by their latest sign of life. now is the server's clock, in milliseconds. */
export function Workers({ workers, now }: { workers: readonly WorkerReport[]; now: number }) {
  if (workers.length === 0) return null;
  return (
    <Grid caption="Workers" heads={heads} testId="workers">
      {workers.map((worker) => (
        <tr key={worker.id}>
          <th scope="row">{worker.id}{worker.host && !worker.id.startsWith(worker.host) && <small class="soft"> on {worker.host}</small>}</th>
          <td><State worker={worker} /></td>
          <td class="still"><Lane lane={worker.lanes.find(({ lane }) => lane === "interactive")} now={now} /></td>
          <td class="still"><Lane lane={worker.lanes.find(({ lane }) => lane === "batch")} now={now} /></td>
          <td class="still">{worker.started_at && worker.alive ? span(Math.max(0, Math.round((now - Date.parse(worker.started_at)) / 1_000))) : "–"}</td>
          <td>{worker.version || "–"}</td>
          <td class="still">{ago(new Date(worker.seen_at), now)}</td>
        </tr>
      ))}
    </Grid>
  );
}

function State({ worker: { alive, draining } }: { worker: WorkerReport }) {
  if (!alive) return <Badge tone="bad">Gone</Badge>;
  return draining ? <Badge tone="warn">Draining</Badge> : <Badge tone="good">Alive</Badge>;
}

/** A worker's slots of a lane, and what holds it back there. */
function Lane({ lane, now }: { lane: WorkerLane | undefined; now: number }) {
  if (!lane) return <>–</>;
  const { running, slots, throttle } = lane;
  return (
    <>
      {count(running)} of {count(slots)}
      {throttle && <span class="warn"> · {held(throttle, now)}</span>}
    </>
  );
}

function held({ limit, waiting, until }: NonNullable<WorkerLane["throttle"]>, now: number): string {
  const left = !until ? 0 : Date.parse(until) - now;
  const how = left > 0 ? `paused for ${span(Math.ceil(left / 1_000))}` : `slowed to ${limit}`;
  return waiting > 0 ? `${how}, ${count(waiting)} held` : how;
}
