import { signal } from "@preact/signals";
import { isFinal, SluiceError } from "@sluice/client";
import { followJob } from "../follow.js";
import { client } from "../session.js";
import { thread } from "./thread.js";

const count = 3;
const longest = 160; // characters of one
const patience = 60_000; // milliseconds

/** What the user might say next in the conversation that is open. */
export const suggestions = signal<readonly string[]>([]);

/** Asks for suggestions; none is no trouble. */
export async function suggest(conversation: string): Promise<void> {
  const version = thread.peek()?.conversation.peek()?.head;
  try {
    const job = await client.peek().conversations.suggestions(conversation, { count });
    for await (const event of followJob(job, 0, AbortSignal.timeout(patience))) {
      if (!isFinal(event)) continue;
      const text = event.type === "completed" ? event.result?.choices?.[0]?.message?.content : undefined;
      const still = thread.peek();
      if (typeof text === "string" && still?.id === conversation && still.conversation.peek()?.head === version) suggestions.value = linesOf(text);
    }
  } catch (error) {
    if (!(error instanceof SluiceError) && !(error instanceof DOMException)) throw error;
  }
}

/** One suggestion a line, whatever the model has put around it. */
export function linesOf(text: string): string[] {
  const lines = text.split("\n").map((line) => line.replace(/^\s*(?:[-*•]|\d+[.)])?\s*/, "").replace(/^["“'](.*)["”'],?$/, "$1").trim());
  return lines.filter((line) => line.length > 1 && line.length <= longest).slice(0, count);
}
