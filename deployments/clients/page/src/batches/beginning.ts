import { request } from "../session.js";
import { outcomeOf, type Outcome } from "./outcome.js";

const reach = 128 * 1024; // bytes of a file that are read to show how it begins
const most = 20; // lines of it

/** The first lines of an output or error file; none where the first one is very long. */
export async function beginningOf(file: string, signal: AbortSignal): Promise<readonly Outcome[]> {
  const answer = await request(`/v1/files/${encodeURIComponent(file)}/content`, { headers: { Range: `bytes=0-${reach - 1}` }, signal });
  if (!answer.ok) throw new Error(answer.status === 404 ? "The file is gone: it has expired, or somebody has deleted it." : `The server answered ${answer.status}.`);
  const text = await answer.text();
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n", most).filter((line) => line !== "").map((line) => outcomeOf(JSON.parse(line)));
}
