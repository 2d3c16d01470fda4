import { signal } from "@preact/signals";
import { call } from "../session.js";

/** The models that are served, as far as the upstreams say; undefined until that was read. */
export const models = signal<readonly string[] | undefined>(undefined);

export async function readModels(): Promise<void> {
  const { data } = await call<{ data: { id: string }[] }>({ method: "GET", path: "/v1/models" });
  models.value = data.map(({ id }) => id);
}
