// Prints JSON schemas of the official SDK's types, one for each property of Wire below: /definitions/Wire/properties/NAME.
//
// usage: node schema.mjs
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createGenerator } from "ts-json-schema-generator";

const types = `
import type { CompletionCreateParamsBase } from "openai/resources/completions";
import type * as openai from "openai/resources";
import type { ChatCompletionCreateParamsBase, ChatCompletionListParams, ChatCompletionUpdateParams } from "openai/resources/chat/completions/completions";
import type { MessageListParams } from "openai/resources/chat/completions/messages";
import type * as responses from "openai/resources/responses/responses";
import type { InputItemListParams } from "openai/resources/responses/input-items";

type Page<T> = { object: "list"; data: T[]; first_id: string | null; last_id: string | null; has_more: boolean };
// The SDK takes every message for an answer, the documented examples show the request's.
type Message = { id: string; role: string; content: string | null; content_parts?: openai.ChatCompletionStoreMessage["content_parts"] };
// The SDK has one type for the whole text and for its parts, where the reason is null until the last one.
type TextChoice = { index: number; text: string; finish_reason: string | null; logprobs: openai.CompletionChoice["logprobs"] };
type TextChunk = { id: string; object: "text_completion"; created: number; model: string; choices: TextChoice[]; usage?: openai.CompletionUsage | null };
type FileUpload = Omit<openai.FileCreateParams, "file"> & { file: string };
// The lines of the files that a batch writes; the SDK has no types for them.
type Line<Body> = { id: string; custom_id: string; response: { status_code: 200; request_id: string; body: Body }; error: null };
type FailedLine = { id: string; custom_id: string; response: { status_code: number; request_id: string; body: Failure }; error: null };
type UnrunLine = { id: string; custom_id: string | null; response: null; error: { code: string; message: string } };
type Failure = { error: openai.ErrorObject };
type Encoded = Omit<openai.Embedding, "embedding"> & { embedding: string };

export interface Wire {
  failure: Failure;
  chat: openai.ChatCompletion;
  chunk: openai.ChatCompletionChunk;
  chatPage: Page<openai.ChatCompletion>;
  chatDeleted: openai.ChatCompletionDeleted;
  messagePage: Page<Message>;
  text: openai.Completion;
  textChunk: TextChunk;
  embeddings: openai.CreateEmbeddingResponse;
  encodedEmbeddings: Omit<openai.CreateEmbeddingResponse, "data"> & { data: Encoded[] };
  model: openai.Model;
  models: { object: "list"; data: openai.Model[] };
  response: responses.Response;
  event: responses.ResponseStreamEvent;
  itemPage: Page<responses.ResponseItem>;
  file: openai.FileObject;
  filePage: Page<openai.FileObject>;
  fileDeleted: openai.FileDeleted;
  batch: openai.Batch;
  batchPage: Page<openai.Batch>;
  chatLine: Line<openai.ChatCompletion>;
  textLine: Line<openai.Completion>;
  embeddingLine: Line<openai.CreateEmbeddingResponse>;
  responseLine: Line<responses.Response>;
  failedLine: FailedLine | UnrunLine;

  chatRequest: ChatCompletionCreateParamsBase;
  chatUpdate: ChatCompletionUpdateParams;
  chatQuery: ChatCompletionListParams;
  messageQuery: MessageListParams;
  textRequest: CompletionCreateParamsBase;
  embeddingRequest: openai.EmbeddingCreateParams;
  responseRequest: responses.ResponseCreateParamsBase;
  responseQuery: responses.ResponseRetrieveParamsBase;
  itemQuery: InputItemListParams;
  fileRequest: FileUpload;
  fileQuery: openai.FileListParams;
  batchRequest: openai.BatchCreateParams;
  batchQuery: openai.BatchListParams;
}
`;

const dir = mkdtempSync(join(import.meta.dirname, "types-"));
try {
  const path = join(dir, "types.ts");
  const tsconfig = join(dir, "tsconfig.json");
  writeFileSync(path, types);
  writeFileSync(tsconfig, JSON.stringify({ compilerOptions: { module: "nodenext", target: "es2022", strict: true, skipLibCheck: true }, files: [path] }));
  const generator = createGenerator({ path, tsconfig, skipTypeCheck: false, additionalProperties: true, topRef: true });
  const schema = generator.createSchema("Wire");
  const { Response, Batch, FileObject } = schema.definitions;
  Response.required = Response.required.filter((name) => name !== "output_text"); // the SDK adds it to what it reads
  for (const { properties, required } of [Response, Batch, FileObject]) {
    for (const [name, property] of Object.entries(properties)) {
      if (!required.includes(name)) properties[name] = { anyOf: [property, { type: "null" }] }; // as the documented examples show
    }
  }
  console.log(JSON.stringify(schema));
} finally {
  rmSync(dir, { recursive: true });
}
