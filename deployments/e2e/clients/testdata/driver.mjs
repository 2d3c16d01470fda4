// Does with the client under test what a plan says, and says line by line what came of it. It runs in Node.js and in
// browsers.
import { followBatchWith, followWith, Sluice, SluiceError, textOf } from "@sluice/client";

export async function run(plan, say, options = {}) {
  const now = Date.now;
  if (plan.skew) Date.now = () => now() + plan.skew;
  const sluice = new Sluice({ baseURL: plan.base, ...(plan.key ? { apiKey: plan.key } : {}), ...options });
  try {
    await acts[plan.act](sluice, plan, say, options);
    say({ ended: true });
  } catch (error) {
    if (!(error instanceof SluiceError)) say({ broken: String(error?.stack ?? error) });
    else say({ error: { status: error.status, code: error.code, param: error.param, message: error.message, retryable: error.retryable } });
  }
}

const acts = {
  async follow(sluice, plan, say) {
    await tell(sluice, sluice.follow(await sluice.get(plan.id), { after: plan.after }), plan, say); // the others follow by id
  },
  async follow_with(sluice, plan, say, options) {
    const source = sourceOf(await sluice.credential(plan.id), `${plan.base}/v1/jobs/${plan.id}`, plan.key);
    await tell(sluice, followWith(source, { after: plan.after, ...options }), plan, say);
  },
  async follow_batch(sluice, plan, say) {
    await tell(sluice, sluice.followBatch(await sluice.getBatch(plan.id), { after: plan.after }), plan, say);
  },
  async follow_batch_with(sluice, plan, say, options) {
    const source = sourceOf(await sluice.batchCredential(plan.id), `${plan.base}/v1/batches/${plan.id}`, plan.key);
    await tell(sluice, followBatchWith(source, { after: plan.after, ...options }), plan, say);
  },
  async text(sluice, plan, say) {
    for await (const part of sluice.text(plan.id)) say({ part });
  },
  async result(sluice, plan, say) {
    say({ job: await sluice.result(plan.id) });
  },
  async submit(sluice, plan, say) {
    for (const request of plan.requests) say({ job: await sluice.submit({ request, idempotencyKey: plan.idempotency_key }) });
  },
  async get(sluice, plan, say) {
    say({ job: await sluice.get(plan.id) });
  },
  async retry(sluice, plan, say) {
    say({ job: await sluice.retry(plan.id) });
  },
};

/** What a page has: the first credential, and whom to ask for more. */
function sourceOf(first, address, key) {
  return {
    subject: first.subject, websocketURL: first.websocket_url, credential: first.credential, expiresAt: first.expires_at,
    renew: async () => (await fetch(`${address}/credential`, { method: "POST", headers: { Authorization: `Bearer ${key}` } })).json(),
  };
}

async function tell(sluice, events, plan, say) {
  for await (const event of events) {
    say({ event });
    if (event.seq === plan.cancel_at) await sluice.cancel(plan.id);
    if (event.seq === plan.leave_at) return;
    if (event.seq === plan.doze_at) await sluice.result(plan.id); // reads nothing while the job goes on to its end
  }
}
