package response

// messages collects chat messages. What the assistant said and called in one turn becomes one message, as chat completions
// have it, although Responses has an item for each.
type messages struct {
	list []string
	turn *turn
}

// turn is an assistant message that may still be added to.
type turn struct {
	content string // raw; empty: none yet
	calls   array
}

func (m *messages) add(message string) {
	m.flush()
	m.list = append(m.list, message)
}

// said adds what the assistant said.
func (m *messages) said(content string) {
	if m.turn != nil && m.turn.content != "" {
		m.flush()
	}
	m.open().content = content
}

// called adds a tool call of the assistant.
func (m *messages) called(call string) { m.open().calls.add(call) }

func (m *messages) open() *turn {
	if m.turn == nil {
		m.turn = &turn{}
	}
	return m.turn
}

func (m *messages) flush() {
	if m.turn == nil {
		return
	}
	o := object{}
	o.setText("role", "assistant")
	if m.turn.content == "" {
		m.turn.content = "null"
	}
	o.set("content", m.turn.content)
	if len(m.turn.calls.text) > 0 {
		o.set("tool_calls", m.turn.calls.String())
	}
	m.list, m.turn = append(m.list, o.String()), nil
}

func (m *messages) all() []string {
	m.flush()
	return m.list
}
