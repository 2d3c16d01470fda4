import { computed, signal } from "@preact/signals";
import { Sluice, SluiceError } from "@sluice/client";
import { HTTP, type Call } from "@sluice/client/http";
import { noteReached } from "./net.js";

const place = "sluice.key";

/** Whether requests may be made: known once the server has been asked. */
export type Access = "unknown" | "in" | "out";

export const access = signal<Access>("unknown");

/** The API key, if one was given. */
export const key = signal<string | undefined>(takeKey());

/** Why the last key was not taken. */
export const refusal = signal("");

/** The last key that was not taken: who gives it once more finds everything as it was. */
let refused: string | undefined;

const base = location.origin;

/** A fetch that tells net.ts whether the server answers, and signs out where the key is no longer taken. */
async function watched(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const sent = key.peek();
  let answer: Response;
  try {
    answer = await fetch(input, init);
  } catch (error) {
    if (!init?.signal?.aborted) lost();
    throw error;
  }
  if (away.has(answer.status)) lost();
  else noteReached(true);
  if (answer.status === 401 && sent === key.peek()) refuse(sent);
  return answer;
}

/** Asks for another key. */
function refuse(sent: string | undefined): void {
  if (sent) refusal.value = "This key is not taken.";
  refused = sent;
  localStorage.removeItem(place);
  key.value = undefined;
  access.value = "out";
}

const away = new Set([502, 503, 504]); // what a proxy says in a server's place, and a server without its database
const askAgain = 1_500; // milliseconds
let asking: ReturnType<typeof setTimeout> | undefined;

/** The server does not answer: it is asked until it does. */
function lost(): void {
  noteReached(false);
  asking ??= setTimeout(() => {
    asking = undefined;
    void watched(base + "/healthz").catch(() => {}); // which has asked for the next look
  }, askAgain);
}

/** The client of the key that is in use. */
export const client = computed(() => new Sluice({ baseURL: base, apiKey: key.value, fetch: watched }));

const http = computed(() => new HTTP(base, key.value, watched));

/** One JSON request; every other outcome than success is a SluiceError. */
export function call<T>(request: Call): Promise<T> {
  return http.value.call<T>(request);
}

/** One request of any kind, with the key: uploads, downloads, event streams. The answer may be a refusal. */
export function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const secret = key.peek();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  return watched(base + path, { ...init, headers });
}

/** Whether the API asks for a key at all; the server writes it into the page. */
const needsKey = document.documentElement.dataset["keys"] !== "off";

/** Asks the server whether what we have is enough. */
export async function enter(): Promise<void> {
  const secret = key.peek();
  if (needsKey && !secret) {
    access.value = "out";
    return;
  }
  if (secret && !/^[ -~]+$/.test(secret)) { // no header can hold it, so that no server could refuse it
    refuse(secret);
    return;
  }
  try {
    await call({ method: "GET", path: "/v1/models" });
    access.value = "in";
    refusal.value = "";
  } catch (error) {
    if (error instanceof SluiceError && error.status === 401) return; // watched has seen it
    if (error instanceof SluiceError && error.status === 403) access.value = "in"; // it may do other things
    else setTimeout(() => void enter(), 1_000); // the server is away
  }
}

export async function signIn(secret: string): Promise<void> {
  if (secret !== refused) forget();
  localStorage.setItem(place, secret);
  key.value = secret;
  await enter();
}

/** Forgets the key and all that was kept for it. */
export function signOut(): void {
  forget();
  location.replace(location.pathname);
}

function forget(): void {
  for (const store of [localStorage, sessionStorage]) {
    for (const name of Object.keys(store)) if (name.startsWith("sluice.") && name !== "sluice.theme") store.removeItem(name);
  }
}

/** A key in the address is kept, and leaves the address at once. What was kept for another one is forgotten. */
function takeKey(): string | undefined {
  const given = new URLSearchParams(location.hash.replace(/^#\/?/, "")).get("key");
  if (given) {
    if (localStorage.getItem(place) !== given) forget();
    localStorage.setItem(place, given);
    history.replaceState(null, "", location.pathname);
  }
  return localStorage.getItem(place) ?? undefined;
}

addEventListener("hashchange", () => { if (takeKey() !== key.peek()) location.reload(); });
addEventListener("storage", (event) => { // another tab has signed in or out
  if (event.key === place && (event.newValue ?? undefined) !== key.peek()) location.reload();
});
