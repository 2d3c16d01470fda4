import type { Batch } from "@sluice/client";
import { useEffect, useMemo } from "preact/hooks";
import { plural } from "../figure.js";
import { hrefOf } from "../route.js";
import { Top } from "../top.js";
import { Badge, Empty, Spinner } from "../ui/piece.js";
import { Actions } from "./actions.js";
import { Beginning } from "./preview.js";
import { Facts } from "./facts.js";
import { Files } from "./files.js";
import { Live } from "./live.js";
import { Headline } from "./headline.js";
import { badgeOf, hasEnded, nameOf } from "./state.js";
import { Faults, Outcomes } from "./table.js";

/** One batch, as it goes on. */
export function Detail({ id }: { id: string }) {
  const live = useMemo(() => new Live(id), [id]);
  useEffect(() => () => live.close(), [live]);
  const batch = live.batch.value;
  return (
    <>
      <Top title={batch ? nameOf(batch) : "Batch"}>{batch && <State batch={batch} />}</Top>
      <div class="sheet" data-testid="batch">
        {batch ? <Body live={live} batch={batch} /> : <Nothing live={live} />}
      </div>
    </>
  );
}

function State({ batch }: { batch: Batch }) {
  const { label, tone } = badgeOf(batch);
  return <span role="status" data-testid="batch-state" data-state={batch.status}><Badge tone={tone}>{label}</Badge></span>;
}

function Nothing({ live }: { live: Live }) {
  if (!live.failure.value) return <p class="batch-hint"><Spinner label="Reading the batch" /></p>;
  return (
    <Empty icon="alert" title="There is nothing to show">
      <p role="alert">{live.failure.value.message}</p>
      <a class="button" href={hrefOf({ view: "batches" })}>New batch</a>
    </Empty>
  );
}

function Body({ live, batch }: { live: Live; batch: Batch }) {
  const faults = batch.errors?.data ?? [];
  return (
    <div class="batch">
      <Headline batch={batch} pace={() => live.pace()} />
      <div class="batch-actions">
        <Actions batch={batch} />
        <Files batch={batch} />
      </div>
      {faults.length > 0 && <Faults faults={faults} />}
      {batch.error_file_id && faults.length === 0 && <Beginning key={batch.error_file_id} file={batch.error_file_id} what="error" testId="batch-first-errors" />}
      <Lines live={live} batch={batch} />
      <Facts batch={batch} />
    </div>
  );
}

/** What has ended while somebody looked; of a batch that had ended before, how its answers begin. */
function Lines({ live, batch }: { live: Live; batch: Batch }) {
  const rows = live.lines.value, answers = batch.output_file_id;
  if (rows.length > 0) return <Outcomes caption={rows.length === 1 ? "The latest line to end" : `The latest ${plural(rows.length, "line")} to end`} rows={rows} testId="batch-lines" />;
  if (answers) return <Beginning key={answers} file={answers} what="answer" testId="batch-first-answers" />;
  return hasEnded(batch) ? null : <p class="batch-hint">Lines appear here as they end.</p>;
}
