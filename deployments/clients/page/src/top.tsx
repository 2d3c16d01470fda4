import type { ComponentChildren } from "preact";
import { drawer } from "./shell.js";
import { IconButton } from "./ui/button.js";

/** The top line of a view. On a narrow screen it opens the side bar. */
export function Top({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <header class="top">
      <IconButton class="opener" label="Open the side bar" icon="menu" expanded={drawer.value} onClick={() => { drawer.value = true; }} />
      <h1 class="grow">{title}</h1>
      {children}
    </header>
  );
}
