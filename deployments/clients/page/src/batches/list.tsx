import type { Batch } from "@sluice/client";
import { useEffect, useState } from "preact/hooks";
import { brief, count } from "../figure.js";
import { hrefOf } from "../route.js";
import { drawer } from "../shell.js";
import { Icon } from "../ui/icon.js";
import { Button } from "../ui/button.js";
import { Badge, Spinner } from "../ui/piece.js";
import { Time } from "../ui/time.js";
import { toastError } from "../ui/toast.js";
import { Progress } from "./progress.js";
import { badgeOf, hasEnded, nameOf } from "./state.js";
import { batches, failure, more, readMore, refresh, watchList } from "./store.js";

interface Props {
  /** The batch that is looked at. */
  current?: string | undefined;
  /** What stands above the list, in place of the way to a new batch. */
  heading?: string;
}

/** The tenant's batches, newest first. */
export function List({ current, heading }: Props) {
  useEffect(watchList, []);
  return (
    <nav class="batch-list" aria-label="Batches">
      {heading ? <h2>{heading}</h2> : <NewLink here={current === undefined} />}
      <Items current={current} />
    </nav>
  );
}

function NewLink({ here }: { here: boolean }) {
  return (
    <a
      class="button" href={hrefOf({ view: "batches" })} aria-current={here ? "page" : undefined} data-testid="batch-new"
      onClick={() => { drawer.value = false; }}
    >
      <Icon name="plus" size={17} />New batch
    </a>
  );
}

function Items({ current }: { current: string | undefined }) {
  const items = batches.value;
  if (!items) {
    if (!failure.value) return <p class="batch-hint"><Spinner label="Reading the batches" /></p>;
    return <p class="batch-hint" role="alert">{failure.value.message} <Button small onClick={() => void refresh()}>Try again</Button></p>;
  }
  if (items.length === 0) return <p class="batch-hint">No batches yet. What you start is listed here.</p>;
  return (
    <div class="batch-scroll">
      <ul>
        {items.map((batch) => <Item key={batch.id} batch={batch} current={batch.id === current} />)}
      </ul>
      {more.value && <More />}
    </div>
  );
}

function Item({ batch, current }: { batch: Batch; current: boolean }) {
  const { label, tone } = badgeOf(batch);
  const { total, completed, failed } = batch.request_counts;
  return (
    <li>
      <a
        href={hrefOf({ view: "batches", id: batch.id })} aria-current={current ? "page" : undefined} data-testid="batch-item"
        onClick={() => { drawer.value = false; }}
      >
        <span class="batch-name">{nameOf(batch)}</span>
        <span class="batch-line">
          <Badge tone={tone}>{label}</Badge>
          <small>{total > 0 && (hasEnded(batch) ? `${brief(total)} ${total === 1 ? "line" : "lines"}` : `${count(completed + failed)} of ${brief(total)}`)}</small>
          <small class="batch-when"><Time at={batch.created_at * 1_000} /></small>
        </span>
        {!hasEnded(batch) && total > 0 && <Progress total={total} completed={completed} failed={failed} label={`Progress of ${nameOf(batch)}`} />}
      </a>
    </li>
  );
}

function More() {
  const [busy, setBusy] = useState(false);
  const read = () => {
    setBusy(true);
    readMore().catch(toastError).finally(() => setBusy(false));
  };
  return <Button kind="quiet" small disabled={busy} onClick={read} testId="batch-more">Older batches</Button>;
}
