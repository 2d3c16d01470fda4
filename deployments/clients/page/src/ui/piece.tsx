import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.js";

/** Something is under way. */
export function Spinner({ label }: { label: string }) {
  return <span class="spinner" role="status" aria-label={label} />;
}

/** What stands where there is nothing yet. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={28} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** A labelled control with a remark below it. */
export function Field({ label, hint, children }: { label: string; hint?: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      {hint && <small>{hint}</small>}
    </label>
  );
}

/** A short word about a state. */
export function Badge({ tone = "plain", children }: { tone?: "plain" | "good" | "bad" | "warn" | "live"; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** How far something is, from 0 to 1. */
export function Bar({ value, label }: { value: number; label: string }) {
  const percent = Math.round(Math.min(1, Math.max(0, value)) * 100);
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}
