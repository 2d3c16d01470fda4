import { signal } from "@preact/signals";
import { IconButton } from "./button.js";

interface Note {
  id: number;
  text: string;
  bad: boolean;
}

const lifetime = 6_000; // milliseconds
const notes = signal<readonly Note[]>([]);
let count = 0;

/** Says something in passing. */
export function toast(text: string, { bad = false } = {}): void {
  const id = ++count;
  notes.value = [...notes.peek().slice(-2), { id, text, bad }];
  setTimeout(() => drop(id), lifetime);
}

/** Says what went wrong; that a person has gone elsewhere is nothing wrong. */
export function toastError(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  toast(error instanceof Error ? error.message : String(error), { bad: true });
}

function drop(id: number): void {
  notes.value = notes.peek().filter((note) => note.id !== id);
}

/** Where the notes are shown; once in the page. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notes.value.map(({ id, text, bad }) => (
        <div key={id} class={bad ? "toast bad" : "toast"}>
          <span>{text}</span>
          <IconButton label="Dismiss" icon="close" size={15} onClick={() => drop(id)} />
        </div>
      ))}
    </div>
  );
}
