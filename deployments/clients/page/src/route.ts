import { signal } from "@preact/signals";

/** Where a person is in the page: the fragment of its address, so that the server knows one page only. */
export type Route =
  | { view: "chat"; id?: string }
  | { view: "batches"; id?: string }
  | { view: "system" };

/** The fragment of a route: #/, #/c/conv_…, #/batches, #/batches/batch_…, #/system. */
export function hrefOf(route: Route): string {
  switch (route.view) {
    case "chat":
      return route.id ? `#/c/${encodeURIComponent(route.id)}` : "#/";
    case "batches":
      return route.id ? `#/batches/${encodeURIComponent(route.id)}` : "#/batches";
    case "system":
      return "#/system";
  }
}

export function parse(hash: string): Route {
  const [, view, id] = hash.replace(/^#/, "").split("/").map(decode);
  if (view === "c" && id) return { view: "chat", id };
  if (view === "batches") return id ? { view: "batches", id } : { view: "batches" };
  if (view === "system") return { view: "system" };
  return { view: "chat" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // typed by hand
  }
}

/** Where we are. */
export const route = signal<Route>(parse(location.hash));

addEventListener("hashchange", () => { route.value = parse(location.hash); });

/** Goes there; with replace, the page before is not come back to. */
export function go(to: Route, { replace = false } = {}): void {
  history[replace ? "replaceState" : "pushState"](null, "", hrefOf(to));
  route.value = to;
}
