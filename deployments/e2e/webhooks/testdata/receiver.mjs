// Receives webhooks as deployments/docs/webhooks.md shows it, and prints for each what the official SDK makes of it: a line of
// JSON. Beside each event it tries what an attacker would, and prints what the SDK says to that.
//
// usage: OPENAI_WEBHOOK_SECRET=whsec_… node receiver.mjs
import { createServer } from "node:http";
import OpenAI from "openai";

const client = new OpenAI({ apiKey: "unused", webhookSecret: process.env.OPENAI_WEBHOOK_SECRET });

async function refusal(body, headers, secret) {
  try {
    await client.webhooks.unwrap(body, headers, secret);
    return "accepted";
  } catch (error) {
    return error.constructor.name;
  }
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const headers = request.headers;
  try {
    const event = await client.webhooks.unwrap(body, headers);
    response.writeHead(204).end();
    const old = String(Number(headers["webhook-timestamp"]) - 3600);
    console.log(JSON.stringify({
      event,
      altered: await refusal(body.replace(event.type, "response.completed!"), headers),
      replayed: await refusal(body, { ...headers, "webhook-timestamp": old }),
      foreign: await refusal(body, headers, "whsec_" + Buffer.alloc(32, 7).toString("base64")),
    }));
  } catch (error) {
    response.writeHead(400).end();
    console.log(JSON.stringify({ error: String(error) }));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
