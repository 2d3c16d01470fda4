export type {
  Batch, BatchEnded, BatchError, BatchEvent, BatchLine, BatchStarted, BatchState, BatchUsage, Lines, Progress,
} from "./batch.js";
export { Sluice } from "./client.js";
export type { SluiceOptions } from "./client.js";
export { Conversations } from "./conversation.js";
export type {
  Content, Conversation, ConversationChange, ConversationDraft, ConversationMessage, ListOptions, MessagesOptions, Page, Parameters, Policy, Turn,
  TurnOptions,
} from "./conversation.js";
export { SluiceError } from "./error.js";
export { isFinal } from "./events.js";
export type {
  Cancelled, Chunk, ChunkChoice, Completed, Completion, Delta, Expired, Failed, FinalEvent, JobEvent, Message, Retrying,
  Started, Storing, Usage,
} from "./events.js";
export { followBatchWith, followWith } from "./follow.js";
export type { FollowOptions, FollowSource } from "./follow.js";
export { followConversationWith } from "./note.js";
export type { Changed } from "./note.js";
export { textOf } from "./text.js";
export type { TextPart } from "./text.js";
export type { CallOptions, Credential, Failure, Job, JobState, Json, Lane, Submission } from "./types.js";
export type { WebSocketConstructor } from "./connection.js";
