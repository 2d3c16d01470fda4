import type { BatchLine, Json } from "@sluice/client";

/** One line that has ended, as a table shows it. */
export interface Outcome {
  /** From 1; undefined in the output files, which do not tell. */
  line: number | undefined;
  name: string;
  ok: boolean;
  /** The beginning of the answer, or what went wrong. */
  text: string;
  /** Of an error. */
  code: string;
  tokens: number | undefined;
}

const shown = 280; // characters of an answer

/** What a person is shown of a line of an event, of the results or of an output file. */
export function outcomeOf({ line, custom_id, response, error, truncated }: Partial<BatchLine>): Outcome {
  const status = response?.status_code ?? 0;
  const body = response?.body ?? null;
  const ok = !error && status > 0 && status < 400;
  const said = error ?? (ok ? undefined : objectOf(body?.["error"]));
  return {
    line, ok,
    name: custom_id ?? "",
    text: cut(ok ? (truncated ? "A long answer: the output file has it." : answerOf(body)) : textOf(said?.["message"]) || `The endpoint answered ${status}.`),
    code: ok ? "" : textOf(said?.["code"]) || (status ? String(status) : ""),
    tokens: ok ? tokensOf(body) : undefined,
  };
}

/** The text of an answer of any of the endpoints. */
function answerOf(body: { [name: string]: Json } | null): string {
  const choice = objectOf(listOf(body?.["choices"])[0]);
  if (choice) return textOf(objectOf(choice["message"])?.["content"]) || textOf(choice["text"]) || called(choice);
  const output = listOf(body?.["output"]).flatMap((item) => listOf(objectOf(item)?.["content"]));
  if (output.length > 0) return output.map((part) => textOf(objectOf(part)?.["text"])).join("");
  const vector = listOf(objectOf(listOf(body?.["data"])[0])?.["embedding"]);
  return vector.length > 0 ? `${vector.length} numbers` : "An answer without text.";
}

function called(choice: { [name: string]: Json }): string {
  const names = listOf(objectOf(choice["message"])?.["tool_calls"]).map((call) => textOf(objectOf(objectOf(call)?.["function"])?.["name"]));
  return names.length > 0 ? `Calls ${names.join(", ")}.` : "An answer without text.";
}

function tokensOf(body: { [name: string]: Json } | null): number | undefined {
  const total = objectOf(body?.["usage"])?.["total_tokens"];
  return typeof total === "number" ? total : undefined;
}

function cut(text: string): string {
  if (text.length <= shown) return text;
  return text.slice(0, /[\uD800-\uDBFF]/.test(text[shown - 1] ?? "") ? shown - 1 : shown) + "…";
}

function objectOf(value: unknown): { [name: string]: Json } | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as { [name: string]: Json } : undefined;
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value as Json[] : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
