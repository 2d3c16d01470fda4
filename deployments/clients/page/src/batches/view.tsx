import { route } from "../route.js";
import { Detail } from "./detail.js";
import { List } from "./list.js";
import { narrow } from "./narrow.js";
import { New } from "./new.js";
import "./batches.css";

/** Which batch is looked at; undefined: a new one is made. */
function idAt(): string | undefined {
  const at = route.value;
  return at.view === "batches" ? at.id : undefined;
}

export function Batches() {
  const id = idAt();
  return id ? <Detail key={id} id={id} /> : <New />;
}

/** What the view has in the side bar. */
export function BatchesSide() {
  if (narrow.value && !idAt()) return null; // New has it
  return <List current={idAt()} />;
}
