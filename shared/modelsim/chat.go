package modelsim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	nameAsked      = regexp.MustCompile(`(?i)^name this conversation\b`)
	questionsAsked = regexp.MustCompile(`(?i)^suggest (\d) short questions\b`)
)

// nameWords is how many words of the first message make a name.
const nameWords = 6

// chat is what the model says to a last message that asks for a name of the conversation, or for questions; "" to any other.
func chat(messages []string) string {
	last := messages[len(messages)-1]
	if nameAsked.MatchString(last) {
		words := strings.Fields(messages[0])
		return strings.Join(words[:min(len(words), nameWords)], " ")
	}
	asked := questionsAsked.FindStringSubmatch(last)
	if asked == nil {
		return ""
	}
	count, _ := strconv.Atoi(asked[1]) // a digit
	lines := make([]string, 0, count)
	for n := range count {
		lines = append(lines, fmt.Sprintf("What would simulated question %d be?", n+1))
	}
	return strings.Join(lines, "\n")
}
