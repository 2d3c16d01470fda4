import { overConnections, type FollowOptions, type FollowSource } from "./follow.js";

const silence = 15_000; // milliseconds without a note before it looks whether the connection is still there
const patience = 4_000; // milliseconds for the answer

/** A conversation has changed. */
export interface Changed {
  type: "changed";
  /** What it has become; undefined: a connection was made, and what was said before it was not heard. */
  version: number | undefined;
}

/** Yields a conversation's notes as Sluice.followConversation does, without the API's key. */
export function followConversationWith(source: FollowSource, options: Omit<FollowOptions, "after"> = {}): AsyncGenerator<Changed, void, undefined> {
  let notes = 0;
  return overConnections<Changed, Changed>(source, options, async function* (connection) {
    yield { type: "changed", version: undefined };
    while (!connection.retired) {
      const note = await connection.hear(silence);
      if (note) {
        notes++;
        yield note;
      } else await connection.check(patience);
    }
    return false;
  }, () => notes);
}
