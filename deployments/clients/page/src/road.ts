import { signal } from "@preact/signals";

/** How events come: over NATS WebSocket, or, while that cannot be reached, over HTTP. */
export type Way = "websocket" | "http";

export const way = signal<Way>("websocket");

const firstLook = 5_000; // milliseconds until it is looked whether the WebSocket can be reached again
const longestLook = 300_000; // to which that doubles
const openLimit = 5_000; // milliseconds that opening may take

let pause = firstLook;
let timer: ReturnType<typeof setTimeout> | undefined;
let address = "";

/** Remembers where the WebSocket is. */
export function noteAddress(url: string | undefined): void {
  if (url) address = url;
}

/** The WebSocket could not be opened: events come over HTTP until it can. */
export function giveUpWebSocket(): void {
  way.value = "http";
  clearTimeout(timer);
  if (address) timer = setTimeout(() => void look(), pause);
  pause = Math.min(pause * 2, longestLook);
}

/** A connection was there: the next time that there is none is the first one. */
export function webSocketWorks(): void {
  pause = firstLook;
}

async function look(): Promise<void> {
  if (await opens(address)) way.value = "websocket";
  else giveUpWebSocket();
}

function opens(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch {
      resolve(false); // a page of https: may not open ws:
      return;
    }
    const limit = setTimeout(() => { socket.close(); resolve(false); }, openLimit);
    const settle = (there: boolean) => { clearTimeout(limit); socket.close(); resolve(there); };
    socket.addEventListener("open", () => settle(true));
    socket.addEventListener("error", () => settle(false));
  });
}

addEventListener("online", () => {
  if (way.peek() === "http" && address) void look();
});
