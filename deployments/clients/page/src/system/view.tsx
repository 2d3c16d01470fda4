import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Top } from "../top.js";
import { Icon } from "../ui/icon.js";
import { Empty, Spinner } from "../ui/piece.js";
import { Failures } from "./failures.js";
import { Lanes } from "./lanes.js";
import { RateTiles } from "./rates.js";
import { failure, forbidden, report, watchSystem } from "./store.js";
import type { Report } from "./types.js";
import { Upstreams } from "./upstreams.js";
import { Workers } from "./workers.js";
import "./system.css";

/** How the whole installation is, for those whose key has the scope system. */
export function System() {
  useEffect(watchSystem, []);
  const now = report.value;
  return (
    <>
      <Top title="System">{now && !forbidden.value && <small class="soft">Version {now.version}</small>}</Top>
      <div class="sheet" data-testid="system">
        {forbidden.value ? <Forbidden /> : now ? <Body report={now} /> : <Nothing />}
      </div>
    </>
  );
}

function Forbidden() {
  return (
    <Empty icon="system" title="This key may not see the system">
      <p>It takes an API key with the scope <code>system</code>. Who runs this installation can make one:</p>
      <p><code>sluice keys create --tenant NAME --scope read,submit,system</code></p>
    </Empty>
  );
}

function Nothing() {
  if (!failure.value) return <p class="soft"><Spinner label="Looking at the system" /></p>;
  return <Empty icon="alert" title="The system cannot be seen"><p role="alert">{failure.value.message}</p></Empty>;
}

function Body({ report: { queue_ready, workers, rates, lanes, upstreams, at } }: { report: Report }) {
  return (
    <div class="system">
      {failure.value && <Notice>What is shown is not of now: {failure.value.message}</Notice>}
      {!queue_ready && <Notice>The queue does not answer. Jobs are accepted, and enqueued as soon as it does.</Notice>}
      {!workers.some(({ alive }) => alive) && <Notice>No worker is alive: what is accepted waits until one is.</Notice>}
      <RateTiles rates={rates} />
      <Lanes lanes={lanes} />
      <Upstreams upstreams={upstreams} />
      <Workers workers={workers} now={Date.parse(at)} />
      <Failures />
    </div>
  );
}

function Notice({ children }: { children: ComponentChildren }) {
  return <p class="notice" role="status"><Icon name="alert" size={17} /><span>{children}</span></p>;
}
