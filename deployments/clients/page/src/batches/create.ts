import { SluiceError, type Batch } from "@sluice/client";
import { newKey } from "../key.js";
import { call } from "../session.js";
import { clear, draft, file } from "./draft.js";
import { fileOf, maxBytes, metadataOf, promptsOf } from "./input.js";
import { begin } from "./store.js";
import { upload, type Sent } from "./upload.js";

/** What cannot be sent as it is. */
export class Fault extends Error {
  /** The field at fault, by its name in the API; source: the file or the prompts. */
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

let sent: { file: File; id: string } | undefined; // what was uploaded for a batch that could not be made yet
let once: { body: string; key: string } | undefined; // of a request whose answer may have got lost

/** Makes a batch of the draft. What is wrong is a Fault where a field is known, or else as the API says it; an abort is the signal's reason. */
export async function create(onSent: (sent: Sent | undefined) => void, signal: AbortSignal): Promise<Batch> {
  const input = inputOf();
  const { endpoint, window, deduplicate, source } = draft.peek();
  const metadata = labels();
  try {
    if (sent?.file !== input) sent = { file: input, id: await upload(input, onSent, signal) };
    onSent(undefined);
    const body = {
      input_file_id: sent.id, endpoint: source === "prompts" ? "/v1/chat/completions" : endpoint, completion_window: window.trim(), deduplicate, metadata,
    };
    const batch = await call<Batch>({ method: "POST", path: "/v1/batches", body, headers: { "Idempotency-Key": keyOf(JSON.stringify(body)) }, signal });
    sent = once = undefined;
    clear();
    begin(batch);
    return batch;
  } catch (error) {
    throw faultOf(error);
  }
}

function inputOf(): File {
  const { source, prompts: text, model, system } = draft.peek();
  if (source === "file") {
    const input = file.peek();
    if (!input) throw new Fault("source", "Choose a file first.");
    if (input.size === 0) throw new Fault("source", "The file is empty; a batch needs at least one line.");
    if (input.size > maxBytes) throw new Fault("source", "The file has more than 200 MB. Make several batches of it.");
    return input;
  }
  const prompts = promptsOf(text);
  if (prompts.length === 0) throw new Fault("source", "Write at least one prompt.");
  if (model.trim() === "") throw new Fault("model", "Choose a model.");
  return fileOf(prompts, model.trim(), system);
}

function labels(): Record<string, string> {
  const { name, metadata: text } = draft.peek();
  const read = metadataOf(text);
  if ("fault" in read) throw new Fault("metadata", read.fault);
  return name.trim() === "" ? read.metadata : { name: name.trim(), ...read.metadata };
}

function keyOf(body: string): string {
  if (once?.body !== body) once = { body, key: newKey() };
  return once.key;
}

const fields = ["endpoint", "completion_window", "metadata"];

function faultOf(error: unknown): unknown {
  if (!(error instanceof SluiceError) || error.param === null) return error;
  const { param, message } = error;
  if (param === "input_file_id") sent = undefined; // it has gone meanwhile
  if (param === "input_file_id" || param === "file") return new Fault("source", message);
  const field = fields.find((name) => param === name || param.startsWith(name + ".") || param.startsWith(name + "["));
  return field ? new Fault(field, message) : error;
}
