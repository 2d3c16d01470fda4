import { signal } from "@preact/signals";
import type { Conversation } from "@sluice/client";
import { useEffect, useRef } from "preact/hooks";
import { go, hrefOf, route } from "../route.js";
import { drawer } from "../shell.js";
import { Button, IconButton } from "../ui/button.js";
import { Icon } from "../ui/icon.js";
import { Menu } from "../ui/menu.js";
import { Spinner } from "../ui/piece.js";
import { toastError } from "../ui/toast.js";
import { Time } from "../ui/time.js";
import { clone, remove, rename } from "./control.js";
import { conversations, loaded, loadMore, more, search, watchList, words } from "./list.js";

const renaming = signal("");

/** The conversations, in the side bar. */
export function ChatSide() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(watchList, []);
  useEffect(() => shortcuts(field), []);
  return (
    <>
      <div class="side-tools">
        <Button icon="plus" onClick={begin} title="New conversation (Ctrl+Shift+O)">New conversation</Button>
        <div class="search" role="search">
          <Icon name="search" size={15} />
          <input
            ref={field} type="search" aria-label="Search conversations" placeholder="Search" value={words.value}
            onInput={(event) => search(event.currentTarget.value)}
            onKeyDown={(event) => { if (event.key === "Escape") { search(""); event.currentTarget.blur(); } }}
          />
          <kbd aria-hidden="true">Ctrl K</kbd>
        </div>
      </div>
      <nav class="conversations" aria-label="Conversations">
        {!loaded.value && <div class="quiet"><Spinner label="Loading conversations" /></div>}
        {loaded.value && conversations.value.length === 0 && <p class="quiet">{words.value ? "Nothing found." : "Nothing was said yet."}</p>}
        <ul>{conversations.value.map((one) => <Row key={one.id} conversation={one} />)}</ul>
        {more.value && <div class="quiet"><Button small kind="quiet" onClick={() => void loadMore().catch(toastError)}>Show more</Button></div>}
      </nav>
    </>
  );
}

export function begin(): void {
  go({ view: "chat" });
  drawer.value = false;
}

function shortcuts(field: { current: HTMLInputElement | null }): () => void {
  const press = (event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey)) return;
    const letter = event.key.toLowerCase();
    if (letter === "k" && !event.shiftKey) {
      if (matchMedia("(max-width: 760px)").matches) drawer.value = true;
      requestAnimationFrame(() => field.current?.focus());
    } else if (letter === "o" && event.shiftKey) begin();
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", press);
  return () => removeEventListener("keydown", press);
}

function Row({ conversation }: { conversation: Conversation }) {
  const { id, name, active_at, live, match } = conversation;
  const here = route.value.view === "chat" && route.value.id === id;
  if (renaming.value === id) return <li class="row"><Rename conversation={conversation} /></li>;
  return (
    <li class={here ? "row here" : "row"}>
      <a href={hrefOf({ view: "chat", id })} aria-current={here ? "page" : undefined} onClick={() => { drawer.value = false; }} onDblClick={() => { renaming.value = id; }}>
        <span class="name">{name || "New conversation"}</span>
        {live.length > 0 && <span class="pulse" role="img" aria-label="An answer is being written" />}
        <Time at={active_at} />
        {words.value && match?.snippet && <span class="snippet">{match.snippet}</span>}
      </a>
      <Menu
        label={`More about ${name || "New conversation"}`}
        choices={[
          { label: "Rename", icon: "edit", run: () => { renaming.value = id; } },
          { label: "Copy", icon: "clone", run: () => void clone(id) },
          { label: "Delete", icon: "trash", danger: true, run: () => void remove(conversation) },
        ]}
      />
    </li>
  );
}

function Rename({ conversation: { id, name } }: { conversation: Conversation }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const done = () => {
    if (renaming.peek() !== id) return;
    renaming.value = "";
    const text = field.current?.value.trim() ?? "";
    if (text && text !== name) void rename(id, text);
  };
  return (
    <form class="rename" onSubmit={(event) => { event.preventDefault(); done(); }}>
      <input
        ref={field} aria-label="Name of the conversation" maxLength={200} defaultValue={name} onBlur={done}
        onKeyDown={(event) => { if (event.key === "Escape") { event.stopPropagation(); renaming.value = ""; } }}
      />
      <IconButton label="Save the name" icon="check" type="submit" size={16} />
    </form>
  );
}
