import type { BatchEvent } from "@sluice/client";
import { client } from "../session.js";

export function followBatch(id: string, options: { after: number; signal: AbortSignal }): AsyncGenerator<BatchEvent, void, undefined> {
  return client.peek().followBatch(id, options);
}
