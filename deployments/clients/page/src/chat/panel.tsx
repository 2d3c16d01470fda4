import type { Parameters } from "@sluice/client";
import { useState } from "preact/hooks";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Field } from "../ui/piece.js";
import { change } from "./control.js";
import { fresh, setSuggesting, suggesting } from "./draft.js";
import { models, parameters } from "./model.js";
import { thread } from "./thread.js";

/** A parameter that is a number, and what it may be. */
interface Dial {
  name: "temperature" | "top_p" | "presence_penalty" | "frequency_penalty" | "max_completion_tokens" | "context_messages" | "context_tokens";
  label: string;
  min: number;
  max: number;
  step: number;
  hint?: string;
}

const dials: readonly Dial[] = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, hint: "0 to 2" },
  { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.01, hint: "0 to 1" },
  { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, hint: "−2 to 2" },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.1, hint: "−2 to 2" },
  { name: "max_completion_tokens", label: "Longest answer", min: 1, max: 10_000_000, step: 1, hint: "tokens" },
  { name: "context_messages", label: "Messages sent along", min: 1, max: 10_000, step: 1, hint: "at most" },
  { name: "context_tokens", label: "Tokens sent along", min: 1, max: 4_000_000, step: 1, hint: "at most, about" },
];

const efforts = ["minimal", "low", "medium", "high"];
const mostStops = 4;

/** With what the conversation's answers are asked for. Empty fields leave it to the tenant's and the server's defaults. */
export function Panel({ onClose }: { onClose: () => void }) {
  const open = thread.value;
  const conversation = open?.conversation.value;
  const fixed = conversation !== undefined && conversation.head !== null;
  const [system, setSystem] = useState(open ? conversation?.system ?? "" : fresh.peek().system);
  const [values, setValues] = useState<Parameters>(parameters.peek());
  const [round, setRound] = useState(0); // the fields begin anew
  const save = () => {
    void change(fixed ? undefined : system, clean(values));
    onClose();
  };
  return (
    <Dialog title="How to answer" kind="panel" onClose={onClose}>
      <form class="panel-form" onSubmit={(event) => { event.preventDefault(); save(); }}>
        <Field label="System message" hint={fixed ? "It is fixed once something was said." : "What the model is to be and to keep to."}>
          <textarea rows={5} readOnly={fixed} value={system} onInput={(event) => setSystem(event.currentTarget.value)} />
        </Field>
        <Field label="Model">
          <select value={values.model ?? ""} onChange={(event) => setValues(put(values, "model", event.currentTarget.value || undefined))}>
            <option value="">Default model</option>
            {[...new Set([...models.value, ...values.model ? [values.model] : []])].map((model) => <option key={model} value={model}>{model}</option>)}
          </select>
        </Field>
        <div class="dials">
          {dials.map((dial) => <NumberField key={`${round} ${dial.name}`} dial={dial} values={values} onChange={setValues} />)}
          <Field label="Reasoning effort">
            <select value={values.reasoning_effort ?? ""} onChange={(event) => setValues(put(values, "reasoning_effort", event.currentTarget.value || undefined))}>
              <option value="">Default</option>
              {efforts.map((effort) => <option key={effort} value={effort}>{effort}</option>)}
            </select>
          </Field>
        </div>
        <Field label="Stops" hint="Up to four texts at which the answer ends, one a line.">
          <textarea rows={2} value={(values.stop ?? []).join("\n")} onInput={(event) => setValues(put(values, "stop", event.currentTarget.value.split("\n")))} />
        </Field>
        <label class="check">
          <input type="checkbox" checked={suggesting.value} onChange={(event) => setSuggesting(event.currentTarget.checked)} />
          Suggest what to ask next
        </label>
        <footer>
          <Button onClick={() => { setValues({}); setRound(round + 1); }}>Use defaults</Button>
          <Button kind="main" type="submit">Save</Button>
        </footer>
      </form>
    </Dialog>
  );
}

interface NumberProps {
  dial: Dial;
  values: Parameters;
  onChange: (values: Parameters) => void;
}

function NumberField({ dial: { name, label, hint, ...bounds }, values, onChange }: NumberProps) {
  return (
    <Field label={label} {...(hint ? { hint } : {})}>
      <input
        type="number" inputMode="decimal" placeholder="Default" {...bounds} defaultValue={values[name] ?? ""}
        onInput={(event) => {
          const { valueAsNumber, validity } = event.currentTarget;
          if (!validity.badInput) onChange(put(values, name, isNaN(valueAsNumber) ? undefined : valueAsNumber));
        }}
      />
    </Field>
  );
}

/** The parameters with one of them changed, or without it. */
function put<K extends keyof Parameters>(values: Parameters, name: K, value: Parameters[K] | undefined): Parameters {
  const next = { ...values };
  if (value === undefined) delete next[name];
  else next[name] = value;
  return next;
}

function clean(values: Parameters): Parameters {
  const stop = (values.stop ?? []).filter((text) => text.trim() !== "").slice(0, mostStops);
  return put(values, "stop", stop.length > 0 ? stop : undefined);
}
