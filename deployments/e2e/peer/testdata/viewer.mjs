// Follows one job over NATS WebSocket with @nats-io/nats-core, as deployments/docs/api.md describes it, and prints each
// event as one line of JSON.
import { wsconnect, createInbox } from "@nats-io/nats-core";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
const [url, subject] = process.argv.slice(2);
const job = subject.slice("completions.".length);
const inbox = `rp.${job}.${createInbox().split(".").pop().toLowerCase()}`;

const nc = await wsconnect({ servers: url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
let last = 0;
let waiting = false; // for the answer to a question

function ask() {
  waiting = true;
  nc.publish(`replay.${job}`, JSON.stringify({ from: last + 1 }), { reply: `${inbox}.1` });
}

function deliver(event) {
  if (event.seq <= last) return;
  last = event.seq;
  console.log(JSON.stringify(event));
  if (["completed", "failed", "cancelled", "expired"].includes(event.type)) nc.close();
}

nc.subscribe(subject, { callback: (_, msg) => {
  const event = msg.json();
  if (event.seq > last + 1) { if (!waiting) ask(); return; }
  deliver(event);
} });
nc.subscribe(`${inbox}.*`, { callback: (_, msg) => {
  const answer = msg.json();
  waiting = false;
  (answer.events ?? []).forEach(deliver);
  if (!nc.isClosed() && answer.more) ask();
} });
ask();
(async () => { for await (const s of nc.status()) if (s.type === "reconnect") ask(); })();
const quiet = setInterval(() => { if (!nc.isClosed()) ask(); }, 1000);
const failure = await nc.closed();
clearInterval(quiet);
if (failure) throw failure;
