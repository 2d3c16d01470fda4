package modelsim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxToken is the longest token, in characters without the white space before it.
const maxToken = 8

// Tokens cuts a text as the simulated model does: a token is up to eight characters with the white space before them.
// Joined they are the text again.
func Tokens(text string) []string {
	var tokens []string
	start, letters := 0, 0
	for at, c := range text {
		if letters > 0 && (unicode.IsSpace(c) || letters == maxToken) {
			tokens = append(tokens, text[start:at])
			start, letters = at, 0
		}
		if !unicode.IsSpace(c) {
			letters++
		}
	}
	if start < len(text) {
		tokens = append(tokens, text[start:])
	}
	return tokens
}

// Answer is what the simulated model says to these messages (their texts, in order) when no directive changes it.
func Answer(messages ...string) string {
	last := ""
	if len(messages) > 0 {
		last = messages[len(messages)-1]
		if said := chat(messages); said != "" {
			return said
		}
	}
	count := 0
	for _, m := range messages {
		count += len(Tokens(m))
	}
	return fmt.Sprintf("This is a simulated answer; no real model was asked. Your last message was: \"%s\". I counted %d of my tokens in %d of your messages.",
		last, count, len(messages))
}

// AnswerOf is the answer with the directive tokens=n: Answer's text, cut or repeated to n tokens.
func AnswerOf(n int, messages ...string) string { return strings.Join(answerTokens(n, messages), "") }

// answerTokens are the tokens of AnswerOf, or of Answer for a negative n.
func answerTokens(n int, messages []string) []string {
	once := Tokens(Answer(messages...))
	if n < 0 {
		return once
	}
	again := append([]string{"\n\n" + once[0]}, once[1:]...)
	tokens := make([]string, 0, n)
	for len(tokens) < n {
		from := again
		if len(tokens) == 0 {
			from = once
		}
		tokens = append(tokens, from[:min(len(from), n-len(tokens))]...)
	}
	return tokens
}

// piece is what one delta adds.
type piece struct {
	kind pieceKind
	text string // escaped for JSON
}

type pieceKind int

const (
	spoken pieceKind = iota
	reasoning
	toolName // text is the tool's name
	toolArguments
)

// answer is one answer as it will be sent.
type answer struct {
	req     *request
	script  script
	pieces  []piece
	reason  string // finish_reason
	usage   string // JSON
	serial  int64
	created int64
}

func newAnswer(req *request, s script, serial int64) (*answer, *failure) {
	a := &answer{req: req, script: s, reason: "stop", serial: serial, created: time.Now().Unix()}
	for range s.reasoning {
		a.pieces = append(a.pieces, piece{reasoning, " hmm"})
	}
	calls := s.tool != "" && req.Messages[len(req.Messages)-1].Role != "tool"
	switch {
	case calls && !req.offers(s.tool):
		return nil, invalid("tools", "The request has no tool named '"+s.tool+"'.")
	case calls:
		a.callTool()
	default:
		a.speak()
	}
	if limit := req.limit(); limit >= 0 && limit < len(a.pieces) {
		a.pieces, a.reason = a.pieces[:limit], "length"
	}
	prompt := 0
	for _, t := range req.texts() {
		prompt += len(Tokens(t))
	}
	total := len(a.pieces) * req.choices()
	a.usage = fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"completion_tokens_details":{"reasoning_tokens":%d}}`,
		prompt, total, prompt+total, min(s.reasoning, len(a.pieces))*req.choices())
	return a, nil
}

func (a *answer) speak() {
	say := func(escaped string) { a.pieces = append(a.pieces, piece{spoken, escaped}) }
	if a.script.splitSurrogate {
		say(`\ud83d`)
		say(`\ude00`)
	}
	if a.script.nul {
		say(`\u0000`)
	}
	if a.script.badUTF8 {
		say("\xff")
	}
	if a.script.big >= 0 {
		n := max(a.script.deltas, 1)
		for i := range n {
			say(strings.Repeat("x", a.script.big*(i+1)/n-a.script.big*i/n))
		}
		return
	}
	for _, t := range answerTokens(a.script.tokens, a.req.texts()) {
		say(escape(t))
	}
}

// callTool makes the answer a call whose one argument, "input", is the last message.
func (a *answer) callTool() {
	a.reason = "tool_calls"
	a.pieces = append(a.pieces, piece{toolName, escape(a.script.tool)})
	texts := a.req.texts()
	for _, t := range Tokens(`{"input": "` + escape(texts[len(texts)-1]) + `"}`) {
		a.pieces = append(a.pieces, piece{toolArguments, escape(t)})
	}
}

// escape renders s as the inside of a JSON string.
func escape(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < utf8.RuneSelf && !strings.ContainsRune(`"\<>&`, rune(s[i]))
	}
	if plain {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string never fails
	return b.String()[1 : b.Len()-2]
}
