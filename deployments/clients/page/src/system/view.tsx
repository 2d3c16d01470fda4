import { Top } from "../top.js";

export function System() {
  return <Top title="System" />;
}
