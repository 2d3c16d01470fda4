import type { BatchError } from "@sluice/client";
import { count } from "../figure.js";
import { Grid } from "../ui/grid.js";
import type { Outcome } from "./outcome.js";

/** Lines that have ended, and what came of them. */
export function Outcomes({ caption, rows, testId }: { caption: string; rows: readonly Outcome[]; testId: string }) {
  const numbered = rows.some(({ line }) => line !== undefined);
  const counted = rows.some(({ tokens }) => tokens !== undefined);
  const heads = [
    ...(numbered ? [{ name: "Line", kind: "number" } as const] : []),
    { name: "Name" }, { name: "Outcome" }, { name: rows.some(({ ok }) => ok) ? "Answer" : "Why", kind: "wide" } as const,
    ...(counted ? [{ name: "Tokens", kind: "number" } as const] : []),
  ];
  return (
    <Grid caption={caption} heads={heads} testId={testId}>
      {rows.map(({ line, name, ok, code, text, tokens }, i) => (
        <tr key={line ?? i}>
          {numbered && <td class="number">{line}</td>}
          <td class="name">{name}</td>
          <td class={ok ? "good" : "bad"}>{ok ? "Answered" : code || "Failed"}</td>
          <td class="wide"><div class="clamp">{text}</div></td>
          {counted && <td class="number">{tokens === undefined ? "" : count(tokens)}</td>}
        </tr>
      ))}
    </Grid>
  );
}

const faultHeads = [{ name: "Line", kind: "number" }, { name: "Code" }, { name: "Field" }, { name: "What", kind: "wide" }] as const;

/** What is wrong with the file of a batch. */
export function Faults({ faults }: { faults: readonly BatchError[] }) {
  return (
    <Grid caption="What is wrong with the file" heads={faultHeads} testId="batch-faults">
      {faults.map(({ line, code, param, message }, i) => (
        <tr key={i}>
          <td class="number">{line ?? "all"}</td>
          <td class="bad">{code}</td>
          <td class="name">{param}</td>
          <td class="wide">{message}</td>
        </tr>
      ))}
    </Grid>
  );
}
