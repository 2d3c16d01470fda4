import { SluiceError } from "@sluice/client";
import { enter, key } from "../session.js";

/** How much of a file has been sent, in bytes of the whole request. */
export interface Sent {
  loaded: number;
  total: number;
}

/**
 * Sends a file for a batch and returns its id. A refusal is a SluiceError, an abort the signal's reason. It is an
 * XMLHttpRequest because fetch does not tell how much was sent.
 */
export function upload(file: File, onSent: (sent: Sent) => void, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const xhr = new XMLHttpRequest();
    xhr.open("POST", "/v1/files");
    if (key.peek()) xhr.setRequestHeader("Authorization", `Bearer ${key.peek()}`);
    xhr.responseType = "json";
    xhr.upload.onprogress = ({ loaded, total }) => onSent({ loaded, total });
    xhr.onload = () => {
      const { id } = (xhr.response ?? {}) as { id?: string };
      if (xhr.status === 200 && id) resolve(id);
      else reject(refusal(xhr));
    };
    xhr.onerror = () => reject(new SluiceError("The file could not be sent: there is no connection to the server, or the file has changed.", { code: "connection_failed", retryable: true }));
    xhr.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    const form = new FormData();
    form.append("purpose", "batch"); // before the file: what is not taken is refused before it is sent
    form.append("file", file);
    xhr.send(form);
  });
}

function refusal({ status, response }: XMLHttpRequest): SluiceError {
  if (status === 401) void enter();
  const { error } = (response ?? {}) as { error?: { message?: string; code?: string; param?: string } };
  return new SluiceError(error?.message ?? `The server answered ${status}.`, {
    status, code: error?.code ?? `http_${status}`, param: error?.param ?? null, retryable: status >= 500 || status === 429,
  });
}
