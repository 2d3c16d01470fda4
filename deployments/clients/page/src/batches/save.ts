import { signal } from "@preact/signals";
import { SluiceError, type Batch } from "@sluice/client";
import { call, request } from "../session.js";

const large = 24_000_000; // bytes from which on a file is written to the disk while it comes, where the browser can
const many = 20_000; // lines that may come to that

/** A download that is under way. */
export interface Saving {
  loaded: number;
  /** Bytes; undefined: nobody knows. */
  total: number | undefined;
  cancel: () => void;
}

/** The downloads that are under way, by path. */
export const savings = signal<ReadonlyMap<string, Saving>>(new Map());

interface Picker {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<{ createWritable(): Promise<WritableStream<Uint8Array>> }>;
}

/** Downloads one of the tenant's files. A person who changes their mind is no error. */
export async function saveFile(id: string): Promise<void> {
  const { filename, bytes } = await call<{ filename: string; bytes: number }>({ method: "GET", path: `/v1/files/${encodeURIComponent(id)}` });
  await save(contentPath(id), filename, bytes, bytes >= large);
}

/** Downloads what a batch that goes on has so far. */
export async function saveSofar({ id, request_counts: { completed, failed } }: Batch): Promise<void> {
  await save(sofarPath(id), `${id}_so_far.jsonl`, undefined, completed + failed >= many);
}

/** Where savings has the download of a file, and that of what a batch has so far. */
export const contentPath = (file: string) => `/v1/files/${encodeURIComponent(file)}/content`;
export const sofarPath = (batch: string) => `/v1/batches/${encodeURIComponent(batch)}/results`;

async function save(path: string, name: string, total: number | undefined, big: boolean): Promise<void> {
  if (savings.peek().has(path)) return;
  const stop = new AbortController();
  try {
    const to = big ? await pick(name) : undefined;
    note(path, { loaded: 0, total, cancel: () => stop.abort() });
    const answer = await request(path, { signal: stop.signal });
    if (!answer.ok || !answer.body) throw await refusal(answer);
    const body = answer.body.pipeThrough(counted((loaded) => note(path, { loaded, total, cancel: () => stop.abort() })));
    if (to) await body.pipeTo(to, { signal: stop.signal });
    else keep(await new Response(body, { headers: { "Content-Type": "application/jsonl" } }).blob(), name);
  } catch (error) {
    if (!stop.signal.aborted && !(error instanceof DOMException && error.name === "AbortError")) throw error;
  } finally {
    note(path, undefined);
  }
}

/** Asks where to write a large file to; undefined where the browser cannot: it then keeps the file until it is whole. */
async function pick(name: string): Promise<WritableStream<Uint8Array> | undefined> {
  const { showSaveFilePicker } = window as Picker;
  if (!showSaveFilePicker) return undefined;
  return (await showSaveFilePicker.call(window, { suggestedName: name })).createWritable();
}

function keep(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // by then the browser has it
}

function counted(onCount: (loaded: number) => void): TransformStream<Uint8Array, Uint8Array> {
  let loaded = 0, told = 0;
  return new TransformStream({
    transform(chunk, to) {
      loaded += chunk.length;
      if (Date.now() - told > 200) {
        told = Date.now();
        onCount(loaded);
      }
      to.enqueue(chunk);
    },
  });
}

function note(path: string, saving: Saving | undefined): void {
  const next = new Map(savings.peek());
  if (saving) next.set(path, saving);
  else next.delete(path);
  savings.value = next;
}

async function refusal(answer: Response): Promise<SluiceError> {
  const { error } = await answer.json().catch(() => ({})) as { error?: { message?: string; code?: string } };
  return new SluiceError(error?.message ?? `The server answered ${answer.status}.`, {
    status: answer.status, code: error?.code ?? `http_${answer.status}`, retryable: answer.status >= 500,
  });
}
