package eventlog

import (
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// head reads an event's place and type from its bytes, which the record then shares; it does not check the rest. ok is
// false for what is not an event. The three fields come first in an encoded event, so the cost does not depend on its
// size.
func head(data []byte) (r completion.Record, ok bool) {
	r.Type = completion.EventType(gjson.GetBytes(data, "type").Str)
	r.Seq = gjson.GetBytes(data, "seq").Int()
	r.Attempt = int(gjson.GetBytes(data, "attempt").Int())
	r.Data = data
	return r, r.Type != "" && r.Seq > 0 && r.Seq <= completion.MaxSeq && r.Attempt >= 0
}
