import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { IconButton } from "../ui/button.js";

const near = 48; // pixels from the end that still count as the end

/** Whether the end is shown, and stays so while an answer grows. */
const atEnd = signal(true);

interface Props {
  /** Whatever this changes to, the end is shown. */
  jump: string;
  children: ComponentChildren;
}

/** Shows the end of what grows, until a person scrolls up. */
export function Scroll({ jump, children }: Props) {
  const view = useRef<HTMLDivElement>(null), inner = useRef<HTMLDivElement>(null);
  useEffect(() => stick(view.current, inner.current), []);
  useEffect(() => {
    atEnd.value = true;
    toEnd(view.current);
  }, [jump]);
  return (
    <div class="scroll-frame">
      <div class="scroll" ref={view} tabIndex={0} role="log" aria-label="Messages" aria-live="off">
        <div class="column" ref={inner}>{children}</div>
      </div>
      {!atEnd.value && (
        <IconButton class="jump" label="Jump to the latest" icon="bottom" onClick={() => { atEnd.value = true; toEnd(view.current, "smooth"); }} />
      )}
    </div>
  );
}

let shown: HTMLElement | null = null;

/** Keeps what is in view where it is while something comes above it. */
export async function keepPlace(work: Promise<void>): Promise<void> {
  const view = shown, before = view?.scrollHeight ?? 0;
  await work;
  requestAnimationFrame(() => { // by then it is rendered
    if (view && view.scrollTop < near) view.scrollBy({ top: view.scrollHeight - before, behavior: "instant" }); // else the browser has
  });
}

function toEnd(view: HTMLElement | null, behavior: ScrollBehavior = "instant"): void {
  view?.scrollTo({ top: view.scrollHeight, behavior });
}

function stick(view: HTMLElement | null, inner: HTMLElement | null): () => void {
  if (!view || !inner) return () => {};
  shown = view;
  let last = view.scrollTop;
  const scrolled = () => {
    const left = view.scrollHeight - view.clientHeight - view.scrollTop;
    if (left < near && view.scrollTop >= last) atEnd.value = true;
    else if (view.scrollTop < last - 1 && left >= near / 4) atEnd.value = false;
    last = view.scrollTop;
  };
  const grown = new ResizeObserver(() => { if (atEnd.peek()) toEnd(view); });
  grown.observe(inner);
  grown.observe(view);
  view.addEventListener("scroll", scrolled, { passive: true });
  return () => {
    grown.disconnect();
    view.removeEventListener("scroll", scrolled);
  };
}
