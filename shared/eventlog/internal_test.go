package eventlog

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func record(seq int64, attempt int, kind completion.EventType) completion.Record {
	e := completion.Event{Type: kind, Seq: seq, Attempt: attempt}
	data, err := e.Encode()
	if err != nil {
		panic(err)
	}
	return completion.Record{Seq: seq, Attempt: attempt, Type: kind, Data: data}
}

func TestMerge_Add(t *testing.T) {
	t.Parallel()
	const s, d, r, c = completion.EventStarted, completion.EventDelta, completion.EventRetrying, completion.EventCompleted
	const l, p = completion.EventLines, completion.EventProgress
	for name, tc := range map[string]struct {
		after int64
		in    []completion.Record
		want  []int64
		final bool
	}{
		"in order":                            {0, []completion.Record{record(1, 1, s), record(2, 1, d), record(3, 1, c)}, []int64{1, 2, 3}, true},
		"twice":                               {0, []completion.Record{record(1, 1, s), record(1, 1, s), record(2, 1, d), record(1, 1, s), record(2, 1, d)}, []int64{1, 2}, false},
		"from the middle":                     {1, []completion.Record{record(1, 1, s), record(2, 1, d), record(3, 1, c)}, []int64{2, 3}, true},
		"next attempt":                        {0, []completion.Record{record(1, 1, s), record(2, 1, r), record(3, 2, s), record(4, 2, d)}, []int64{1, 2, 3, 4}, false},
		"begun anew":                          {0, []completion.Record{record(1, 1, s), record(2, 1, d), record(7, 1, s), record(8, 1, d)}, []int64{1, 2, 7, 8}, false},
		"I3 head discarded":                   {0, []completion.Record{record(5, 1, d), record(6, 1, d), record(7, 1, c)}, []int64{7}, true},
		"I3 head discarded, next attempt":     {0, []completion.Record{record(5, 1, r), record(6, 2, s), record(7, 2, d)}, []int64{6, 7}, false},
		"I3 hole in the middle":               {0, []completion.Record{record(1, 1, s), record(2, 1, d), record(4, 1, d), record(5, 1, d), record(6, 1, c)}, []int64{1, 2, 6}, true},
		"I3 resumed, then a hole":             {7, []completion.Record{record(8, 2, d), record(10, 2, r), record(11, 3, s)}, []int64{8, 11}, false},
		"ended in another's place":            {0, []completion.Record{record(1, 1, s), record(2, 1, d), record(3, 2, completion.EventStoring), record(4, 2, c)}, []int64{1, 2, 3, 4}, true},
		"start not seen":                      {0, []completion.Record{record(1, 1, s), record(5, 2, d), record(6, 2, d), record(7, 2, c)}, []int64{1, 7}, true},
		"start not seen, then another":        {0, []completion.Record{record(1, 1, s), record(5, 2, d), record(6, 3, s), record(7, 3, d)}, []int64{1, 6, 7}, false},
		"zombie restates":                     {0, []completion.Record{record(1, 2, s), record(2, 1, s), record(3, 1, d), record(4, 2, s), record(5, 2, d)}, []int64{1, 4, 5}, false},
		"batch, taken on by another":          {0, []completion.Record{record(1, 1, s), record(2, 1, l), record(3, 2, p), record(4, 2, l)}, []int64{1, 2, 3, 4}, false},
		"batch, head discarded":               {0, []completion.Record{record(5, 3, l), record(9, 3, p), record(10, 3, c)}, []int64{5, 9, 10}, true},
		"nothing after the end":               {0, []completion.Record{record(1, 1, c), record(2, 1, d)}, []int64{1}, true},
		"end seen before":                     {3, []completion.Record{record(2, 1, d), record(3, 1, c)}, nil, true},
		"rewound below what was seen, at end": {50, []completion.Record{record(1, 2, s), record(2, 2, d), record(3, 2, c)}, []int64{51}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []int64
			m := &merge{last: tc.after, yield: func(r completion.Record, _ error) bool {
				e, err := r.Event()
				require.NoError(t, err)
				require.Equal(t, r.Seq, e.Seq)
				got = append(got, r.Seq)
				return true
			}}
			for _, r := range tc.in {
				m.add(r)
			}
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.final, m.final)
		})
	}
}

func TestMerge_Add_ViewerLeaves(t *testing.T) {
	t.Parallel()
	n := 0
	m := &merge{yield: func(completion.Record, error) bool { n++; return false }}
	require.False(t, m.add(record(1, 1, completion.EventStarted)))
	require.False(t, m.add(record(2, 1, completion.EventDelta)))
	require.Equal(t, 1, n)
	require.True(t, m.done())
	require.False(t, m.final)
}

