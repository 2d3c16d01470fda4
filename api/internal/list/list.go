// Package list makes pages of lists in OpenAI's shape, of items that are JSON already.
package list

import (
	"slices"

	"sluice/api/internal/raw"
)

// Item is one element: its id and its JSON.
type Item struct {
	ID   string
	JSON []byte
}

// Cut returns the page of all that begins after the item with the id after ("" for the first one), and whether more follow.
// ok is false if there is no such item.
func Cut(all []Item, after string, limit int, newest bool) (page []Item, more, ok bool) {
	all = slices.Clone(all)
	if newest {
		slices.Reverse(all)
	}
	if after != "" {
		at := slices.IndexFunc(all, func(i Item) bool { return i.ID == after })
		if at < 0 {
			return nil, false, false
		}
		all = all[at+1:]
	}
	if len(all) > limit {
		return all[:limit], true, true
	}
	return all, false, true
}

// Render returns the list object of a page.
func Render(page []Item, more bool) []byte {
	b := []byte(`{"object":"list","data":[`)
	for n, i := range page {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, i.JSON...)
	}
	first, last := "null", "null"
	if len(page) > 0 {
		first, last = raw.Quote(page[0].ID), raw.Quote(page[len(page)-1].ID)
	}
	b = append(b, `],"first_id":`+first+`,"last_id":`+last+`,"has_more":`...)
	if more {
		return append(b, "true}"...)
	}
	return append(b, "false}"...)
}
