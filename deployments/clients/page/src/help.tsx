import { useEffect } from "preact/hooks";
import { help } from "./shell.js";
import { Dialog } from "./ui/dialog.js";

const keys: readonly (readonly [keys: string, what: string])[] = [
  ["Enter", "Send; while an answer is written, queue"],
  ["Shift Enter", "New line"],
  ["Ctrl Enter", "Interrupt the answer and send"],
  ["Esc", "Stop the answer; leave an edit"],
  ["↑", "Edit the last message, from an empty line"],
  ["Ctrl K", "Search conversations"],
  ["Ctrl Shift O", "New conversation"],
  ["?", "This help"],
];

/** Whether a key press belongs to a text that is being written. */
export function inText(event: KeyboardEvent): boolean {
  return event.target instanceof HTMLElement && event.target.closest("input, textarea, select, [contenteditable]") !== null;
}

export function Help() {
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if (event.key !== "?" || event.ctrlKey || event.metaKey || inText(event)) return;
      event.preventDefault();
      help.value = true;
    };
    addEventListener("keydown", open);
    return () => removeEventListener("keydown", open);
  }, []);
  if (!help.value) return null;
  return (
    <Dialog title="Keyboard" onClose={() => { help.value = false; }}>
      <table class="keys">
        <tbody>
          {keys.map(([combination, what]) => (
            <tr key={combination}>
              <th scope="row">{combination.split(" ").map((part) => <kbd key={part}>{part}</kbd>)}</th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p><small>On a Mac, ⌘ does what Ctrl does here.</small></p>
    </Dialog>
  );
}
