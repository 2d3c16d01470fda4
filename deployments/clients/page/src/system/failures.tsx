import { useState } from "preact/hooks";
import { moment } from "../figure.js";
import { Button } from "../ui/button.js";
import { CopyButton } from "../ui/copy.js";
import { Grid } from "../ui/grid.js";
import { Badge } from "../ui/piece.js";
import { toast, toastError } from "../ui/toast.js";
import { failures, lookAtFailures, retry, wanted } from "./store.js";
import type { Failure } from "./types.js";

const most = 100; // what the API shows

const heads = [
  { name: "When" }, { name: "Tenant" }, { name: "Model" }, { name: "Why", kind: "wide" }, { name: "Tries", kind: "number" }, { name: "Again" },
] as const;

/** What has failed of late, of all tenants. */
export function Failures() {
  const all = failures.value;
  if (!all) return null;
  if (all.length === 0) return <p class="soft" data-testid="failures">Nothing has failed of late.</p>;
  const more = () => {
    wanted.value = most;
    void lookAtFailures();
  };
  return (
    <div class="failures">
      <Grid caption="Recent failures" heads={heads} testId="failures">
        {all.map((failure) => <Row key={`${failure.tenant} ${failure.id}`} failure={failure} />)}
      </Grid>
      {all.length >= wanted.value && wanted.value < most && <Button kind="quiet" small onClick={more}>Older failures</Button>}
    </div>
  );
}

function Row({ failure }: { failure: Failure }) {
  const { tenant, id, state, lane, model, upstream, error, attempt, finished_at: at } = failure;
  return (
    <tr>
      <td class="still"><time dateTime={at}>{moment(new Date(at))}</time><br /><code class="soft" title={id}>…{id.slice(-8)}</code><CopyButton label={`Copy the id ${id}`} text={() => id} size={13} /></td>
      <td>{tenant}</td>
      <td>{model}<br /><small class="soft">{lane}</small></td>
      <td class="wide">
        {state === "expired" ? <Badge tone="warn">Expired</Badge> : <span class="bad">{error.code}</span>}
        {upstream && <small class="soft"> {upstream}{error.upstream_status !== undefined && ` said ${error.upstream_status}`}</small>}
        <br />{error.message}
      </td>
      <td class="number">{attempt}</td>
      <td class="still"><Again failure={failure} /></td>
    </tr>
  );
}

function Again({ failure }: { failure: Failure }) {
  const [busy, setBusy] = useState(false);
  if (failure.retry) return <Badge tone="live">Retried</Badge>;
  if (failure.batch) return <small class="soft">with its batch</small>;
  const run = async () => {
    setBusy(true);
    try {
      const { id, replayed } = await retry(failure);
      toast(replayed ? `It is tried again already, as ${id}.` : `It is tried again, as ${id}.`);
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button small icon="retry" disabled={busy} testId="failure-retry" onClick={() => void run()}>
      Retry<span class="hidden"> the job {failure.id} of {failure.tenant}</span>
    </Button>
  );
}
