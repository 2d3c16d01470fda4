import { useRef } from "preact/hooks";
import type { VNode } from "preact";
import { CopyButton } from "../ui/copy.js";
import { colour } from "./colour.js";

const partLines = 40; // lines that are coloured at once, and not again

/** A block of code, with its language and a button that copies it. */
export function Code({ text, language }: { text: string; language: string }) {
  return (
    <figure class="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton label="Copy code" text={() => text} />
      </figcaption>
      <pre tabIndex={0} aria-label={language ? `Code in ${language}` : "Code"}><code><Parts text={text} language={language} /></code></pre>
    </figure>
  );
}

/** The code in parts, of which only the last one is made again when something is added. */
function Parts({ text, language }: { text: string; language: string }) {
  const made = useRef<{ source: string; node: VNode }[]>([]);
  const parts = split(text);
  made.current = parts.map((source, n) => {
    const known = made.current[n];
    return known?.source === source ? known : { source, node: <span key={n}>{colour(source, language)}</span> };
  });
  return <>{made.current.map(({ node }) => node)}</>;
}

function split(text: string): string[] {
  const parts: string[] = [];
  let begin = 0, lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
    if (++lines % partLines) continue;
    parts.push(text.slice(begin, at + 1));
    begin = at + 1;
  }
  parts.push(text.slice(begin));
  return parts;
}
