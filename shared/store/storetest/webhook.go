package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// hook adds a webhook of the tenant acme.
func hook(t *testing.T, s *store.Store, events ...string) completion.Webhook {
	t.Helper()
	return hookOf(t, s, "acme", events...)
}

func hookOf(t *testing.T, s *store.Store, tenant string, events ...string) completion.Webhook {
	t.Helper()
	w := completion.NewWebhook(tenant, "https://example.org/"+tenant, events, now())
	require.NoError(t, s.AddWebhook(t.Context(), w))
	return w
}

// told makes deliveries of all notices and returns those of a webhook, the oldest first.
func told(t *testing.T, s *store.Store, w completion.Webhook) []completion.Delivery {
	t.Helper()
	for taken := 1; taken > 0; {
		var err error
		taken, err = s.FanOut(t.Context(), now(), 2)
		require.NoError(t, err)
	}
	page, next, err := s.Deliveries(t.Context(), w.Tenant, w.ID, store.DeliveryQuery{Limit: 100})
	require.NoError(t, err)
	require.Empty(t, next)
	for i, j := 0, len(page)-1; i < j; i, j = i+1, j-1 {
		page[i], page[j] = page[j], page[i]
	}
	return page
}

func typesOf(list []completion.Delivery) []string {
	types := []string{}
	for _, d := range list {
		types = append(types, d.Type)
	}
	return types
}

func webhookRoundTrip(t *testing.T, s *store.Store) {
	ours := completion.NewWebhook("acme", "https://example.org/\x00", []string{"job.*", "response.failed"}, now())
	ours.ID = "whk_0" // before the next, which may be of the same millisecond
	ours.Description, ours.Enabled, ours.Disabled = "a\x00b", false, "gone"
	ours.OldSecret, ours.OldUntil = "whsec_old", now().Add(time.Hour)
	require.NoError(t, s.AddWebhook(t.Context(), ours))
	second, theirs := hook(t, s, "*"), hookOf(t, s, "other", "*")
	ours.URL, ours.Description = "https://example.org/\uFFFD", "a\uFFFDb"
	list, err := s.Webhooks(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, []completion.Webhook{ours, second}, list)
	got, err := s.Webhook(t.Context(), "other", theirs.ID)
	require.NoError(t, err)
	require.Equal(t, theirs, got)
	require.Error(t, s.AddWebhook(t.Context(), ours), "a webhook is added once")
}

func webhookWalls(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	d := told(t, s, w)
	require.Empty(t, d)
	add1 := testDelivery(t, w)
	require.NoError(t, s.AddDelivery(t.Context(), add1))
	for name, who := range map[string][2]string{"another's": {"other", w.ID}, "missing": {"acme", "whk_0"}, "nobody's": {"", w.ID}} {
		_, err := s.Webhook(t.Context(), who[0], who[1])
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.ChangeWebhook(t.Context(), who[0], who[1], now(), func(*completion.Webhook) error { return errors.New("reached") })
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		require.ErrorIs(t, s.DeleteWebhook(t.Context(), who[0], who[1]), completion.ErrNotFound, name)
		page, _, err := s.Deliveries(t.Context(), who[0], who[1], store.DeliveryQuery{})
		require.NoError(t, err)
		require.Empty(t, page, name)
		_, err = s.Resend(t.Context(), who[0], who[1], add1.ID, now())
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		foreign := add1
		foreign.Tenant, foreign.Webhook = who[0], who[1]
		require.ErrorIs(t, s.AddDelivery(t.Context(), foreign), completion.ErrNotFound, name)
	}
	_, err := s.StartDelivery(t.Context(), "other", add1.ID, 0, now(), now())
	require.ErrorIs(t, err, completion.ErrStale)
	foreign := add1
	foreign.Tenant, foreign.State = "other", completion.DeliveryFailed
	require.NoError(t, s.EndDelivery(t.Context(), foreign))
	require.Equal(t, []completion.Delivery{add1}, told(t, s, w), "nothing changed")
	after, err := s.Webhook(t.Context(), "acme", w.ID)
	require.NoError(t, err)
	require.Equal(t, w, after)
}

func webhookMany(t *testing.T, s *store.Store) {
	for range completion.MaxWebhooks {
		hook(t, s, "*")
	}
	err := s.AddWebhook(t.Context(), completion.NewWebhook("acme", "https://example.org", []string{"*"}, now()))
	require.Equal(t, completion.CodeTooManyWebhooks, completion.AsError(err).Code)
	hookOf(t, s, "other", "*")
}

