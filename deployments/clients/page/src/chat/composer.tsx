import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { route } from "../route.js";
import { drawer } from "../shell.js";
import { Button, IconButton } from "../ui/button.js";
import { editing, say, stopCurrent } from "./control.js";
import { draftOf, keepDraft } from "./draft.js";
import { isText } from "./item.js";
import { ModelChoice } from "./model.js";
import { suggestions } from "./suggest.js";
import { thread } from "./thread.js";

/** What is being written. */
const text = signal("");

const tallest = 240; // pixels

/** Gives back what was to be sent and is not. */
export function putBack(content: string | undefined): void {
  if (content && !text.peek()) write(content);
}

function here(): string {
  const at = route.peek();
  return at.view === "chat" ? at.id ?? "" : "";
}

function write(value: string): void {
  text.value = value;
  keepDraft(here(), value);
}

/** Where a person writes. */
export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const id = route.value.view === "chat" ? route.value.id ?? "" : "";
  const busy = (thread.value?.conversation.value?.live.length ?? 0) > 0;
  useEffect(() => {
    text.value = draftOf(id);
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [id]);
  useLayoutEffect(() => fit(field.current), [text.value]);
  useEffect(() => {
    const press = (event: KeyboardEvent) => { if (event.key === "Escape" && !meantElsewhere(event)) stopCurrent(); };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  const submit = (interrupt = false) => {
    const content = text.peek().trim();
    if (!content) return;
    write("");
    say(content, interrupt ? "interrupt" : undefined);
    field.current?.focus();
  };
  return (
    <form class="composer" aria-label="Write a message" onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <Suggestions />
      <div class="box">
        <textarea
          ref={field} rows={1} aria-label="Message" placeholder={busy ? "Write the next message…" : "Write a message…"} value={text.value}
          onInput={(event) => write(event.currentTarget.value)} onKeyDown={(event) => press(event, submit)}
        />
        <div class="box-foot">
          <ModelChoice />
          <span class="grow" />
          {busy && text.value.trim() && <Button small kind="quiet" title="Interrupt the answer and send (Ctrl+Enter)" onClick={() => submit(true)}>Interrupt</Button>}
          {busy && !text.value.trim()
            ? <IconButton class="send" label="Stop the answer" shortcut="Esc" icon="stop" onClick={() => void stopCurrent()} />
            : <IconButton class="send" label={busy ? "Queue the message" : "Send the message"} shortcut="Enter" icon="send" type="submit" disabled={!text.value.trim()} />}
        </div>
      </div>
    </form>
  );
}

function press(event: KeyboardEvent, submit: (interrupt?: boolean) => void): void {
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit(event.ctrlKey || event.metaKey);
  } else if (event.key === "ArrowUp" && text.peek() === "") {
    const last = thread.peek()?.messages.peek().findLast(({ role }) => role === "user");
    if (!last || !isText(last.content)) return;
    event.preventDefault();
    editing.value = last.id;
  }
}

/** Whether Esc closes something, or leaves a field. */
function meantElsewhere(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || drawer.peek() || document.querySelector("dialog[open]")) return true;
  return event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
}

/** As high as its text. */
function fit(field: HTMLTextAreaElement | null): void {
  if (!field) return;
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, tallest)}px`;
}

function Suggestions() {
  if (suggestions.value.length === 0) return null;
  return (
    <div class="suggestions" role="group" aria-label="Suggestions">
      {suggestions.value.map((suggestion) => <button key={suggestion} type="button" onClick={() => say(suggestion)}>{suggestion}</button>)}
    </div>
  );
}
