import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { IconButton } from "./button.js";

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** panel: at the right edge, as high as the window. */
  kind?: "box" | "panel";
}

/** A modal dialog: the browser keeps the focus inside, closes it on Esc, and gives the focus back. */
export function Dialog({ title, onClose, children, kind = "box" }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useRef<HTMLHeadingElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    name.current?.focus();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog} class={`dialog ${kind}`} aria-labelledby={heading}
      onCancel={(event) => { event.preventDefault(); onClose(); }}
      onClick={(event) => { if (event.target === dialog.current) onClose(); }}
    >
      <div class="dialog-body">
        <header>
          <h2 id={heading} tabIndex={-1} ref={name}>{title}</h2>
          <IconButton label="Close" icon="close" onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
