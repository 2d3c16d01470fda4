import { useEffect, useRef, useState } from "preact/hooks";
import { IconButton } from "./button.js";
import { Icon, type IconName } from "./icon.js";

export interface Choice {
  label: string;
  icon: IconName;
  danger?: boolean;
  run: () => void;
}

/** A button that opens a list of things to do. */
export function Menu({ label, choices }: { label: string; choices: readonly Choice[] }) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  return (
    <>
      <IconButton
        label={label} icon="more" size={16} expanded={open} innerRef={button} class="menu-button"
        onClick={(event) => { event.preventDefault(); setOpen(!open); }}
      />
      {open && <List choices={choices} anchor={button.current} onClose={(back) => { setOpen(false); if (back) button.current?.focus(); }} />}
    </>
  );
}

interface ListProps {
  choices: readonly Choice[];
  anchor: HTMLElement | null;
  /** back: the focus returns to the button. */
  onClose: (back: boolean) => void;
}

function List({ choices, anchor, onClose }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    place(list.current, anchor);
    list.current?.querySelector<HTMLElement>("button")?.focus();
    const away = (event: Event) => {
      if (event.target instanceof Node && (list.current?.contains(event.target) || anchor?.contains(event.target))) return;
      onClose(false);
    };
    for (const type of ["pointerdown", "scroll", "resize"]) addEventListener(type, away, true);
    return () => { for (const type of ["pointerdown", "scroll", "resize"]) removeEventListener(type, away, true); };
  }, []);
  return (
    <div ref={list} class="menu" role="menu" onKeyDown={(event) => steer(event, list.current, onClose)}>
      {choices.map(({ label, icon, danger, run }) => (
        <button
          key={label} type="button" role="menuitem" class={danger ? "danger" : undefined}
          onClick={(event) => { event.preventDefault(); onClose(true); run(); }}
        >
          <Icon name={icon} size={16} />
          {label}
        </button>
      ))}
    </div>
  );
}

/** Below the button, or above it where there is no room. */
function place(list: HTMLElement | null, anchor: HTMLElement | null): void {
  if (!list || !anchor) return;
  const at = anchor.getBoundingClientRect(), size = list.getBoundingClientRect();
  const below = at.bottom + size.height + 8 < innerHeight;
  list.style.top = `${below ? at.bottom + 4 : at.top - size.height - 4}px`;
  list.style.left = `${Math.max(8, Math.min(at.right - size.width, innerWidth - size.width - 8))}px`;
}

function steer(event: KeyboardEvent, list: HTMLElement | null, onClose: (back: boolean) => void): void {
  const items = [...list?.querySelectorAll<HTMLElement>("button") ?? []];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) items.at((at + step) % items.length)?.focus();
  else if (event.key === "Escape" || event.key === "Tab") onClose(event.key === "Escape");
  else return;
  event.preventDefault();
  event.stopPropagation();
}
