package talk_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

const (
	clients = 64
	acts    = 12 // of each
)

// crowd is what many clients do to one conversation, and what they were told.
type crowd struct {
	*bed
	conversation string // its path

	mu      sync.Mutex
	said    map[string]completion.Message // all messages of accepted turns, by id
	turns   []string                      // the jobs of accepted turns
	dropped map[string]bool               // messages whose deletion was answered
	copies  []string                      // paths of clones
	asides  []string
	faults  []string
}

func (c *crowd) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// heard notes an accepted turn.
func (c *crowd) heard(turn gjson.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := turn.Get("id").Str; !slices.Contains(c.turns, id) {
		c.turns = append(c.turns, id)
	}
	for _, m := range turn.Get("messages").Array() {
		one := completion.Message{ID: m.Get("id").Str, Parent: m.Get("parent").Str, Seq: int(m.Get("seq").Int()), Role: completion.Role(m.Get("role").Str)}
		if known, ok := c.said[one.ID]; ok && (known.Parent != one.Parent || known.Seq != one.Seq || known.Role != one.Role) {
			c.faults = append(c.faults, "message "+one.ID+" was told twice, and not the same")
		}
		c.said[one.ID] = one
	}
}

// pick is a message that was said at some time, maybe deleted by now.
func (c *crowd) pick(r *rand.Rand, want func(m completion.Message) bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id, m := range c.said {
		if want(m) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "msg_none"
	}
	slices.Sort(ids)
	return ids[r.IntN(len(ids))]
}

func user(m completion.Message) bool  { return m.Role == completion.RoleUser }
func reply(m completion.Message) bool { return m.Role == completion.RoleAssistant }
func either(completion.Message) bool  { return true }

// policies are those of the turns: as many that wait as there must be for some to begin.
var policies = slices.Concat(completion.Policies, slices.Repeat([]completion.Policy{completion.PolicyQueue}, 36))

// client does its acts, one after the other.
func (c *crowd) client(n int) {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range acts {
		text := fmt.Sprintf("client %d says %d", n, i)
		turn := fmt.Sprintf(`"policy":%q,"parameters":{"model":%q}`, policies[r.IntN(len(policies))],
			[]string{"sim-instant", "sim?tps=2000&first=5ms", "sim-instant?fail=400"}[min(r.IntN(8)/3, 2)])
		switch k := r.IntN(20); {
		case k < 8:
			c.take(n, i, r, http.MethodPost, c.conversation+"/messages", fmt.Sprintf(`{"content":%q,%s}`, text, turn))
		case k < 11:
			c.take(n, i, r, http.MethodPost, c.conversation+"/messages/"+c.pick(r, user)+"/edit", fmt.Sprintf(`{"content":%q,%s}`, text, turn))
		case k < 13:
			c.take(n, i, r, http.MethodPost, c.conversation+"/regenerate", `{`+turn+`}`)
		case k < 14:
			c.act(n, http.MethodPost, "/v1/jobs/"+c.pick(r, reply)+"/cancel", "")
		case k < 15:
			id := c.pick(r, either)
			if c.act(n, http.MethodDelete, c.conversation+"/messages/"+id, "").Get("deleted").Bool() {
				c.mu.Lock()
				c.dropped[id] = true
				c.mu.Unlock()
			}
		case k < 17:
			c.act(n, http.MethodPatch, c.conversation, fmt.Sprintf(`{"branch":%q}`, c.pick(r, either)))
		case k < 18:
			c.act(n, http.MethodPut, c.conversation+"/messages/"+c.pick(r, reply)+"/rating", `{"rating":1}`)
		case k < 19:
			if id := c.act(n, http.MethodPost, c.conversation+"/clone", "").Get("id").Str; id != "" {
				c.mu.Lock()
				c.copies = append(c.copies, path+"/"+id)
				c.mu.Unlock()
			}
		default:
			if id := c.act(n, http.MethodPost, c.conversation+"/suggestions", "").Get("id").Str; id != "" {
				c.mu.Lock()
				c.asides = append(c.asides, id)
				c.mu.Unlock()
			}
		}
	}
}

