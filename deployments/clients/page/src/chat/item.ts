import type { Content, ConversationMessage } from "@sluice/client";
import type { Sending } from "./outbox.js";

/** What the view shows, in order: messages, and what is on its way to become one. */
export type Item = { key: string; message: ConversationMessage } | { key: string; sending: Sending };

/** The path with what is on its way: an edit comes in the place of what it edits, an answer anew in that of the last. */
export function itemsOf(path: readonly ConversationMessage[], sendings: readonly Sending[]): Item[] {
  let items: Item[] = path.map((message) => ({ key: message.id, message }));
  for (const sending of sendings) {
    const own: Item = { key: sending.key, sending };
    const refused = sending.refused !== undefined;
    if (sending.kind === "edit" && !refused) {
      const at = items.findIndex(({ key }) => key === sending.target);
      if (at >= 0) items = items.slice(0, at);
    } else if (sending.kind === "regenerate" && !refused) {
      const last = items.at(-1);
      if (last && "message" in last && last.message.role === "assistant") items = items.slice(0, -1);
    }
    items.push(own);
  }
  return items;
}

/** The text of what was said; parts that are none are named. */
export function textOf(content: Content | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => typeof part["text"] === "string" ? part["text"] : `[${String(part["type"])}]`).join("\n");
}

/** Whether text is all there is, so that it can be written anew without losing anything. */
export function isText(content: Content | null | undefined): boolean {
  return typeof content === "string" || (content ?? []).every((part) => part["type"] === "text");
}
