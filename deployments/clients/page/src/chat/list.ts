import { signal } from "@preact/signals";
import { SluiceError, type Conversation } from "@sluice/client";
import { client } from "../session.js";

const pageSize = 40;
const mostAtOnce = 100; // that the server gives
const pace = 20_000; // milliseconds between two looks at a list that nothing was heard of

/** The conversations in the side bar, latest activity first. */
export const conversations = signal<readonly Conversation[]>([]);
export const loaded = signal(false);
export const more = signal(false);
/** What is searched for. */
export const words = signal("");

let wanted = 0; // the latest look; what an earlier one brings is not shown
let busy = false;
let again = false;

const tabs = new BroadcastChannel("sluice.conversations");
tabs.onmessage = () => void refresh();

/** Reads the list anew, as long as it is shown. */
export async function refresh(): Promise<void> {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    await read();
  } finally {
    busy = false;
    if (again) {
      again = false;
      void refresh();
    }
  }
}

async function read(): Promise<void> {
  const mine = ++wanted, q = words.peek().trim();
  try {
    const shown = conversations.peek().length, found = new Map<string, Conversation>();
    for (let on = true, after: string | undefined; on;) { // as many as are shown, or somebody who has gone far down would lose the place
      const limit = Math.min(mostAtOnce, Math.max(pageSize, shown - found.size));
      const page = await client.peek().conversations.list({ limit, after, q: q || undefined });
      if (mine !== wanted) return;
      for (const one of page.data) if (!found.has(one.id)) found.set(one.id, one);
      more.value = page.has_more;
      after = page.data.at(-1)?.id;
      on = page.has_more && found.size < shown;
    }
    conversations.value = [...found.values()];
    loaded.value = true;
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error; // the banner says that the server is away
  }
}

export async function loadMore(): Promise<void> {
  const known = conversations.peek(), last = known.at(-1), mine = wanted;
  if (!last || !more.peek()) return;
  const page = await client.peek().conversations.list({ limit: pageSize, after: last.id, q: words.peek().trim() || undefined });
  if (mine !== wanted) return;
  const there = new Set(known.map(({ id }) => id));
  conversations.value = [...known, ...page.data.filter(({ id }) => !there.has(id))];
  more.value = page.has_more;
}

let typing: ReturnType<typeof setTimeout> | undefined;

/** Searches, once nothing was typed for a moment. */
export function search(text: string): void {
  words.value = text;
  wanted++;
  clearTimeout(typing);
  typing = setTimeout(() => void refresh(), 180); // somebody who types on is not asked for at each letter
}

/** Shows what has become of a conversation, here and in the other tabs. */
export function noteConversation(changed: Conversation, { tell = true } = {}): void {
  const known = conversations.peek();
  const before = known.find(({ id }) => id === changed.id);
  if (before && before.version === changed.version) return;
  if (!before && words.peek()) return;
  const next = before ? known.map((one) => one.id === changed.id ? { ...one, ...changed } : one) : [changed, ...known];
  conversations.value = next.toSorted((a, b) => b.active_at.localeCompare(a.active_at));
  if (tell) tabs.postMessage("changed");
}

export function dropConversation(gone: string): void {
  conversations.value = conversations.peek().filter(({ id }) => id !== gone);
  tabs.postMessage("changed");
}

/** Looks now and then, and when a person comes back. It returns what ends that. */
export function watchList(): () => void {
  void refresh();
  const look = () => { if (!document.hidden) void refresh(); };
  const timer = setInterval(look, pace);
  document.addEventListener("visibilitychange", look);
  addEventListener("online", look);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", look);
    removeEventListener("online", look);
  };
}
