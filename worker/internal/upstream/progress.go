package upstream

import "github.com/tidwall/gjson"

// progress knows how far an answer has come.
type progress struct {
	want    int            // choices that the request asks for
	chunks  int            // chunks seen
	ended   map[int64]bool // by choice: whether its finish_reason was seen
	running int            // choices seen but not ended
}

// add notes a chunk's choices.
func (p *progress) add(choices gjson.Result) {
	p.chunks++
	choices.ForEach(func(_, c gjson.Result) bool {
		index, reason := int64(0), ""
		c.ForEach(func(k, v gjson.Result) bool {
			switch {
			case k.Str == "index":
				index = v.Int()
			case k.Str == "finish_reason" && v.Type == gjson.String:
				reason = v.Str
			}
			return true
		})
		p.note(index, reason != "")
		return true
	})
}

func (p *progress) note(index int64, ends bool) {
	ended, known := p.ended[index]
	if known && (ended || !ends) {
		return
	}
	if p.ended == nil {
		p.ended = map[int64]bool{} // as large as the answer, not as the client's n
	}
	p.ended[index] = ends
	switch {
	case known:
		p.running--
	case !ends:
		p.running++
	}
}

// finished reports whether every choice has its finish_reason. Before the stream's orderly end, choices that the
// request asks for may not have begun.
func (p *progress) finished(orderlyEnd bool) bool {
	return len(p.ended) > 0 && p.running == 0 && (orderlyEnd || len(p.ended) >= p.want)
}
