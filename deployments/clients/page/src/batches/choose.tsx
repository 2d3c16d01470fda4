import { useEffect, useState } from "preact/hooks";
import { bytes } from "../figure.js";
import { Icon } from "../ui/icon.js";
import { change, draft, file } from "./draft.js";
import { endpointOf } from "./input.js";
import { Wrong } from "./wrong.js";

const example = '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"…","messages":[{"role":"user","content":"Hello"}]}}';

/** Takes a file. over: one is held over the page, where it may be dropped. */
export function Choose({ wrong, over }: { wrong: string; over: boolean }) {
  const chosen = file.value;
  return (
    <div class="choose">
      <label class={over ? "drop over" : "drop"}>
        <input
          type="file" name="file" accept=".jsonl,.ndjson,.json,.txt,application/jsonl" class="hidden" data-testid="batch-file"
          aria-invalid={wrong !== ""} aria-describedby="wrong-source file-hint"
          onChange={(event) => { take(event.currentTarget.files); event.currentTarget.value = ""; }}
        />
        <Icon name="upload" size={24} />
        {chosen
          ? <span><strong>{chosen.name}</strong> <span class="soft">{bytes(chosen.size)}</span><br /><span class="link">Choose another</span></span>
          : <span><span class="link">Choose a file</span> or drop it here</span>}
      </label>
      <Wrong id="wrong-source" text={wrong} />
      <small id="file-hint" class="soft">One request on each line. At most 1,000,000 lines and 200 MB. Each line is checked before anything is run.</small>
      <details>
        <summary>What a line looks like</summary>
        <pre class="example" tabIndex={0}><code>{example}</code></pre>
      </details>
    </div>
  );
}

function take(files: FileList | null | undefined): void {
  const chosen = files?.[0];
  if (!chosen) return;
  const before = file.peek()?.name ?? "";
  file.value = chosen;
  const { name } = draft.peek();
  change({ source: "file", ...(name === "" || name === before ? { name: chosen.name } : {}) }); // a person may have another name for it
  void endpointOf(chosen).then((endpoint) => {
    if (endpoint && file.peek() === chosen) change({ endpoint });
  }, () => {}); // sending it will say why it cannot be read
}

/** Takes the file that is dropped anywhere on the page; whether one is held over it. */
export function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(true);
    }, { signal });
    addEventListener("dragleave", (event) => { if (event.relatedTarget === null) setOver(false); }, { signal });
    addEventListener("drop", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(false);
      take(event.dataTransfer.files);
    }, { signal });
    return () => stop.abort();
  }, []);
  return over;
}
