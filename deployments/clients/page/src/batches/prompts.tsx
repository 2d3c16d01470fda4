import { useEffect } from "preact/hooks";
import { plural } from "../figure.js";
import { toastError } from "../ui/toast.js";
import { change, draft } from "./draft.js";
import { promptsOf } from "./input.js";
import { models, readModels } from "./models.js";
import { Wrong } from "./wrong.js";

/** Takes prompts, of which the page makes the file. */
export function Prompts({ wrong, wrongModel }: { wrong: string; wrongModel: string }) {
  const { prompts, system } = draft.value;
  return (
    <>
      <div class="field">
        <label for="prompts">Prompts, one on each line</label>
        <textarea
          id="prompts" rows={7} value={prompts} data-testid="batch-prompts" placeholder={"Name a river in Europe.\nName a river in Asia."}
          aria-invalid={wrong !== ""} aria-describedby="wrong-source prompt-count" onInput={(event) => change({ prompts: event.currentTarget.value })}
        />
        <Wrong id="wrong-source" text={wrong} />
        <small id="prompt-count">{plural(promptsOf(prompts).length, "prompt")}</small>
      </div>
      <div class="pair">
        <Model wrong={wrongModel} />
        <div class="field">
          <label for="system">System message, for all of them</label>
          <input id="system" value={system} placeholder="none" onInput={(event) => change({ system: event.currentTarget.value })} />
        </div>
      </div>
    </>
  );
}

function Model({ wrong }: { wrong: string }) {
  useEffect(() => { readModels().catch(toastError); }, []);
  const served = models.value ?? [];
  const chosen = draft.value.model;
  const first = served[0];
  useEffect(() => { if (chosen === "" && first) change({ model: first }); }, [chosen, first]);
  const common = { id: "model", "data-testid": "batch-model", "aria-invalid": wrong !== "", "aria-describedby": "wrong-model" } as const;
  return (
    <div class="field">
      <label for="model">Model</label>
      {served.length > 0
        ? (
          <select {...common} value={chosen} onChange={(event) => change({ model: event.currentTarget.value })}>
            {(chosen === "" || served.includes(chosen) ? served : [chosen, ...served]).map((id) => <option key={id} value={id}>{id}</option>)}
          </select>
        )
        : <input {...common} value={chosen} onInput={(event) => change({ model: event.currentTarget.value })} />}
      <Wrong id="wrong-model" text={wrong} />
    </div>
  );
}