// act does what may be refused for what others have done, but for nothing else. On a slow machine the crowd is so dense that
// some wait longer for the conversation than the store lets them: they come again, as clients do.
func (c *crowd) act(n int, method, path, body string, header ...string) gjson.Result {
	status, told := c.do(n, method, path, body, header...)
	for told.Get("error.code").Str == "service_unavailable" {
		status, told = c.do(n, method, path, body, header...)
	}
	switch code := told.Get("error.code").Str; {
	case status >= 200 && status < 300:
	case status == http.StatusNotFound, status == http.StatusBadRequest && told.Get("error.param").Str == "branch":
	case code == "turn_running", code == "nothing_to_answer", code == "queue_limit_exceeded":
	default:
		c.fault("%s %s %s: %d %s", method, path, body, status, told.Raw)
	}
	return told
}

// take asks for a turn, now and then twice at once with the same key.
func (c *crowd) take(n, i int, r *rand.Rand, method, path, body string) {
	key := fmt.Sprintf("%d-%d", n, i)
	if r.IntN(3) > 0 {
		if told := c.act(n, method, path, body, "Idempotency-Key", key); told.Get("id").Exists() {
			c.heard(told)
		}
		return
	}
	var both sync.WaitGroup
	var told [2]gjson.Result
	for k := range told {
		both.Go(func() { told[k] = c.act(n+k, method, path, body, "Idempotency-Key", key) })
	}
	both.Wait()
	ids := map[string]bool{}
	for _, t := range told {
		if t.Get("id").Exists() {
			c.heard(t)
			ids[t.Get("id").Str] = true
		}
	}
	if len(ids) > 1 {
		c.fault("one key made two turns: %v", ids)
	}
}

// watch looks at the conversation again and again until done, as those do who only read it.
func (c *crowd) watch(n int, done <-chan struct{}) {
	ref := completion.Ref{Tenant: tenant, Job: c.conversation[len(path)+1:]}
	for {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond): // leave the processors to the clients
		}
		c.mu.Lock()
		gone := make(map[string]bool, len(c.dropped))
		for id := range c.dropped {
			gone[id] = true
		}
		c.mu.Unlock()
		status, page := c.do(n, http.MethodGet, c.conversation+"/messages?limit=200", "")
		if status != http.StatusOK {
			c.fault("list messages: %d %s", status, page.Raw)
			continue
		}
		before := gjson.Result{}
		for i, m := range page.Get("data").Array() {
			switch {
			case gone[m.Get("id").Str]:
				c.fault("deleted message %s is there", m.Get("id").Str)
			case i > 0 && (m.Get("parent").Str != before.Get("id").Str || m.Get("seq").Int() <= before.Get("seq").Int()):
				c.fault("message %s does not follow %s", m.Raw, before.Raw)
			case m.Get("role").Str == "assistant" && i > 0 && before.Get("role").Str != "user":
				c.fault("answer %s answers nothing", m.Raw)
			}
			before = m
		}
		running := 0
		live, err := c.back.Store.Live(c.t.Context(), ref)
		if err != nil {
			c.fault("read turns: %v", err)
		}
		for i := range live {
			if !live[i].Held {
				running++
			}
		}
		if running > 1 {
			c.fault("%d turns at once", running)
		}
	}
}

// TestConversation_C1_to_C9_Crowd has 64 clients say, edit, regenerate, cancel, delete, change branches, copy and rate in one
// conversation at once, under all policies, while others look on.
func TestConversation_C1_to_C9_Crowd(t *testing.T) {
	t.Parallel()
	c := &crowd{bed: newBed(t), said: map[string]completion.Message{}, dropped: map[string]bool{}}
	status, made := c.do(0, http.MethodPost, path, `{"system":"S","parameters":{"context_messages":10000,"context_tokens":4000000}}`)
	require.Equal(t, http.StatusCreated, status, made.Raw)
	c.conversation = path + "/" + made.Get("id").Str
	done := make(chan struct{})
	var crowd, watchers sync.WaitGroup
	for n := range 4 {
		watchers.Go(func() { c.watch(n, done) })
	}
	for n := range clients {
		crowd.Go(func() { c.client(n) })
	}
	crowd.Wait()
	require.Eventually(t, func() bool {
		_, now := c.do(0, http.MethodGet, c.conversation, "")
		open, err := c.back.Store.Unsettled(t.Context(), 1)
		return err == nil && len(open) == 0 && len(now.Get("live").Array()) == 0
	}, 2*time.Minute, 20*time.Millisecond, "everything ends (C7)")
	close(done)
	watchers.Wait()
	require.Empty(t, c.faults)
	c.check()
}
