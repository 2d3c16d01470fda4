import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { go, route } from "../route.js";
import { Top } from "../top.js";
import { Button, IconButton } from "../ui/button.js";
import { Mark } from "../ui/mark.js";
import { Empty, Spinner } from "../ui/piece.js";
import { toastError } from "../ui/toast.js";
import { Answer } from "./answer.js";
import { Composer } from "./composer.js";
import { announcement, regenerate, sent } from "./control.js";
import { itemsOf, type Item } from "./item.js";
import { conversations } from "./list.js";
import { Outgoing, UserMessage } from "./message.js";
import { outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import { keepPlace, Scroll } from "./scroll.js";
import { begin } from "./side.js";
import { thread, type Thread } from "./thread.js";

const panel = signal(false);

/** A conversation, and where to write. */
export function Chat() {
  const open = thread.value;
  const id = route.value.view === "chat" ? route.value.id : undefined;
  const name = nameOf(open);
  useEffect(() => { document.title = id ? `${name || "…"} · Sluice` : "Sluice"; }, [id, name]);
  if (open?.missing.value) return <Missing />;
  return (
    <>
      <Top title={name}>
        <IconButton label="How to answer" icon="tune" onClick={() => { panel.value = true; }} />
        <IconButton class="opener" label="New conversation" icon="plus" onClick={begin} />
      </Top>
      <Messages open={open} id={id} />
      <Composer />
      <div class="hidden" role="status" aria-live="polite" data-testid="announcement">{announcement.value}</div>
      {panel.value && <Panel onClose={() => { panel.value = false; }} />}
    </>
  );
}

/** What the conversation is called; while it is read, what the list calls it. */
function nameOf(open: Thread | undefined): string {
  const fallback = "New conversation";
  if (!open) return fallback;
  const known = open.conversation.value ?? conversations.value.find(({ id }) => id === open.id);
  if (known) return known.name || fallback;
  return outbox.value.some(({ conversation }) => conversation === open.id) ? fallback : "";
}

function Missing() {
  return (
    <>
      <Top title="Not here" />
      <Empty icon="chat" title="There is no such conversation">
        <p>It was deleted, or belongs to somebody else.</p>
        <Button kind="main" onClick={() => go({ view: "chat" })}>Start a new one</Button>
      </Empty>
    </>
  );
}

function Messages({ open, id }: { open: Thread | undefined; id: string | undefined }) {
  const sendings = outbox.value.filter(({ conversation }) => conversation === id);
  const items = itemsOf(open?.messages.value ?? [], sendings);
  const loading = open !== undefined && open.conversation.value === undefined;
  if (items.length === 0 && !loading) return <Welcome />;
  return (
    <Scroll jump={`${id ?? ""} ${loading ? "" : "there"} ${sent.value}`}>
      {open?.older.value && <div class="earlier"><Button small onClick={() => void keepPlace(open.loadOlder()).catch(toastError)}>Show earlier messages</Button></div>}
      {loading && items.length === 0 && <div class="earlier"><Spinner label="Loading messages" /></div>}
      {items.map((item, n) => <One key={item.key} item={item} open={open} last={n === items.length - 1} />)}
      <Unanswered items={items} />
    </Scroll>
  );
}

function One({ item, open, last }: { item: Item; open: Thread | undefined; last: boolean }) {
  if ("sending" in item) return <Outgoing sending={item.sending} />;
  const { message } = item;
  if (message.role === "user") return <UserMessage message={message} />;
  const waiting = open?.conversation.value?.live ?? [];
  return <Answer message={message} live={open?.lives.value.get(message.id)} held={waiting.indexOf(message.id) > 0} last={last} />;
}

/** A question whose answer was lost. */
function Unanswered({ items }: { items: readonly Item[] }) {
  const last = items.at(-1);
  if (!last || !("message" in last) || last.message.role !== "user") return null;
  return <div class="earlier"><Button small icon="redo" onClick={regenerate}>Answer this</Button></div>;
}

function Welcome() {
  return (
    <div class="welcome">
      <Mark size={52} />
      <h2>What would you like to know?</h2>
      <p>Your answer is written even if you close this page, and is here when you come back.</p>
    </div>
  );
}