func TestMerge_Add_LargestSeq(t *testing.T) {
	t.Parallel()
	_, ok := head([]byte(`{"type":"delta","seq":9223372036854775807,"attempt":1}`))
	require.False(t, ok, "nothing could come behind it")
	_, err := parseQuestion([]byte(`{"from":9223372036854775807}`))
	require.ErrorIs(t, err, errQuestion)
	var got []int64
	m := &merge{last: completion.MaxSeq, yield: func(r completion.Record, _ error) bool { got = append(got, r.Seq); return true }}
	m.add(record(3, 1, completion.EventCompleted))
	require.Equal(t, []int64{completion.MaxSeq + 1}, got, "the end is told behind all that was seen")
}

func TestLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mine, end completion.Record
		want      bool
	}{
		"all gone":                         {record(5, 1, "delta"), completion.Record{}, true},
		"some gone":                        {record(5, 1, "delta"), record(3, 1, "delta"), true},
		"all gone, a zombie has restated":  {record(5, 2, "delta"), record(9, 1, "delta"), true},
		"a later attempt":                  {record(5, 1, "delta"), record(6, 2, "started"), false},
		"all gone, a later attempt began":  {record(5, 1, "delta"), record(1, 2, "started"), false},
		"another tail of the same attempt": {record(5, 1, "delta"), record(6, 1, "delta"), false},
	} {
		require.Equal(t, c.want, lost(c.mine, c.end), name)
	}
}

func TestAsker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, reply string
		ok             bool
	}{
		{"replay.acme.job_1", "rp.acme.job_1.x.1", true},
		{"replay.acme.job_1", "rp.acme.job_1.", true},
		{"replay.acme.job_1", "", false},
		{"replay.acme.job_1", "rp.acme.job_1", false},
		{"replay.acme.job_1", "rp.acme.job_2.x", false},
		{"replay.acme.job_1", "rp.other.job_1.x", false},
		{"replay.acme.job_1", "rp.acme.job_11.x", false},
		{"replay.acme.job_1", "in.3.acme.job_1", false},
		{"replay.acme.job_1", "completions.acme.job_1", false},
		{"replay.acme.job_1", "$JS.API.STREAM.DELETE.C1", false},
		{"replay.acme.job_1", "rp.acme.job_1.>", false},
		{"replay.acme.*", "rp.acme.*.x", false},
		{"replay.*.job_1", "rp.*.job_1.x", false},
		{"replay.acme", "rp.acme.x", false},
		{"replay.acme.job_1.x", "rp.acme.job_1.x.y", false},
		{"other.acme.job_1", "rp.acme.job_1.x", false},
	} {
		ref, ok := asker(c.subject, c.reply)
		require.Equal(t, c.ok, ok, c)
		if ok {
			require.Equal(t, completion.Ref{Tenant: "acme", Job: "job_1"}, ref)
		}
	}
}

func TestShard_CoversAll(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for range 4000 {
		seen[shard(completion.NewJobID())]++
	}
	require.Len(t, seen, Shards)
	require.Equal(t, 1, shard("job7"), "the shard is part of the subject and may never change")
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"type":"delta","seq":2,"attempt":1,"at":"2026-01-02T02:04:05Z","chunks":[{}]}`))
	f.Add([]byte(`{"type":"delta"`))
	f.Add([]byte(`[1,2,{"seq":-1e99}]`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := head(data)
		if ok {
			require.Positive(t, r.Seq)
			require.LessOrEqual(t, r.Seq, int64(completion.MaxSeq))
			require.NotEmpty(t, r.Type)
			require.GreaterOrEqual(t, r.Attempt, 0)
		}
	})
}

func FuzzHead_ReadsWhatEncodeWrites(f *testing.F) {
	f.Add("delta", int64(7), 3, `{"seq":99,"type":"x"}`)
	f.Fuzz(func(t *testing.T, kind string, seq int64, attempt int, chunk string) {
		if completion.EventType(kind) != completion.EventDelta && completion.EventType(kind) != completion.EventStarted || seq < 1 || seq > completion.MaxSeq || attempt < 0 || !json.Valid([]byte(chunk)) {
			return
		}
		e := completion.Event{Type: completion.EventType(kind), Seq: seq, Attempt: attempt, At: time.Unix(0, 0), Chunks: []json.RawMessage{json.RawMessage(chunk)}}
		data, err := e.Encode()
		require.NoError(t, err)
		r, ok := head(data)
		require.True(t, ok)
		require.Equal(t, e.Type, r.Type)
		require.Equal(t, attempt, r.Attempt)
		require.Equal(t, seq, r.Seq)
	})
}

func FuzzParseQuestion(f *testing.F) {
	f.Add([]byte(`{"from":1}`))
	f.Add([]byte(`{"from":0}`))
	f.Add([]byte(`{"from":"1"}`))
	f.Add([]byte(`{"from":7,"cursor":"1790000000000000"}`))
	f.Add([]byte(`{"from":9223372036854775807}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseQuestion(data)
		if err == nil {
			require.Positive(t, q.From)
			require.LessOrEqual(t, q.From, int64(completion.MaxSeq)+1)
			require.Less(t, q.pos(), uint64(1)<<63)
			require.True(t, json.Valid(data))
		}
	})
}
