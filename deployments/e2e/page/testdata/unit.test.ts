// What of the page needs no browser. It is bundled with the page's sources and run by node --test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isText, itemsOf } from "../src/chat/item.js";
import { Blocks } from "../src/markdown/blocks.js";
import { plain } from "../src/markdown/entity.js";

const texts = [
  "One.\n\nTwo *three*\nfour.\n\n# Five\nsix\n===\n\n---\nseven",
  "- a\n- b\n\n  more of b\n\n      code in b\n- c\n\nafter\n\n1. one\n1. two\n   - deep\n\n2. three\n\n> quote\nlazy\n\n> > deep\n\nend",
  "```go\nfunc main() {\n\n}\n```\ntext\n~~~\nopen\n\n- not a list\n\n```\nnot closed",
  "| a | b |\n|---|:-:|\n| 1 | 2 |\n\n| not | a table\n\nlast [one][x] and [two]\n\n[x]: https://example.org\n[two]: https://example.org/2\n\n[one][x]",
  "a\r\nb\r\n\r\nc\r\n\n<div>\n<b>raw</b>\n</div>\n\n    indented\n\n    more\n\npara\n    lazy\n\n\n\n- [ ] todo\n- [x] done\n\nx\n\n\n",
];

const shape = (blocks: Iterable<{ token: { type: string; raw: string } }>) => Array.from(blocks, ({ token }) => [token.type, token.raw]);

test("blocks that were read piece by piece are those of the whole text", () => {
  for (const text of texts) {
    const whole = shape(new Blocks().read(text, true));
    for (const size of [1, 2, 3, 7, 50]) {
      const growing = new Blocks();
      for (let at = size; at < text.length; at += size) growing.read(text.slice(0, at), false);
      assert.deepEqual(shape(growing.read(text, true)), whole, `in pieces of ${size}: ${text}`);
    }
  }
});

test("finished blocks are not read again", () => {
  const growing = new Blocks();
  const before = growing.read("one\n\ntwo\n\nthree\n\nfour", false);
  const after = growing.read("one\n\ntwo\n\nthree\n\nfour\n\nfive", false);
  assert.deepEqual(before.map(({ done }) => done), [true, true, false, false]);
  assert.equal(after[0], before[0]);
  assert.equal(after[1], before[1]);
});

test("another text is read from its start", () => {
  const blocks = new Blocks();
  blocks.read("one\n\ntwo\n\nthree\n\nfour", false);
  assert.deepEqual(shape(blocks.read("other", false)), [["paragraph", "other"]]);
});

test("what is nested too deep is shown as it was written", () => {
  for (const mark of ["> ", "- ", "1. ", "*a **b "]) {
    for (const levels of [150, 5000]) {
      const text = mark.repeat(levels) + "deep";
      const pieces = new Blocks().read(`${text}\n\nafter`, true);
      assert.ok(pieces.length <= 2);
      for (const { token } of pieces) assert.ok(depth(token) <= 100, `${levels} times ${mark}`);
      assert.ok(pieces.map(({ token }) => token.raw).join("").includes("deep"));
    }
  }
});

function depth(token: object): number {
  const { tokens = [], items = [] } = token as { tokens?: object[]; items?: object[] };
  return Math.max(0, ...[...tokens, ...items].map((one) => 1 + depth(one)));
}

test("character references that mean nothing stay", () => {
  assert.equal(plain("&lt;b&gt; &amp;amp; &#65;&#x42; &nothing; &constructor; &#0; &"), "<b> &amp; AB &nothing; &constructor; \ufffd &");
});

test("what has parts that are no text is not written anew", () => {
  assert.ok(isText("a") && isText([{ type: "text", text: "a" }]));
  assert.ok(!isText([{ type: "text", text: "a" }, { type: "image_url", image_url: { url: "data:," } }]));
});

test("what is on its way comes where it will be", () => {
  const message = (id: string, role: "user" | "assistant") => ({ id, role }) as Parameters<typeof itemsOf>[0][number];
  const path = [message("1", "user"), message("2", "assistant"), message("3", "user"), message("4", "assistant")];
  const keys = (...sendings: Parameters<typeof itemsOf>[1]) => itemsOf(path, sendings).map(({ key }) => key).join("");
  assert.equal(keys({ key: "s", kind: "say" }), "1234s");
  assert.equal(keys({ key: "r", kind: "regenerate" }), "123r");
  assert.equal(keys({ key: "e", kind: "edit", target: "3" }), "12e");
  assert.equal(keys({ key: "e", kind: "edit", target: "1", refused: "no" }), "1234e");
});
