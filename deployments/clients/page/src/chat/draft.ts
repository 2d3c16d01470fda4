import { signal } from "@preact/signals";
import type { Parameters } from "@sluice/client";

const textPlace = "sluice.draft.";
const parametersPlace = "sluice.parameters";
const systemPlace = "sluice.system";

/** What is being written in a conversation ("": a new one). It survives a reload. */
export function draftOf(conversation: string): string {
  return localStorage.getItem(textPlace + conversation) ?? "";
}

export function keepDraft(conversation: string, text: string): void {
  if (text) localStorage.setItem(textPlace + conversation, text);
  else localStorage.removeItem(textPlace + conversation);
}

export function moveDraft(from: string, to: string): void {
  keepDraft(to, draftOf(from));
  keepDraft(from, "");
}

/** What the next conversation begins with: the parameters of the last one that was begun, and its own system message. */
export const fresh = signal<{ system: string; parameters: Parameters }>({
  system: sessionStorage.getItem(systemPlace) ?? "", parameters: storedParameters(),
});

export function setFresh(system: string, parameters: Parameters): void {
  fresh.value = { system, parameters };
  localStorage.setItem(parametersPlace, JSON.stringify(parameters));
  if (system) sessionStorage.setItem(systemPlace, system);
  else sessionStorage.removeItem(systemPlace);
}

function storedParameters(): Parameters {
  try {
    return JSON.parse(localStorage.getItem(parametersPlace) ?? "{}") as Parameters;
  } catch {
    return {};
  }
}

const suggestPlace = "sluice.suggest";

/** Whether suggestions are asked for after an answer; by default where there is a mouse. */
export const suggesting = signal((localStorage.getItem(suggestPlace) ?? (matchMedia("(pointer: coarse)").matches ? "off" : "on")) === "on");

export function setSuggesting(on: boolean): void {
  suggesting.value = on;
  localStorage.setItem(suggestPlace, on ? "on" : "off");
}
