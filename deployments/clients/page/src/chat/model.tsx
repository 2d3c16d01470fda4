import { computed, signal } from "@preact/signals";
import { SluiceError, type Parameters } from "@sluice/client";
import { useEffect } from "preact/hooks";
import { call } from "../session.js";
import { change } from "./control.js";
import { fresh } from "./draft.js";
import { thread } from "./thread.js";

/** The models that are served, by id. */
export const models = signal<readonly string[]>([]);

/** What the open conversation says, or the next one would. */
export const parameters = computed<Parameters>(() => {
  const open = thread.value;
  return open ? open.conversation.value?.parameters ?? {} : fresh.value.parameters;
});

export async function loadModels(): Promise<void> {
  try {
    models.value = (await call<{ data: { id: string }[] }>({ method: "GET", path: "/v1/models" })).data.map(({ id }) => id);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error; // the default will do
  }
}

export function chooseModel(model: string): void {
  const { model: _, ...rest } = parameters.peek();
  void change(undefined, model ? { ...rest, model } : rest);
}

/** Which model answers next. */
export function ModelChoice() {
  useEffect(() => void loadModels(), []);
  const chosen = parameters.value.model ?? "";
  const known = chosen && !models.value.includes(chosen) ? [chosen, ...models.value] : models.value;
  return (
    <select class="model" aria-label="Model" value={chosen} onFocus={() => void loadModels()} onChange={(event) => chooseModel(event.currentTarget.value)}>
      <option value="">Default model</option>
      {known.map((model) => <option key={model} value={model}>{model}</option>)}
    </select>
  );
}
