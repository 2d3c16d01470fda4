import { SluiceError } from "@sluice/client";
import { request } from "./session.js";

const silence = 40_000; // milliseconds; the server says something every 15 seconds

/** One event of a stream. */
export interface ServerEvent {
  type: string;
  data: string;
}

/**
 * Reads an event stream until it ends, is cut, or is silent for too long: an EventSource cannot send the key. What the
 * server refuses is a SluiceError. onOpen is called once the stream is there.
 */
export async function* serverEvents(path: string, signal: AbortSignal, onOpen: () => void = () => {}): AsyncGenerator<ServerEvent, void, undefined> {
  const quiet = new AbortController();
  const hush = () => quiet.abort(new Error("The stream is silent."));
  let timer = setTimeout(hush, silence);
  try {
    const answer = await request(path, { headers: { Accept: "text/event-stream" }, signal: AbortSignal.any([signal, quiet.signal]) });
    if (!answer.ok || !answer.body) {
      const transient = answer.status >= 500 || answer.status === 429;
      throw new SluiceError(`The server answered ${answer.status}.`, { status: answer.status, code: `http_${answer.status}`, retryable: transient });
    }
    onOpen();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(hush, silence);
      const blocks = (rest + value).replaceAll("\r", "").split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}

/** One event's lines; undefined: a comment. */
function parse(block: string): ServerEvent | undefined {
  let type = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [name, value] = cut(line);
    if (name === "event") type = value;
    else if (name === "data") data.push(value);
  }
  return data.length > 0 ? { type, data: data.join("\n") } : undefined;
}

function cut(line: string): [name: string, value: string] {
  const at = line.indexOf(":");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
}
