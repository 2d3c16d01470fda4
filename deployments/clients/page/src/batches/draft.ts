import { signal } from "@preact/signals";
import type { Endpoint } from "./input.js";

/** A batch that is about to be made. It survives a reload, except for the file, which a page cannot keep. */
export interface Draft {
  source: "file" | "prompts";
  prompts: string;
  model: string;
  system: string;
  name: string;
  endpoint: Endpoint;
  window: string;
  deduplicate: boolean;
  /** name=value, one on each line. */
  metadata: string;
}

const place = "sluice.batches.draft";
const blank: Draft = {
  source: "file", prompts: "", model: "", system: "", name: "", endpoint: "/v1/chat/completions", window: "24h", deduplicate: false, metadata: "",
};

export const draft = signal<Draft>(kept());

/** The file that was chosen. */
export const file = signal<File | undefined>(undefined);

export function change(part: Partial<Draft>): void {
  draft.value = { ...draft.peek(), ...part };
  try {
    sessionStorage.setItem(place, JSON.stringify(draft.peek()));
  } catch {
    // a text that is too long to be kept is not kept
  }
}

/** What was made is no draft any more; how somebody likes it stays. */
export function clear(): void {
  file.value = undefined;
  change({ prompts: "", name: "", metadata: "" });
}

function kept(): Draft {
  try {
    return { ...blank, ...JSON.parse(sessionStorage.getItem(place) ?? "{}") as Partial<Draft> };
  } catch {
    return blank;
  }
}
