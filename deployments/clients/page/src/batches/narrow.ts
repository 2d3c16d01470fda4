import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 760px)");

/** Whether the side bar is a drawer, as on a phone. */
export const narrow = signal(query.matches);

query.addEventListener("change", () => { narrow.value = query.matches; });
