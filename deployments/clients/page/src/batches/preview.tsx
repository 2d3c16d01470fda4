import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { beginningOf } from "./beginning.js";
import type { Outcome } from "./outcome.js";
import { Outcomes } from "./table.js";

/** The first lines of a file of a batch. */
export function Beginning({ file, what, testId }: { file: string; what: string; testId: string }) {
  const rows = useMemo(() => signal<readonly Outcome[]>([]), []);
  const wrong = useMemo(() => signal(""), []);
  useEffect(() => {
    const stop = new AbortController();
    beginningOf(file, stop.signal).then(
      (read) => { rows.value = read; },
      (error: Error) => { if (!stop.signal.aborted) wrong.value = error.message; },
    );
    return () => stop.abort();
  }, []);
  if (wrong.value) return <p class="batch-hint">{wrong.value}</p>;
  const n = rows.value.length;
  if (n === 0) return null;
  return <Outcomes caption={n === 1 ? `The first ${what}` : `The first ${n} ${what}s`} rows={rows.value} testId={testId} />;
}
