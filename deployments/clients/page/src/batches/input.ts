/** What a batch can be made for. */
export const endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"] as const;

export type Endpoint = (typeof endpoints)[number];

/** The largest file that the API takes, in bytes. */
export const maxBytes = 200_000_000;

/** The lines of a text that are not blank. */
export function promptsOf(text: string): string[] {
  return text.split(/\r\n|\r|\n/).map((line) => line.trim()).filter((line) => line !== "");
}

/** A batch file that asks a model each of the prompts. */
export function fileOf(prompts: string[], model: string, system: string): File {
  const said = system.trim() === "" ? [] : [{ role: "system", content: system.trim() }];
  const lines = prompts.map((content, i) => JSON.stringify({
    custom_id: `prompt-${i + 1}`, method: "POST", url: "/v1/chat/completions",
    body: { model, messages: [...said, { role: "user", content }] },
  }) + "\n");
  return new File(lines, "prompts.jsonl", { type: "application/jsonl" });
}

const beginning = 256_000; // bytes of a file that are looked at before it is sent

/** The endpoint that a file's first line names, if it is one, so that a person need not choose it. */
export async function endpointOf(file: File): Promise<Endpoint | undefined> {
  const [line = ""] = (await file.slice(0, beginning).text()).replace(/^\uFEFF/, "").split("\n");
  try {
    const { url } = JSON.parse(line) as { url?: unknown };
    return endpoints.find((endpoint) => endpoint === url);
  } catch {
    return undefined; // the API says what is wrong with it
  }
}

/** Reads metadata as name=value lines; what is no such line is the fault. */
export function metadataOf(text: string): { metadata: Record<string, string> } | { fault: string } {
  const pairs: [string, string][] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const at = line.indexOf("=");
    if (at < 1) return { fault: `Line ${i + 1} is not name=value.` };
    pairs.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return { metadata: Object.fromEntries(pairs) };
}
