import type { ConversationMessage } from "@sluice/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../ui/button.js";
import { CopyButton } from "../ui/copy.js";
import { Spinner } from "../ui/piece.js";
import { choose, edit, editing } from "./control.js";
import { isText, textOf } from "./item.js";
import { discard, sendAgain, type Sending } from "./outbox.js";
import { putBack } from "./composer.js";

/** What the user has said. */
export function UserMessage({ message }: { message: ConversationMessage }) {
  const text = textOf(message.content);
  if (editing.value === message.id) return <Editor message={message} text={text} />;
  return (
    <article class="message user" aria-label="You" data-testid="user-message">
      <div class="bubble">{text}</div>
      <div class="actions">
        <Branches message={message} />
        <CopyButton label="Copy message" text={() => text} />
        {isText(message.content) && <IconButton label="Edit message" icon="edit" size={15} onClick={() => { editing.value = message.id; }} />}
      </div>
    </article>
  );
}

function Editor({ message, text }: { message: ConversationMessage; text: string }) {
  const [draft, setDraft] = useState(text);
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const done = () => { if (draft.trim()) edit(message.id, draft.trim()); };
  const leave = () => { editing.value = ""; };
  return (
    <form class="message user editor" aria-label="Edit message" onSubmit={(event) => { event.preventDefault(); done(); }}>
      <textarea
        ref={field} aria-label="Edited message" rows={Math.min(12, draft.split("\n").length + 1)} value={draft}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") leave();
          else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) done();
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      />
      <div class="actions">
        <small>What came after stays readable as another branch.</small>
        <Button small onClick={leave}>Cancel</Button>
        <Button small kind="main" type="submit" disabled={!draft.trim()}>Send</Button>
      </div>
    </form>
  );
}

/** ‹ 2/3 ›: which of the messages that follow the same one is shown. */
export function Branches({ message: { id, siblings } }: { message: ConversationMessage }) {
  const at = siblings.indexOf(id);
  if (siblings.length < 2 || at < 0) return null;
  const to = (step: number) => {
    const other = siblings[at + step];
    if (other) void choose(other);
  };
  return (
    <span class="branches" role="group" aria-label="Branches">
      <IconButton label="Earlier branch" icon="left" size={14} disabled={at === 0} onClick={() => to(-1)} />
      <span aria-label={`Branch ${at + 1} of ${siblings.length}`}>{at + 1}/{siblings.length}</span>
      <IconButton label="Later branch" icon="right" size={14} disabled={at === siblings.length - 1} onClick={() => to(1)} />
    </span>
  );
}

/** What is on its way to the server, or was refused by it. */
export function Outgoing({ sending }: { sending: Sending }) {
  const { key, kind, content, refused } = sending;
  return (
    <article class="message user outgoing" aria-label="Not sent yet" data-testid="outgoing">
      {kind !== "regenerate" && <div class="bubble">{content}</div>}
      {refused === undefined ? (
        <div class="actions shown">
          <Spinner label="Sending" />
          <small>{kind === "regenerate" ? "Asking again…" : "Sending…"}</small>
          <Button small kind="quiet" onClick={() => { discard(key); putBack(content); }}>Discard</Button>
        </div>
      ) : (
        <div class="actions shown" role="alert">
          <small class="wrong">{refused}</small>
          <Button small onClick={() => sendAgain(key)}>Try again</Button>
          <Button small kind="quiet" onClick={() => { discard(key); putBack(content); }}>Discard</Button>
        </div>
      )}
    </article>
  );
}
