import { useEffect, useRef, useState } from "preact/hooks";
import { bytes } from "../figure.js";
import { go } from "../route.js";
import { Top } from "../top.js";
import { Button } from "../ui/button.js";
import { Bar } from "../ui/piece.js";
import { create, Fault } from "./create.js";
import { change, draft } from "./draft.js";
import { Choose, useDrop } from "./choose.js";
import { List } from "./list.js";
import { narrow } from "./narrow.js";
import { Options } from "./options.js";
import { Prompts } from "./prompts.js";
import { batches } from "./store.js";
import type { Sent } from "./upload.js";

/** Makes a batch. On a narrow screen, where the side bar is a drawer, the list is here, and the form waits to be asked for. */
export function New() {
  const [open, setOpen] = useState(draft.value.prompts !== "");
  const folded = narrow.value && !open && batches.value?.length !== 0;
  return (
    <>
      <Top title={folded ? "Batches" : "New batch"} />
      <div class="sheet">
        <div class="batch">
          {folded && <Button kind="main" icon="plus" testId="batch-new" onClick={() => setOpen(true)}>New batch</Button>}
          {batches.value?.length === 0 && <Welcome />}
          {!folded && <Form />}
          {narrow.value && <List heading="All batches" />}
        </div>
      </div>
    </>
  );
}

function Welcome() {
  return (
    <div class="batch-welcome">
      <h2>Many requests at once, in the background</h2>
      <p>
        A batch runs every line of a file and gives you a file of answers. It never delays conversations, goes on when you
        close this page, and can be paused, cancelled and tried again. To see how it is, write some prompts below.
      </p>
    </div>
  );
}

const sources = [["file", "A JSONL file"], ["prompts", "Prompts"]] as const;

/** What goes on with the form: undefined while it is filled in; sent is undefined once all was. */
type Work = { sent: Sent | undefined; stop: AbortController } | undefined;

function Form() {
  const [work, setWork] = useState<Work>(undefined);
  const [fault, setFault] = useState<Error | undefined>(undefined);
  const over = useDrop();
  const form = useRef<HTMLFormElement>(null);
  const stop = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  useEffect(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus(), [fault]);

  const submit = async () => {
    const control = new AbortController();
    stop.current = control;
    setFault(undefined);
    setWork({ sent: { loaded: 0, total: 0 }, stop: control });
    try {
      const { id } = await create((sent) => setWork({ sent, stop: control }), control.signal);
      go({ view: "batches", id });
    } catch (error) {
      if (!control.signal.aborted) setFault(error as Error);
    } finally {
      setWork(undefined);
    }
  };
  const wrong = (field: string) => fault instanceof Fault && fault.field === field ? fault.message : "";
  return (
    <form ref={form} class="batch-form" data-testid="batch-form" noValidate onSubmit={(event) => { event.preventDefault(); if (!work) void submit(); }}>
      <fieldset class="segments">
        <legend class="hidden">What the batch is made of</legend>
        {sources.map(([value, label]) => (
          <label key={value}>
            <input
              type="radio" name="source" value={value} checked={draft.value.source === value}
              onChange={() => { setFault(undefined); change({ source: value }); }}
            />
            <span>{label}</span>
          </label>
        ))}
      </fieldset>
      {draft.value.source === "file" ? <Choose wrong={wrong("source")} over={over} /> : <Prompts wrong={wrong("source")} wrongModel={wrong("model")} />}
      <Options wrong={wrong} />
      <div class="wrong" role="alert">{fault && !(fault instanceof Fault) && fault.message}</div>
      {work ? <Working work={work} /> : <div><Button kind="main" type="submit" testId="batch-start">Start the batch</Button></div>}
    </form>
  );
}

function Working({ work: { sent, stop } }: { work: NonNullable<Work> }) {
  const stopping = <Button onClick={() => stop.abort(new DOMException("The upload was stopped.", "AbortError"))}>Stop</Button>;
  if (!sent) return <div class="working"><span role="status">Making the batch…</span></div>;
  const share = sent.total > 0 ? sent.loaded / sent.total : 0;
  return (
    <div class="working" data-testid="batch-upload">
      <span>Sending {bytes(sent.loaded)}{sent.total > 0 && ` of ${bytes(sent.total)}`}</span>
      <Bar value={share} label="Sending the file" />
      {stopping}
    </div>
  );
}
