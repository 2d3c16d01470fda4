package conversations

import (
	"context"
	"errors"

	"sluice/shared/completion"
)

// pageTries is how often a page is read whose end is deleted meanwhile.
const pageTries = 5

// page reads the messages that are asked for.
func (f *Face) page(ctx context.Context, in *messagesInput) (page []completion.Message, err error) {
	ref, err := ref(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	for range pageTries {
		var c completion.Conversation
		if c, err = f.Store.Conversation(ctx, ref); err != nil {
			return nil, err
		}
		from, err := f.end(ctx, ref, &c, in)
		if err != nil {
			return nil, err
		}
		page, err = f.Store.Path(ctx, ref, from, in.Limit)
		if !errors.Is(err, completion.ErrNotFound) {
			return page, err
		}
	}
	return nil, err
}

// end is the message that the page ends with; "" if there is none.
func (f *Face) end(ctx context.Context, ref completion.Ref, c *completion.Conversation, in *messagesInput) (string, error) {
	for _, given := range []struct{ name, id string }{{"before", in.Before}, {"branch", in.Branch}} {
		if given.id == "" {
			continue
		}
		var end string
		m, err := f.Store.Message(ctx, ref, given.id)
		if end = m.Parent; given.name == "branch" && err == nil {
			end, err = f.Store.Leaf(ctx, ref, given.id)
		}
		if errors.Is(err, completion.ErrNotFound) {
			err = completion.Invalid(given.name, "The conversation has no message by that id.")
		}
		return end, err
	}
	return c.Head, nil
}