func webhookChange(t *testing.T, s *store.Store) {
	w, at := hook(t, s, "*"), now().Add(time.Minute)
	reason := errors.New("no")
	_, err := s.ChangeWebhook(t.Context(), "acme", w.ID, at, func(w *completion.Webhook) error {
		w.URL = "https://other.example.org"
		return reason
	})
	require.ErrorIs(t, err, reason)
	changed, err := s.ChangeWebhook(t.Context(), "acme", w.ID, at, func(w *completion.Webhook) error {
		w.Enabled, w.Events, w.OldSecret, w.OldUntil, w.Secret = false, []string{"job.failed"}, w.Secret, at.Add(time.Hour), "whsec_new"
		return nil
	})
	require.NoError(t, err)
	want := w
	want.Enabled, want.Events, want.OldSecret, want.OldUntil, want.Secret, want.UpdatedAt = false, []string{"job.failed"}, w.Secret, at.Add(time.Hour), "whsec_new", at
	require.Equal(t, want, changed)
	got, err := s.Webhook(t.Context(), "acme", w.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func webhookDelete(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	require.NoError(t, s.AddDelivery(t.Context(), testDelivery(t, w)))
	require.NoError(t, s.DeleteWebhook(t.Context(), "acme", w.ID))
	require.Empty(t, told(t, s, w))
	require.ErrorIs(t, s.DeleteWebhook(t.Context(), "acme", w.ID), completion.ErrNotFound)
	cancelled(t, s, add(t, s))
	taken, err := s.FanOut(t.Context(), now(), 10)
	require.NoError(t, err)
	require.Zero(t, taken, "nobody wants to know")
}

func cancelled(t *testing.T, s *store.Store, job completion.Job) {
	t.Helper()
	_, _, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
}

// noticeEnds ends jobs in every way, each of which tells of it once.
func noticeEnds(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	var want []string
	tells := func(types ...string) {
		t.Helper()
		want = append(want, types...)
		require.ElementsMatch(t, want, typesOf(told(t, s, w)))
	}
	for _, state := range []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired} {
		job := claim(t, s, add(t, s), "w1")
		tells()
		_, err := s.Finish(t.Context(), job.Ref(), 1, outcome(state))
		require.NoError(t, err)
		_, _ = s.Finish(t.Context(), job.Ref(), 1, outcome(state)) // a repeat says nothing new
		tells("job." + string(state))
	}
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued)}))
	tells()
	cancelled(t, s, job)
	tells("job.cancelled")
	job = claim(t, s, add(t, s), "w1")
	cancelled(t, s, job)
	tells() // it runs until its worker has ended it
	_, err := s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Cancelled))
	require.NoError(t, err)
	tells("job.cancelled")
	late := func(j *completion.Job) { j.Deadline = now().Add(-time.Second) }
	add(t, s, late)
	_, err = s.Expire(t.Context(), now(), 10)
	require.NoError(t, err)
	tells("job.expired")
	job = add(t, s, late)
	_, err = s.Claim(t.Context(), job.Ref(), "w1", now())
	require.ErrorIs(t, err, completion.ErrFinal)
	tells("job.expired")
}

// noticeResponse: a job of /v1/responses has ended in two ways at once.
func noticeResponse(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	only := hook(t, s, "response.incomplete")
	var want []string
	seen := map[string]bool{} // notices; those of one millisecond come in any order
	for _, c := range []struct {
		state  completion.State
		reason string
		typ    string
	}{
		{completion.Completed, "stop", "response.completed"},
		{completion.Completed, "", "response.completed"},
		{completion.Completed, "length", "response.incomplete"},
		{completion.Completed, "content_filter", "response.incomplete"},
		{completion.Completed, "incomplete", "response.incomplete"},
		{completion.Failed, "length", "response.failed"},
		{completion.Cancelled, "", "response.cancelled"},
		{completion.Expired, "", "response.failed"},
	} {
		job := claim(t, s, add(t, s, func(j *completion.Job) { j.Endpoint = completion.EndpointResponses }), "w1")
		o := outcome(c.state)
		o.FinishReason = c.reason
		done, err := s.Finish(t.Context(), job.Ref(), 1, o)
		require.NoError(t, err)
		all := told(t, s, w)
		require.ElementsMatch(t, append(want, "job."+string(c.state), c.typ), typesOf(all))
		for _, d := range all {
			if seen[d.Notice] {
				continue
			}
			seen[d.Notice] = true
			body := gjson.ParseBytes(d.Body)
			require.Equal(t, d.Notice, body.Get("id").Str)
			require.Regexp(t, `^evt_[0-9a-f]{32}$`, d.Notice)
			require.Equal(t, "event", body.Get("object").Str)
			require.Equal(t, d.Type, body.Get("type").Str)
			require.Equal(t, done.FinishedAt.Unix(), body.Get("created_at").Int())
			if d.Type == c.typ {
				require.JSONEq(t, `{"id":"resp_`+job.ID[4:]+`"}`, body.Get("data").Raw)
			} else {
				require.JSONEq(t, `{"id":"`+job.ID+`","state":"`+string(c.state)+`","subject":"`+job.Ref().Subject()+`"}`, body.Get("data").Raw)
			}
		}
		want = typesOf(all)
	}
	require.Equal(t, []string{"response.incomplete", "response.incomplete", "response.incomplete"}, typesOf(told(t, s, only)))
}

// noticeWanted: notices go to the enabled webhooks of the job's tenant that want them.
func noticeWanted(t *testing.T, s *store.Store) {
	all, some, none, theirs := hook(t, s, "*"), hook(t, s, "job.failed", "job.cancelled"), hook(t, s, "response.*"), hookOf(t, s, "other", "*")
	off := hook(t, s, "*")
	_, err := s.ChangeWebhook(t.Context(), "acme", off.ID, now(), func(w *completion.Webhook) error { w.Enabled = false; return nil })
	require.NoError(t, err)
	cancelled(t, s, add(t, s))
	require.Len(t, told(t, s, all), 1)
	for _, w := range []completion.Webhook{none, theirs, off} {
		require.Empty(t, told(t, s, w))
	}
	same := told(t, s, some)
	require.Len(t, same, 1)
	require.Equal(t, told(t, s, all)[0].Notice, same[0].Notice, "one notice has one id")
	require.Equal(t, told(t, s, all)[0].Body, same[0].Body)
}
