import type { ComponentChildren, Ref } from "preact";
import { Icon, type IconName } from "./icon.js";

interface Common {
  onClick?: ((event: MouseEvent) => void) | undefined;
  disabled?: boolean | undefined;
  type?: "button" | "submit";
  testId?: string;
}

interface ButtonProps extends Common {
  children: ComponentChildren;
  /** main: the one thing to do here; danger: it cannot be undone. */
  kind?: "plain" | "main" | "danger" | "quiet";
  icon?: IconName;
  small?: boolean;
  title?: string;
}

export function Button({ children, kind = "plain", icon, small, type = "button", testId, ...rest }: ButtonProps) {
  return (
    <button type={type} class={`button ${kind}${small ? " small" : ""}`} data-testid={testId} {...rest}>
      {icon && <Icon name={icon} size={small ? 15 : 17} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Common {
  /** What it does: its accessible name, and its tooltip. */
  label: string;
  icon: IconName;
  size?: number;
  class?: string;
  pressed?: boolean | undefined;
  expanded?: boolean | undefined;
  /** Shown in the tooltip behind the label. */
  shortcut?: string;
  innerRef?: Ref<HTMLButtonElement>;
}

export function IconButton(props: IconButtonProps) {
  const { label, icon, size = 18, class: more = "", pressed, expanded, shortcut, innerRef, type = "button", testId, onClick, disabled } = props;
  return (
    <button
      type={type} class={`icon-button ${more}`} aria-label={label} title={shortcut ? `${label} (${shortcut})` : label} ref={innerRef ?? null}
      aria-pressed={pressed} aria-expanded={expanded} data-testid={testId} onClick={onClick} disabled={disabled}
    >
      <Icon name={icon} size={size} />
    </button>
  );
}
