import { Lexer, type Token, type Tokens, type TokensList } from "marked";

/** A piece of a text that is shown by itself. */
export interface Block {
  key: number;
  token: Token;
  /** It does not change any more, whatever is added to the text. */
  done: boolean;
}

const unsettled = 2; // pieces at the end that what comes next may still change
const deepest = 100; // levels of a piece; one that has more is shown as it was written

/**
 * Splits a text that grows into blocks. Only its end is read again when something is added, so that a long answer costs no more a
 * piece than a short one.
 */
export class Blocks {
  #done: Block[] = [];
  #text = ""; // of what is done
  #links: TokensList["links"] = {};

  /** The blocks of the whole text. With last, nothing will be added. */
  read(text: string, last: boolean): readonly Block[] {
    text = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (!text.startsWith(this.#text)) this.#forget();
    const tokens = lex(text.slice(this.#text.length), this.#links);
    const shown = tokens.filter(({ type }) => type !== "space" && type !== "def");
    const settled = last ? shown.length : Math.max(0, shown.length - unsettled);
    let key = this.#done.length;
    const blocks = shown.map((token, n): Block => ({ key: key++, token: deep(token, deepest) ? raw(token.raw) : token, done: n < settled }));
    const all = this.#done.concat(blocks);
    const boundary = tokens.indexOf(shown[settled] as Token);
    if (!last && settled > 0 && boundary > 0) {
      this.#done = this.#done.concat(blocks.slice(0, settled));
      this.#text += tokens.slice(0, boundary).map(({ raw }) => raw).join("");
      this.#links = { ...this.#links, ...tokens.links };
    }
    return all;
  }

  #forget(): void {
    this.#done = [];
    this.#text = "";
    this.#links = {};
  }
}

/** The tokens of a text. One that is nested deeper than can be read, which takes a thousand levels, is a single piece. */
function lex(text: string, links: TokensList["links"]): TokensList {
  const lexer = new Lexer();
  Object.assign(lexer.tokens.links, links);
  try {
    return lexer.lex(text);
  } catch (err) {
    if (!(err instanceof RangeError)) throw err;
    return Object.assign([raw(text)], { links: {} });
  }
}

/** What is shown as it was written. */
function raw(text: string): Token {
  return { type: "html", raw: text, text, block: true, pre: false };
}

/** Whether there are more levels below a token than so many. */
function deep(token: Token, levels: number): boolean {
  const { tokens = [], items = [], header = [], rows = [] } = token as Partial<Tokens.Generic & Tokens.List & Tokens.Table>;
  const below = [tokens, items, header, ...rows].flat() as Token[];
  return below.length > 0 && (levels === 0 || below.some((one) => deep(one, levels - 1)));
}
