import type { Token, Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { Code } from "./code.js";
import { plain } from "./entity.js";

/** Of one token of a text's structure. HTML in it is shown as what it is: text. */
export function block(token: Token): ComponentChildren {
  const t = token as Tokens.Generic;
  switch (token.type) {
    case "heading":
      return heading(t["depth"] as number, inline(t.tokens));
    case "paragraph":
      return <p>{inline(t.tokens)}</p>;
    case "text":
      return t.tokens ? inline(t.tokens) : plain(t["text"] as string);
    case "code":
      return <Code text={t["text"] as string} language={language(t["lang"] as string | undefined)} />;
    case "blockquote":
      return <blockquote>{blocks(t.tokens)}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "space":
    case "def":
      return null;
    case "html":
      return <p class="raw">{t.raw.trim()}</p>;
    default:
      return inline([token]);
  }
}

function blocks(tokens: Token[] | undefined): VNode[] {
  return (tokens ?? []).map((token, n) => <Part key={n} token={token} />);
}

function Part({ token }: { token: Token }) {
  return <>{block(token)}</>;
}

/** An answer's headings come below the page's own. */
function heading(depth: number, children: ComponentChildren): VNode {
  if (depth <= 1) return <h2>{children}</h2>;
  return depth === 2 ? <h3>{children}</h3> : <h4>{children}</h4>;
}

function language(info: string | undefined): string {
  return /^[\w+#.-]+/.exec(info ?? "")?.[0] ?? "";
}

function list({ ordered, start, items }: Tokens.List): VNode {
  const entries = items.map((item, n) => (
    <li key={n} class={item.task ? "task" : undefined}>{blocks(item.tokens)}</li>
  ));
  return ordered ? <ol start={typeof start === "number" ? start : 1}>{entries}</ol> : <ul>{entries}</ul>;
}

function table({ header, rows, align }: Tokens.Table): VNode {
  const side = (n: number) => align[n] ?? undefined;
  return (
    <div class="table" role="region" aria-label="Table" tabIndex={0}>
      <table>
        <thead><tr>{header.map((cell, n) => <th key={n} class={side(n)} scope="col">{inline(cell.tokens)}</th>)}</tr></thead>
        <tbody>
          {rows.map((row, r) => <tr key={r}>{row.map((cell, n) => <td key={n} class={side(n)}>{inline(cell.tokens)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  );
}

function inline(tokens: Token[] | undefined): ComponentChildren[] {
  return (tokens ?? []).map(span);
}

function span(token: Token): ComponentChildren {
  const t = token as Tokens.Generic;
  switch (token.type) {
    case "strong":
      return <strong>{inline(t.tokens)}</strong>;
    case "em":
      return <em>{inline(t.tokens)}</em>;
    case "del":
      return <del>{inline(t.tokens)}</del>;
    case "codespan":
      return <code>{t["text"]}</code>;
    case "br":
      return <br />;
    case "link":
      return link(t["href"] as string, inline(t.tokens));
    case "image": // not loaded: whoever serves it would learn who reads what
      return link(t["href"] as string, (t["text"] as string) || "image");
    case "escape":
      return t["text"] as string;
    case "checkbox":
      return <input type="checkbox" checked={t["checked"] as boolean} disabled aria-label={t["checked"] ? "done" : "to do"} />;
    case "text":
      return t.tokens ? inline(t.tokens) : plain(t["text"] as string);
    default:
      return t.raw;
  }
}

function link(href: string, children: ComponentChildren): ComponentChildren {
  if (!/^(https?:\/\/|mailto:)/i.test(href)) return children;
  return <a href={href} target="_blank" rel="noopener noreferrer nofollow">{children}</a>;
}
