import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { hrefOf, route, type Route } from "./route.js";
import { key, signOut } from "./session.js";
import { drawer, help } from "./shell.js";
import { storedTheme, storeTheme, type Theme } from "./theme.js";
import { IconButton } from "./ui/button.js";
import { Icon, type IconName } from "./ui/icon.js";
import { Mark } from "./ui/mark.js";

const views: readonly { name: string; icon: IconName; to: Route }[] = [
  { name: "Chat", icon: "chat", to: { view: "chat" } },
  { name: "Batches", icon: "batch", to: { view: "batches" } },
  { name: "System", icon: "system", to: { view: "system" } },
];

/** The side bar: which view, what the view has there, and what holds for all. */
export function Side({ children }: { children: ComponentChildren }) {
  return (
    <aside class="side" aria-label="Side bar">
      <div class="brand">
        <Mark />
        Sluice
        <IconButton class="opener" label="Close the side bar" icon="close" onClick={() => { drawer.value = false; }} />
      </div>
      <nav class="views" aria-label="Views">
        {views.map(({ name, icon, to }) => (
          <a key={name} href={hrefOf(to)} aria-current={route.value.view === to.view ? "page" : undefined} onClick={() => { drawer.value = false; }}>
            <Icon name={icon} size={15} />
            {name}
          </a>
        ))}
      </nav>
      <div class="side-main">{children}</div>
      <footer class="side-foot">
        <small><a href="/docs">API reference</a></small>
        <ThemeButton />
        <IconButton label="Keyboard and help" icon="help" shortcut="?" onClick={() => { help.value = true; }} />
        {key.value && <IconButton label="Sign out" icon="out" onClick={signOut} />}
      </footer>
    </aside>
  );
}

const theme = signal(storedTheme());
const themes: Record<Theme, { next: Theme; icon: IconName; name: string }> = {
  auto: { next: "light", icon: "auto", name: "as the system" },
  light: { next: "dark", icon: "sun", name: "light" },
  dark: { next: "auto", icon: "moon", name: "dark" },
};

function ThemeButton() {
  const { next, icon, name } = themes[theme.value];
  return (
    <IconButton
      label={`Colours: ${name}. Change to: ${themes[next].name}`} icon={icon} testId="theme"
      onClick={() => { storeTheme(next); theme.value = next; }}
    />
  );
}
