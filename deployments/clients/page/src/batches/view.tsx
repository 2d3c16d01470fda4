import { Top } from "../top.js";

export function Batches() {
  return <Top title="Batches" />;
}

/** What the view has in the side bar. */
export function BatchesSide() {
  return null;
}
