import type { ComponentChildren } from "preact";

/** Words that mean something in one or another of the usual languages. */
const words = new Set((
  "abstract and any as assert async await bool boolean break case catch chan char class const continue crate def default defer del do double elif else " +
  "end enum except export extends extern false False final finally float fn for foreach from func function global go goto if impl implements import in " +
  "include instanceof int interface is lambda let local long loop map match mod module mut namespace new nil None nonlocal not null object of or " +
  "override package pass private protected pub public raise range readonly ref return self static string struct super switch template then this throw " +
  "trait true True try type typedef typeof undefined union unsafe use using var virtual void where while with yield " +
  "select insert update delete create table into values set join left right inner outer on group by order limit begin commit primary key"
).split(" "));

const hash = new Set(["py", "python", "sh", "bash", "shell", "zsh", "rb", "ruby", "yaml", "yml", "toml", "ini", "make", "makefile", "dockerfile", "r", "perl", "elixir"]);
const dashes = new Set(["sql", "lua", "haskell", "hs"]);
const bare = new Set(["", "text", "txt", "plain", "markdown", "md", "console", "output", "diff"]);

const string = /"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?/;
const rest = /\b\d[\w.]*\b|[A-Za-z_$][\w$]*/;

function pattern(language: string): RegExp {
  const comment = hash.has(language) ? /#.*/ : dashes.has(language) ? /--.*/ : /\/\/.*|\/\*[\s\S]*?(?:\*\/|$)/;
  return new RegExp(`(${comment.source})|(${string.source})|(${rest.source})`, "g");
}

/** Colours what is a comment, a string, a number or a word of the language, more or less. */
export function colour(source: string, language: string): ComponentChildren[] {
  language = language.toLowerCase();
  if (bare.has(language)) return [source];
  const out: ComponentChildren[] = [];
  let at = 0;
  for (const found of source.matchAll(pattern(language))) {
    const [text, comment, quoted] = found;
    const kind = comment ? "c" : quoted ? "s" : /^\d/.test(text) ? "n" : words.has(text) || (dashes.has(language) && words.has(text.toLowerCase())) ? "k" : "";
    if (!kind) continue;
    out.push(source.slice(at, found.index), <span class={kind}>{text}</span>);
    at = found.index + text.length;
  }
  out.push(source.slice(at));
  return out;
}
