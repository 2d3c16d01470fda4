import type { ConversationMessage, Failure, JobState } from "@sluice/client";
import { Markdown } from "../markdown/markdown.js";
import { Button, IconButton } from "../ui/button.js";
import { CopyButton } from "../ui/copy.js";
import { Icon } from "../ui/icon.js";
import { Mark } from "../ui/mark.js";
import { rate, regenerate, stop } from "./control.js";
import { textOf } from "./item.js";
import type { Live } from "./live.js";
import { Branches } from "./message.js";

interface Props {
  message: ConversationMessage;
  /** Where it is heard at present. */
  live: Live | undefined;
  /** It waits for the answers before it. */
  held: boolean;
  /** Nothing comes after it. */
  last: boolean;
}

/** An answer, whole or growing. */
export function Answer({ message, live, held, last }: Props) {
  const stored = ended(message.state);
  const state = stored || !live ? message.state : live.state.value;
  const text = stored || !live ? textOf(message.content) : live.text.value;
  const over = ended(state);
  return (
    <article class="message answer" aria-label="Answer" aria-busy={!over} data-state={held && !over ? "held" : state} data-testid="answer">
      <Mark size={24} />
      <div class="said">
        {live?.thought.value && <Thought text={live.thought.value} open={!text && !over} />}
        {text && <Markdown text={text} last={over} />}
        {!over && <Waiting id={message.id} state={state} held={held} written={text !== ""} retryAt={live?.retryAt.value ?? ""} />}
        {over && state !== "completed" && <Outcome state={state} error={message.error ?? live?.error.value} last={last} />}
        {over && state === "completed" && !text && stored && <p class="soft">The model has said nothing.</p>}
        {over && <Foot message={message} text={text} last={last} />}
      </div>
    </article>
  );
}

function ended(state: JobState): boolean {
  return state !== "queued" && state !== "running";
}

function Thought({ text, open }: { text: string; open: boolean }) {
  return (
    <details class="thought" open={open}>
      <summary>{open ? "Thinking…" : "Thoughts"}</summary>
      <p>{text}</p>
    </details>
  );
}

interface WaitingProps {
  id: string;
  state: JobState;
  held: boolean;
  written: boolean;
  retryAt: string;
}

function Waiting({ id, state, held, written, retryAt }: WaitingProps) {
  if (written && state === "running") return null;
  if (held) return <p class="soft waiting">Waits for the answer before it <Button small kind="quiet" onClick={() => void stop(id)}>Take back</Button></p>;
  if (retryAt) return <p class="soft waiting"><Dots />A try has failed; another one follows</p>;
  return <p class="soft waiting"><Dots />{state === "queued" ? "In the queue" : <span class="hidden">The answer begins</span>}</p>;
}

function Dots() {
  return <span class="dots" aria-hidden="true"><i /><i /><i /></span>;
}

function Outcome({ state, error, last }: { state: JobState; error: Failure | undefined; last: boolean }) {
  if (state === "cancelled") return <p class="soft outcome">Stopped{last && <Button small kind="quiet" icon="redo" onClick={regenerate}>Answer again</Button>}</p>;
  return (
    <div class="failure" role="group" aria-label="The answer has failed">
      <Icon name="alert" />
      <div>
        <strong>{state === "expired" ? "The answer did not come in time." : "The answer has failed."}</strong>
        {error && <p>{error.message} <code>{error.code}</code></p>}
      </div>
      {last && <Button small icon="redo" onClick={regenerate}>Try again</Button>}
    </div>
  );
}

function Foot({ message, text, last }: { message: ConversationMessage; text: string; last: boolean }) {
  const { id, rating, model, usage } = message;
  const thumb = (value: 1 | -1) => void rate(id, rating === value ? 0 : value);
  return (
    <div class={last ? "actions shown" : "actions"}>
      <Branches message={message} />
      {text && <CopyButton label="Copy answer" text={() => text} />}
      {last && <IconButton label="Answer again" icon="redo" size={15} onClick={regenerate} />}
      {text && <IconButton label="Good answer" icon="up" size={15} pressed={rating === 1} onClick={() => thumb(1)} />}
      {text && <IconButton label="Bad answer" icon="down" size={15} pressed={rating === -1} onClick={() => thumb(-1)} />}
      <small class="facts">
        {model ?? ""}
        {usage?.total_tokens !== undefined && <span title={`${usage.prompt_tokens ?? "?"} read, ${usage.completion_tokens ?? "?"} written`}> · {usage.total_tokens} tokens</span>}
        {message.finish_reason === "length" && " · cut at its longest"}
      </small>
    </div>
  );
}
