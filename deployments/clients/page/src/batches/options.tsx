import { change, draft } from "./draft.js";
import { endpoints, type Endpoint } from "./input.js";
import { Wrong } from "./wrong.js";

/** What a batch is called, and how it is run. wrong says what is wrong with a field. */
export function Options({ wrong }: { wrong: (field: string) => string }) {
  const { name, source, endpoint, window, deduplicate, metadata } = draft.value;
  return (
    <>
      <div class="pair">
        <div class="field">
          <label for="name">Name</label>
          <input id="name" value={name} maxLength={512} placeholder="optional" onInput={(event) => change({ name: event.currentTarget.value })} />
        </div>
        <div class="field">
          <label for="window">Completion window</label>
          <input
            id="window" value={window} list="windows" aria-invalid={wrong("completion_window") !== ""} aria-describedby="wrong-window window-hint"
            data-testid="batch-window" autocomplete="off" onInput={(event) => change({ window: event.currentTarget.value })}
          />
          <datalist id="windows">{["30m", "1h", "24h", "7d"].map((value) => <option key={value} value={value} />)}</datalist>
          <Wrong id="wrong-window" text={wrong("completion_window")} />
          <small id="window-hint">Lines without an answer by then expire: 1m to 7d.</small>
        </div>
      </div>
      {source === "file" && (
        <div class="field">
          <label for="endpoint">Endpoint of all lines</label>
          <select
            id="endpoint" value={endpoint} aria-invalid={wrong("endpoint") !== ""} aria-describedby="wrong-endpoint" data-testid="batch-endpoint"
            onChange={(event) => change({ endpoint: event.currentTarget.value as Endpoint })}
          >
            {endpoints.map((path) => <option key={path} value={path}>{path}</option>)}
          </select>
          <Wrong id="wrong-endpoint" text={wrong("endpoint")} />
        </div>
      )}
      <label class="check">
        <input type="checkbox" checked={deduplicate} data-testid="batch-deduplicate" onChange={(event) => change({ deduplicate: event.currentTarget.checked })} />
        <span>Ask only once what several lines have in common<br /><small>Lines with the same body share one answer.</small></span>
      </label>
      <details open={metadata !== "" || wrong("metadata") !== ""}>
        <summary>Metadata</summary>
        <div class="field">
          <label for="metadata">Pairs, one on each line, as name=value</label>
          <textarea
            id="metadata" rows={3} value={metadata} data-testid="batch-metadata" aria-invalid={wrong("metadata") !== ""} aria-describedby="wrong-metadata"
            onInput={(event) => change({ metadata: event.currentTarget.value })}
          />
          <Wrong id="wrong-metadata" text={wrong("metadata")} />
        </div>
      </details>
    </>
  );
}
