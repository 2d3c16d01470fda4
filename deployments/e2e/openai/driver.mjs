// Makes the calls of the table with other people's programs. Each line of standard input is a call, and each line of standard
// output what the program saw of it:
//
//   in   {id, url, key, call, args, headers, retries, timeout, abort}   timeout in ms; abort: leave after so many events
//   out  {id, status, headers, body, events, text, error}
//
// What a call is, the maps `calls` of the other files say; any other is a method of the official SDK.
import { createInterface } from "node:readline";
import * as langchain from "./langchain.mjs";
import * as sdk from "./sdk.mjs";
import * as vercel from "./vercel.mjs";

const calls = { ...sdk.calls, ...vercel.calls, ...langchain.calls };

async function make(order) {
  const seen = { id: order.id, events: [] };
  try {
    await (calls[order.call] ?? sdk.method)(order, seen);
  } catch (err) {
    seen.error = sdk.failure(err);
  }
  console.log(JSON.stringify(seen));
}

for await (const line of createInterface({ input: process.stdin })) make(JSON.parse(line));
