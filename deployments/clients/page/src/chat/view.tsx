import { Top } from "../top.js";

export function Chat() {
  return <Top title="Chat" />;
}
