// What a viewer is shown of a log with holes, of one that began anew, and of one of a batch.
import assert from "node:assert/strict";
import test from "node:test";
import { Merge } from "./dist/merge.js";

const event = (type, seq, attempt = 1) => ({ type, seq, attempt, at: "2026-01-01T00:00:00Z" });
const started = (seq, attempt) => event("started", seq, attempt), delta = (seq, attempt) => event("delta", seq, attempt);
const lines = (seq, attempt) => event("lines", seq, attempt), progress = (seq, attempt) => event("progress", seq, attempt);
const completed = (seq, attempt) => event("completed", seq, attempt);

for (const [name, after, heard, seen, done] of [
  ["each once", 0, [started(1), delta(2), delta(2), started(1), delta(3), completed(4), completed(4), delta(5)], [1, 2, 3, 4], true],
  ["from behind a seq", 2, [started(1), delta(2), delta(3)], [3], false],
  ["nothing after a hole", 0, [started(1), delta(2), delta(4), delta(5)], [1, 2], false],
  ["a new attempt after a hole", 0, [started(1), delta(2), delta(4), started(5, 2), delta(6, 2)], [1, 2, 5, 6], false],
  ["the end after a hole", 0, [started(1), delta(2), delta(4), completed(9)], [1, 2, 9], true],
  ["an attempt whose start is missing", 0, [started(1), delta(2), delta(3, 2), started(4, 3), delta(5, 3)], [1, 2, 4, 5], false],
  ["what an older attempt still says", 0, [started(1, 2), started(2, 1), delta(3, 1), completed(4, 2)], [1, 4], true],
  ["what is stored in another's place", 0, [started(1), event("storing", 2, 2), completed(3, 2)], [1, 2, 3], true],
  ["a batch after a hole", 0, [started(1), lines(2), lines(5), progress(6)], [1, 2, 5, 6], false],
  ["a batch whose start is missing", 0, [lines(5, 3), progress(9, 3), completed(10, 3)], [5, 9, 10], true],
  ["a batch that another has taken on", 0, [started(1), lines(2), progress(3, 2), lines(4, 2), started(5, 3), lines(6, 3)], [1, 2, 3, 4, 5, 6], false],
  ["a batch from behind a seq", 7, [lines(7, 2), lines(9, 2), progress(10, 3)], [9, 10], false],
  ["an end that was seen before", 7, [completed(7)], [], true],
  ["a log that began anew", 7, [started(1), completed(2)], [8], true],
]) {
  test(name, () => {
    const merge = new Merge(after);
    assert.deepEqual(heard.map((e) => merge.add(e)?.seq).filter((seq) => seq !== undefined), seen);
    assert.equal(merge.done, done);
  });
}
