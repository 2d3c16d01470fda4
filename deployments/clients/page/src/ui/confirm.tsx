import { signal } from "@preact/signals";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";

interface Question {
  title: string;
  text: string;
  /** What the button that does it says. */
  yes: string;
  /** What the other one says; default: Cancel. */
  no?: string;
  answer: (yes: boolean) => void;
}

const asked = signal<Question | undefined>(undefined);

/** Asks before what cannot be undone. */
export function confirm(question: Omit<Question, "answer">): Promise<boolean> {
  asked.peek()?.answer(false);
  return new Promise((resolve) => {
    asked.value = { ...question, answer: (yes) => { asked.value = undefined; resolve(yes); } };
  });
}

/** Where the question is shown; once in the page. */
export function Confirm() {
  const question = asked.value;
  if (!question) return null;
  return (
    <Dialog title={question.title} onClose={() => question.answer(false)}>
      <p>{question.text}</p>
      <footer>
        <Button onClick={() => question.answer(false)}>{question.no ?? "Cancel"}</Button>
        <Button kind="danger" onClick={() => question.answer(true)}>{question.yes}</Button>
      </footer>
    </Dialog>
  );
}
