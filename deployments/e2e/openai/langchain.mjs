// Calls of LangChain JS: package @langchain/openai. Their argument is {model, prompt}.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const getWeather = tool(({ location }) => `sunny in ${location}`, {
  name: "get_weather",
  description: "Tells the weather.",
  schema: z.object({ location: z.string() }),
});

function connect({ url, key, headers, args: [{ model }] }, useResponsesApi) {
  return new ChatOpenAI({ model, apiKey: key, maxRetries: 0, useResponsesApi, configuration: { baseURL: url, defaultHeaders: headers } });
}

async function stream(model, { args: [{ prompt }], abort }, seen) {
  const leave = new AbortController();
  let whole;
  for await (const chunk of await model.stream(prompt, { signal: leave.signal })) {
    whole = whole ? whole.concat(chunk) : chunk;
    if (chunk.text) seen.events.push(chunk.text);
    if (seen.events.length === abort) leave.abort();
  }
  seen.text = whole.text;
  seen.body = { usage: whole.usage_metadata };
}

async function useTool(model, { args: [{ prompt }] }, seen) {
  const able = model.bindTools([getWeather]);
  const messages = [new HumanMessage(prompt), await able.invoke(prompt)];
  const calls = messages[1].tool_calls;
  for (const call of calls) messages.push(await getWeather.invoke(call));
  const last = await able.invoke(messages);
  seen.text = last.text;
  seen.body = { calls, results: messages.filter((message) => message instanceof ToolMessage).map((message) => message.content) };
}

export const calls = {
  "langchain.chat.stream": (order, seen) => stream(connect(order, false), order, seen),
  "langchain.chat.tool": (order, seen) => useTool(connect(order, false), order, seen),
  "langchain.responses.stream": (order, seen) => stream(connect(order, true), order, seen),
  "langchain.responses.tool": (order, seen) => useTool(connect(order, true), order, seen),
};
