import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { Blocks, type Block } from "./blocks.js";
import { block } from "./render.js";

/** What one text was shown as: the finished pieces are not made again. */
class Shown {
  readonly #blocks = new Blocks();
  #finished = new WeakMap<object, VNode>();

  show(text: string, last: boolean): VNode[] {
    return this.#blocks.read(text, last).map((piece) => this.#piece(piece));
  }

  #piece({ key, token, done }: Block): VNode {
    const known = this.#finished.get(token);
    if (known) return known;
    const made = <div class="block" key={key}>{block(token)}</div>;
    if (done) this.#finished.set(token, made);
    return made;
  }
}

/** A text in Markdown, as elements: no HTML of its own is taken, so there is nothing to sanitise. */
export function Markdown({ text, last }: { text: string; last: boolean }) {
  const shown = useRef<Shown>(null);
  const made = useRef<{ text: string; last: boolean; pieces: VNode[] }>(null);
  shown.current ??= new Shown();
  if (made.current?.text !== text || made.current.last !== last) made.current = { text, last, pieces: shown.current.show(text, last) };
  return <div class="markdown">{made.current.pieces}</div>;
}
