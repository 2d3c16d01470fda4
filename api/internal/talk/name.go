package talk

import (
	"fmt"
	"strings"
	"unicode"

	"sluice/shared/completion"
)

const (
	askName     = "Name this conversation in at most six words, in its own language. Answer with nothing but the name."
	askQuestion = "Suggest %d short questions that I could ask next, in the language of this conversation. Answer with nothing but the questions, one per line."

	nameExcerpt = 400 // characters of each message that a name is made from
	nameTokens  = 200 // an answer has at most; some models think before they speak
	maxName     = 60  // characters of a name that a model has found
)

// naming asks for a name of what a question and its answer are about.
func naming(model, question, answer string) *prompt {
	cold, most := 0.0, nameTokens
	p := &prompt{parameters: completion.Parameters{Model: model, Temperature: &cold, MaxTokens: &most}}
	p.last = append(p.last, saying{completion.RoleUser, quote(excerpt(question))})
	if answer != "" {
		p.last = append(p.last, saying{completion.RoleAssistant, quote(excerpt(answer))})
	}
	p.last = append(p.last, saying{completion.RoleUser, quote(askName)})
	return p
}

// suggesting asks what one could ask.
func suggesting(count int) saying {
	return saying{completion.RoleUser, quote(fmt.Sprintf(askQuestion, count))}
}

// excerpt is the beginning of a text.
func excerpt(text string) string {
	return string(cut([]rune(text), nameExcerpt))
}

func cut(text []rune, most int) []rune {
	if len(text) > most {
		return append(text[:most-1:most-1], '…')
	}
	return text
}

// cleanName is what a model has answered, as a name: one line without quotes around it and dots at its end, of at most
// maxName characters. It may be empty.
func cleanName(answer string) string {
	line := ""
	for l := range strings.Lines(answer) {
		if line = strings.TrimSpace(l); line != "" {
			break
		}
	}
	line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	for before := ""; before != line; {
		before = line
		line = strings.TrimSpace(strings.Trim(line, "\"'`*#“”„‘’«»"))
		line = strings.TrimSpace(strings.TrimRight(line, ".。…"))
	}
	return string(cut([]rune(line), maxName))
}
