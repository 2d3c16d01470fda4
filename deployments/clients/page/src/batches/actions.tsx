import type { Batch } from "@sluice/client";
import { useState } from "preact/hooks";
import { plural } from "../figure.js";
import { go } from "../route.js";
import { Button } from "../ui/button.js";
import { confirm } from "../ui/confirm.js";
import { toast, toastError } from "../ui/toast.js";
import { actsOf, hasEnded, nameOf } from "./state.js";
import { act } from "./store.js";

/** What may be done with the batch as it stands. */
export function Actions({ batch }: { batch: Batch }) {
  const [busy, setBusy] = useState(false);
  const can = actsOf(batch);
  if (!Object.values(can).includes(true)) return null;
  const run = (what: () => Promise<void>) => {
    setBusy(true);
    what().catch(toastError).finally(() => setBusy(false));
  };
  return (
    <div class="batch-group" role="group" aria-label="What can be done">
      {can.pause && <Button icon="pause" disabled={busy} testId="batch-pause" onClick={() => run(() => simply(batch, "pause"))}>Pause</Button>}
      {can.resume && <Button kind="main" icon="play" disabled={busy} testId="batch-resume" onClick={() => run(() => simply(batch, "resume"))}>Resume</Button>}
      {can.cancel && <Button icon="stop" disabled={busy} testId="batch-cancel" onClick={() => run(() => cancel(batch))}>Cancel…</Button>}
      {can.retry && (
        <Button icon="retry" disabled={busy} testId="batch-retry" onClick={() => run(() => retry(batch))}>
          Retry the {plural(batch.request_counts.failed, "failed line")}
        </Button>
      )}
    </div>
  );
}

async function simply(batch: Batch, what: "pause" | "resume"): Promise<void> {
  await act(batch.id, what);
}

async function cancel(batch: Batch): Promise<void> {
  const { total, completed, failed } = batch.request_counts;
  const yes = await confirm({
    title: `Cancel ${nameOf(batch)}?`,
    text: `${total > 0 ? `${plural(total - completed - failed, "line")} without an answer will fail. ` : ""}The answers that are there are kept, and the rest can be tried again later.`,
    yes: "Cancel the batch", no: "Let it run",
  });
  if (!yes) return;
  const now = await act(batch.id, "cancel");
  if (hasEnded(now)) toast("It had ended already.");
}

async function retry(batch: Batch): Promise<void> {
  const again = await act(batch.id, "retry");
  go({ view: "batches", id: again.id });
}
