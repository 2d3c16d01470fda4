package answer_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/answer"
)

// token is a chunk as upstreams send hundreds of for an answer.
func token(n int) []byte {
	return fmt.Appendf(nil, `{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" token%d"},"logprobs":null,"finish_reason":null}],"usage":null}`, n%10)
}

func tokens() (list [10][]byte) {
	for i := range list {
		list[i] = token(i)
	}
	return list
}

// BenchmarkAdd is what a worker does with each chunk besides passing it on.
func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	var a answer.Answer
	list, n := tokens(), 0
	for b.Loop() {
		if _, err := a.Add(list[n%len(list)]); err != nil {
			b.Fatal(err)
		}
		if n++; n%1000 == 0 {
			a = answer.Answer{}
		}
	}
}

// TestAdd_Allocations: a chunk of text costs one allocation, what is to be said of it; the answer itself grows by doubling.
// Allocations beside it would count, so it is not parallel.
func TestAdd_Allocations(t *testing.T) {
	var a answer.Answer
	list, n := tokens(), 0
	add := func() {
		slim, err := a.Add(list[n%len(list)])
		if n++; err != nil || len(slim) == 0 {
			t.Fatal(err)
		}
	}
	for range 5000 {
		add()
	}
	require.InDelta(t, 1, testing.AllocsPerRun(1000, add), 0)
}
