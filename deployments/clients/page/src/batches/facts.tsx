import type { Batch } from "@sluice/client";
import type { ComponentChildren } from "preact";
import { count, moment, span } from "../figure.js";
import { hrefOf } from "../route.js";
import { CopyButton } from "../ui/copy.js";
import { endOf, hasEnded } from "./state.js";

/** Everything else that is known of a batch. */
export function Facts({ batch }: { batch: Batch }) {
  const { usage, retry_of: before } = batch;
  const end = endOf(batch);
  return (
    <section class="batch-facts" aria-labelledby="facts">
      <h2 id="facts">Details</h2>
      <dl>
        <Fact name="Batch"><code>{batch.id}</code> <CopyButton label="Copy the batch's id" text={() => batch.id} /></Fact>
        {before && <Fact name="Retries"><a href={hrefOf({ view: "batches", id: before })}><code>{before}</code></a></Fact>}
        <Fact name="Endpoint"><code>{batch.endpoint}</code></Fact>
        {batch.model && <Fact name="Model"><code>{batch.model}</code></Fact>}
        <Fact name="Made"><When at={batch.created_at} /></Fact>
        {batch.in_progress_at !== null && <Fact name="Began to run"><When at={batch.in_progress_at} /></Fact>}
        {end !== null && <Fact name="Ended"><When at={end} />{batch.in_progress_at !== null && `, ran ${span(Math.max(1, end - batch.in_progress_at))}`}</Fact>}
        {!hasEnded(batch) && batch.expires_at !== null && <Fact name="Must end by"><When at={batch.expires_at} /></Fact>}
        <Fact name="Completion window">{batch.completion_window}</Fact>
        <Fact name="Tokens in">{count(usage.input_tokens)}{cached(usage.input_tokens_details.cached_tokens)}</Fact>
        <Fact name="Tokens out">{count(usage.output_tokens)}{reasoned(usage.output_tokens_details.reasoning_tokens)}</Fact>
        <Fact name="Same lines">{batch.deduplicate ? "share one answer" : "are each asked"}</Fact>
        <Fact name="Input file"><code>{batch.input_file_id}</code></Fact>
        {batch.output_file_id && <Fact name="Output file"><code>{batch.output_file_id}</code></Fact>}
        {batch.error_file_id && <Fact name="Error file"><code>{batch.error_file_id}</code></Fact>}
        {Object.entries(batch.metadata ?? {}).map(([name, value]) => <Fact key={name} name={name} own>{value}</Fact>)}
      </dl>
    </section>
  );
}

function Fact({ name, own, children }: { name: string; own?: boolean; children: ComponentChildren }) {
  return <div><dt class={own ? "own" : ""}>{name}</dt><dd>{children}</dd></div>;
}

function When({ at }: { at: number }) {
  const when = new Date(at * 1_000);
  return <time dateTime={when.toISOString()}>{moment(when)}</time>;
}

const cached = (n: number) => n > 0 && `, ${count(n)} of them cached`;
const reasoned = (n: number) => n > 0 && `, ${count(n)} of them reasoning`;
