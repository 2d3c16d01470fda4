import { signal } from "@preact/signals";

const patience = 30_000; // milliseconds

const hidden = signal(false);
let timer: ReturnType<typeof setTimeout> | undefined;

/**
 * Whether nobody has looked at the page for a while. Streams over HTTP rest then: a browser opens six connections to a host for all tabs
 * together, and the tab that somebody does look at needs some.
 */
export function unseen(): boolean {
  return hidden.value;
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) timer = setTimeout(() => { hidden.value = true; }, patience);
  else hidden.value = false;
});
