import type { BatchError } from "@sluice/client";
import { count } from "../figure.js";
import type { Outcome } from "./outcome.js";

/** Lines that have ended, and what came of them. */
export function Outcomes({ caption, rows, testId }: { caption: string; rows: readonly Outcome[]; testId: string }) {
  const numbered = rows.some(({ line }) => line !== undefined);
  const counted = rows.some(({ tokens }) => tokens !== undefined);
  return (
    <div class="table-scroll" role="region" aria-label={caption} tabIndex={0}>
      <table class="grid" data-testid={testId}>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {numbered && <th scope="col" class="number">Line</th>}
            <th scope="col">Name</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="wide">{rows.some(({ ok }) => ok) ? "Answer" : "Why"}</th>
            {counted && <th scope="col" class="number">Tokens</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ line, name, ok, code, text, tokens }, i) => (
            <tr key={line ?? i}>
              {numbered && <td class="number">{line}</td>}
              <td class="name">{name}</td>
              <td class={ok ? "good" : "bad"}>{ok ? "Answered" : code || "Failed"}</td>
              <td class="wide"><div class="clamp">{text}</div></td>
              {counted && <td class="number">{tokens === undefined ? "" : count(tokens)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What is wrong with the file of a batch. */
export function Faults({ faults }: { faults: readonly BatchError[] }) {
  const caption = "What is wrong with the file";
  return (
    <div class="table-scroll" role="region" aria-label={caption} tabIndex={0}>
      <table class="grid" data-testid="batch-faults">
        <caption>{caption}</caption>
        <thead>
          <tr><th scope="col" class="number">Line</th><th scope="col">Code</th><th scope="col">Field</th><th scope="col" class="wide">What</th></tr>
        </thead>
        <tbody>
          {faults.map(({ line, code, param, message }, i) => (
            <tr key={i}>
              <td class="number">{line ?? "all"}</td>
              <td class="bad">{code}</td>
              <td class="name">{param}</td>
              <td class="wide">{message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
