import { useEffect, useState } from "preact/hooks";
import { IconButton } from "./button.js";
import { toast } from "./toast.js";

/** Copies a text, and says so for a moment. */
export function CopyButton({ label, text, size = 15 }: { label: string; text: () => string; size?: number }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_600);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton
      label={copied ? "Copied" : label} icon={copied ? "check" : "copy"} size={size}
      onClick={() => void write(text()).then(setCopied)}
    />
  );
}

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (writeSelected(text)) return true;
    toast("The browser does not let this page copy.", { bad: true });
    return false;
  }
}

/** The old way, which is all that there is for a page that comes over plain HTTP. */
function writeSelected(text: string): boolean {
  const focused = document.activeElement, area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
