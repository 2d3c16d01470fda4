package reply

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// FuzzStream_I4 makes a log of any sequence of acts, one byte each, and checks what is promised of its stream: numbers
// without gaps, any resumption exact, the same events however the chunks travelled, and the text of the response.
func FuzzStream_I4(f *testing.F) {
	for _, s := range []string{"abAB", "aabRaabb", "aRb", "tTuRtT", "rrab", "abRaX", "aRY", "abRabZ", "lab", "RRa", "vwVW", "Xnz", "a\\", "rarAaR", "000R1"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, acts string, background bool) {
		if len(acts) > 12 {
			return
		}
		p := newPlay(t, fmt.Sprintf(`{"model":"m","input":"x","background":%v}`, background)).start()
		for _, act := range []byte(acts) {
			if perform(p, act) {
				break
			}
		}
		if !p.job.State.Final() {
			p.delta(finish("stop")).end(completion.Completed)
		}
		agrees(t, p)
		for size := 1; size < 4; size++ {
			other := *p
			other.records = coalesce(t, p.records, func() int { return size })
			require.Equal(t, p.all(), other.all())
			require.Equal(t, p.watch(View{After: -1}, 0), other.watch(View{After: -1}, 0))
		}
	})
}

// perform adds what act stands for, and reports whether that ended the job.
func perform(p *play, act byte) bool {
	call := func(index int, id, name, argument string) {
		p.delta(fmt.Sprintf(`"delta":{"tool_calls":[{"index":%d,"id":%q,"function":{"name":%q,"arguments":%q}}]}`, index, id, name, argument))
	}
	switch act {
	case 'R':
		p.retrying().start()
	case 'X', 'Y', 'Z':
		p.end(map[byte]completion.State{'X': completion.Failed, 'Y': completion.Cancelled, 'Z': completion.Expired}[act])
		return true
	case 'L':
		p.delta(finish("length")).end(completion.Completed)
		return true
	case 't', 'u':
		call(0, "c0", "f", string(act))
	case 'T', 'U':
		call(1, "c1", "g", string(act))
	case 'v':
		call(0, "", "", "x")
	case 'w':
		call(2, "c"+string(act), "", "")
	case 'W':
		call(2, "", "h", "")
	case 'V':
		p.delta(`"delta":{"tool_calls":[{"id":"d","type":"custom","custom":{"name":"k","input":"i"}}]}`)
	case 'r', 's':
		p.delta(`"delta":{"reasoning_content":"` + string(act) + `"}`)
	case 'n':
		p.delta(`"delta":{"refusal":"n"}`)
	case 'l':
		p.delta(content("l") + `,"logprobs":{"content":[{"token":"l","logprob":-0.50}]}`)
	case 'e':
		p.delta(content(""), `"delta":{"content":null}`)
	case 'o':
		p.chunk(`{"choices":[{"index":1,"delta":{"content":"other"}}],"usage":{"prompt_tokens":1}}`)
	case '\\':
		p.delta(content(`\ud83d`), content(`\ude00`))
	default:
		p.delta(content(strings.Trim(string(rune('a'+act%4)), `"\`)))
	}
	return false
}
