import { signal } from "@preact/signals";

/** On a narrow screen: whether the side bar is open. */
export const drawer = signal(false);

/** Whether the help is open. */
export const help = signal(false);

addEventListener("hashchange", () => { drawer.value = false; });
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drawer.peek()) return;
  event.preventDefault();
  drawer.value = false;
});
