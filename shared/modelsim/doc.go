// Package modelsim is a simulated model: an OpenAI-compatible HTTP server for what no real upstream does on demand,
// exact pacing and faults. It speaks the real protocol over a real socket. Its answers are functions of the request
// (see Answer), so that tests can predict them, and they say that they are simulated.
//
// It serves POST /v1/chat/completions (streamed and whole, n, include_usage, max_tokens and max_completion_tokens,
// tool calls), POST /v1/completions (the same without tools), POST /v1/embeddings (see Embedding), POST /v1/responses (streamed and
// whole, max_output_tokens, function calls and web_search; it keeps none), GET /v1/models, GET
// /v1/models/{id} and GET /sim/stats, and answers errors in OpenAI's envelope. Of the directives, embeddings know first,
// key, times, fail, code, retry_after, limit and stall. The
// models are "sim" (the pace of Config) and "sim-instant" (no delays). It promises to stop at once when a client leaves
// or when it is closed.
//
// A last message that begins with "Name this conversation" is answered with the first words of the first message, and one that
// begins with "Suggest N short questions" (N is a digit) with so many questions, one per line.
//
// # Directives
//
// What an answer does is written into the name of the model, so that it works through a whole product: "sim?" and a URL
// query. An unknown directive or a wrong value is a 400 that names it. Counts are of deltas: "after N" is before
// the delta of index N is sent, and an answer with fewer deltas meets the fault at its end.
//
//	directive           unit, default     meaning
//	tps                 tokens/s          pace of this answer; 0: all at once
//	first               duration          delay before the first token, as 300ms
//	tokens              tokens            length of the answer; its text is repeated or cut
//	reasoning           tokens, 0         deltas of reasoning_content before the text
//	tool                name              call this tool of the request, unless the last message is a tool's
//	search              0 or 1            a response begins with a web_search_call; its first tool must be web_search
//	logprobs            0 or 1            log probabilities, as if the request asked for them
//	big                 bytes             the answer is so many letters x, in one delta
//	deltas              deltas, 1         the letters of big come in so many
//	comments            deltas, 0         a comment line before every so many deltas
//	id_changes          0 or 1            each chunk has another id and created
//	null_content        0 or 1            the first delta's content is null
//	split_surrogate     0 or 1            the answer begins with 😀, cut in two deltas between its \u escapes
//	nul                 0 or 1            the answer begins with U+0000
//	bad_utf8            0 or 1            the answer begins with the byte 0xff
//	nousage             0 or 1            no usage, even if it is asked for
//	stamp               0 or 1            each delta of a stream says when it is sent instead, in ns of Unix time and a space
//
// Faults, all of which end when "times" is used up:
//
//	key                 text              counts the requests of this key, see Stats
//	times               requests          the first so many requests of the key have the faults, later ones have none
//	fail                HTTP status       answer with this error status (400 to 599)
//	code                text              the error's code, for fail and error_frame
//	retry_after         text              the Retry-After header, for fail
//	limit               requests/s        more requests of the key in one second are refused: 429, with when to come again
//	cut                 after N           drop the connection
//	reset               after N           reset the connection (TCP RST); 0 is before any byte of the answer
//	stall               after N           send nothing more and keep the connection open
//	garbage             after N           one data line that is not JSON, then go on
//	error_frame         after N           an "event: error" frame, then the end of the stream
//	nofinish            0 or 1            end the stream without finish_reason, usage and [DONE]
//	nodone              0 or 1            end the stream without [DONE]
//	unfinished          0 or 1            the last choice gets no finish_reason
//	empty               0 or 1            a stream that holds [DONE] only
//	keepalive_close     0 or 1            offer to keep the connection, but close it unanswered when the next request comes
//
// A fault that needs a stream (all but fail, stall and reset) drops the connection where a whole answer was asked for.
package modelsim
