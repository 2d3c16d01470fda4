// Follows one job over NATS WebSocket with @nats-io/nats-core, as deployments/docs/api.md describes it, and prints each
// event as one line of JSON. The line "ready" says that the past has been read: from here on it listens.
//
// usage: node viewer.mjs ws://HOST:PORT completions.TENANT.JOB CREDENTIAL
import { createInbox, jwtAuthenticator, wsconnect } from "@nats-io/nats-core";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket; // Node.js 20 has none of its own
const [url, subject, credential] = process.argv.slice(2);
const job = subject.slice("completions.".length);
const inbox = `rp.${job}.${createInbox().split(".").pop().toLowerCase()}`;
const finals = ["completed", "failed", "cancelled", "expired"];

const nc = await wsconnect({ servers: url, authenticator: jwtAuthenticator(credential), reconnectTimeWait: 50, maxReconnectAttempts: -1 });
let last = 0; // seq of the latest event printed
let asked = 0; // questions; only the answer to the latest counts
let held = null; // live events that wait for that answer
let quiet;

function ask() {
  held ??= [];
  nc.publish(`replay.${job}`, JSON.stringify({ from: last + 1 }), { reply: `${inbox}.${++asked}` });
}

function deliver(event) {
  if (event.seq <= last) return;
  last = event.seq;
  console.log(JSON.stringify(event));
  if (finals.includes(event.type)) nc.close();
}

function live(event) {
  if (held) return held.push(event);
  if (event.seq <= last + 1) return deliver(event);
  ask(); // a gap
  held.push(event);
}

function answer(question, { error, events = [], more }) {
  if (error && !error.retryable) throw new Error(error.message);
  if (error || question !== asked) return;
  events.forEach(deliver);
  if (more) return ask();
  if (asked === 1) console.log("ready");
  const waiting = held;
  held = null;
  waiting.forEach(live);
}

function listen(to, take) {
  nc.subscribe(to, { callback: (_, msg) => {
    clearTimeout(quiet);
    quiet = setTimeout(ask, 10_000).unref();
    if (msg.data.length > 0) take(msg); // else nobody serves replays at the moment
  } });
}

listen(subject, (msg) => live(msg.json()));
listen(`${inbox}.*`, (msg) => answer(Number(msg.subject.split(".").pop()), msg.json()));
ask();
(async () => { for await (const s of nc.status()) if (s.type === "reconnect") ask(); })();
const failure = await nc.closed();
if (failure) throw failure;
