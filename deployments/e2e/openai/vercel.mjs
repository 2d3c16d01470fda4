// Calls of Vercel's AI SDK: package ai with its provider for OpenAI. Their argument is {model, prompt}.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const tools = {
  get_weather: tool({
    description: "Tells the weather.",
    inputSchema: z.object({ location: z.string() }),
    execute: ({ location }) => `sunny in ${location}`,
  }),
};

async function stream(model, { args: [{ prompt }], abort, headers }, seen) {
  const leave = new AbortController();
  let failed;
  const result = streamText({ model, prompt, headers, maxRetries: 0, abortSignal: leave.signal, onError: ({ error }) => (failed = error) });
  for await (const part of result.fullStream) {
    if (part.type === "abort") seen.aborted = true;
    if (part.type !== "text-delta") continue;
    seen.events.push(part.text);
    if (seen.events.length === abort) leave.abort();
  }
  if (failed) throw failed;
  if (abort) return;
  seen.text = await result.text;
  seen.body = { finish_reason: await result.finishReason, usage: await result.totalUsage };
}

async function useTool(model, { args: [{ prompt }], headers }, seen) {
  const result = await generateText({ model, prompt, tools, headers, maxRetries: 0, stopWhen: stepCountIs(3) });
  seen.text = result.text;
  seen.body = { steps: result.steps.map((step) => ({ calls: step.toolCalls, results: step.toolResults })) };
}

const provider = ({ url, key }) => createOpenAI({ baseURL: url, apiKey: key });
const chat = (order) => provider(order).chat(order.args[0].model);
const responses = (order) => provider(order).responses(order.args[0].model);

export const calls = {
  "vercel.chat.stream": (order, seen) => stream(chat(order), order, seen),
  "vercel.chat.tool": (order, seen) => useTool(chat(order), order, seen),
  "vercel.responses.stream": (order, seen) => stream(responses(order), order, seen),
  "vercel.responses.tool": (order, seen) => useTool(responses(order), order, seen),
};
