// Calls of the official SDK: package openai.
import OpenAI, { toFile } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const weather = z.object({ city: z.string(), degrees: z.number() });
const most = 50; // items that are read of a list

function connect({ url, key, headers, retries, timeout }) {
  return new OpenAI({ baseURL: url, apiKey: key, defaultHeaders: headers, maxRetries: retries ?? 0, ...(timeout && { timeout }) });
}

export function failure(err) {
  const { status, code, param, type, error, requestID } = err; // a DOMException's code is a number
  return { class: err.constructor.name, message: err.message, status, code: code == null ? "" : String(code), param, type, body: error, request_id: requestID };
}

function answered(seen, response) {
  seen.status = response.status;
  seen.headers = Object.fromEntries(response.headers);
}

async function collect(events, seen, { abort }, leave) {
  for await (const event of events) {
    seen.events.push(event);
    if (seen.events.length === (abort ?? most * 1000)) leave();
  }
}

// method calls the method of the client that order.call names, as "chat.completions.create".
export async function method(order, seen) {
  const path = order.call.split(".");
  const name = path.pop();
  const owner = path.reduce((object, step) => object[step], connect(order));
  const { data, response } = await owner[name](...order.args).withResponse();
  answered(seen, response);
  if (data?.getPaginatedItems) {
    seen.body = { data: data.data, has_more: data.has_more };
    for await (const item of data) if (seen.events.push(item) === most) break;
  } else if (data?.controller) {
    await collect(data, seen, order, () => data.controller.abort());
  } else if (data instanceof Response) {
    seen.text = await data.text();
  } else {
    seen.body = data;
  }
}

async function helper(stream, order, seen, final) {
  stream.on?.("error", () => {}); // the loop throws it too
  await collect(stream, seen, order, () => stream.abort());
  if (order.abort) return;
  seen.body = await final();
}

// content is the text of an upload of the table: {name, text}, or {name, lines}, where a line is JSON or a text.
function content({ text, lines }) {
  return text ?? lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)) + "\n").join("");
}

export const calls = {
  async "files.create"(order, seen) {
    const [{ file, ...body }] = order.args;
    if (file) body.file = await toFile(Buffer.from(content(file)), file.name);
    await method({ ...order, args: [body] }, seen);
  },

  async "chat.completions.stream"(order, seen) {
    const stream = connect(order).chat.completions.stream(...order.args);
    let text = "";
    stream.on("content", (delta) => (text += delta));
    await helper(stream, order, seen, () => stream.finalChatCompletion());
    seen.text = text;
  },

  // The functions answer with what they were called with.
  async "chat.completions.runTools"(order, seen) {
    const [body] = order.args;
    const tools = body.tools.map((tool) => ({ ...tool, function: { ...tool.function, parse: JSON.parse, function: (args) => `called with ${JSON.stringify(args)}` } }));
    const runner = connect(order).chat.completions.runTools({ ...body, tools });
    seen.text = await runner.finalContent();
    seen.body = { messages: runner.messages, completions: runner.allChatCompletions() };
  },

  async "chat.completions.parse"(order, seen) {
    const [body] = order.args;
    seen.body = await connect(order).chat.completions.parse({ ...body, response_format: zodResponseFormat(weather, "weather") });
  },

  async "responses.stream"(order, seen) {
    const stream = connect(order).responses.stream(...order.args);
    await helper(stream, order, seen, () => stream.finalResponse());
  },

  async "responses.parse"(order, seen) {
    const [body] = order.args;
    seen.body = await connect(order).responses.parse({ ...body, text: { format: zodTextFormat(weather, "weather") } });
  },
};
