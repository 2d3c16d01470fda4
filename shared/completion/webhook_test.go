package completion_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestWebhook_Wants(t *testing.T) {
	t.Parallel()
	w := completion.Webhook{Events: []string{"job.*", "response.failed"}}
	for notice, want := range map[string]bool{
		"job.completed": true, "job.expired": true, "response.failed": true, "response.completed": false, "jobs.x": false, "batch.completed": false,
	} {
		require.Equal(t, want, w.Wants(notice), notice)
	}
	all := completion.Webhook{Events: []string{"*"}}
	require.True(t, all.Wants("batch.completed"))
}

func TestValidEvents(t *testing.T) {
	t.Parallel()
	for _, good := range [][]string{{"*"}, {"job.*", "response.incomplete"}, completion.NoticeTypes} {
		require.NoError(t, completion.ValidEvents(good))
	}
	for _, bad := range [][]string{nil, {""}, {"job"}, {"jo*"}, {"job.comp*"}, {"x.*"}, {"job.completed", "job.queued"}, {"job.completed.*"}, {"**"}, {".*"}, {"*.*"}} {
		require.Error(t, completion.ValidEvents(bad), "%q", bad)
	}
}

func TestWebhook_Secrets(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := completion.NewWebhook("acme", "https://example.org", nil, now)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, "whsec_"))
	require.NoError(t, err)
	require.Len(t, key, 32)
	require.NotEqual(t, w.Secret, completion.NewWebhookSecret())
	require.Equal(t, []string{w.Secret}, w.Secrets(now))
	w.OldSecret, w.OldUntil = "old", now.Add(time.Second)
	require.Equal(t, []string{w.Secret, "old"}, w.Secrets(now))
	require.Equal(t, []string{w.Secret}, w.Secrets(w.OldUntil))
}

func TestNotice_Body(t *testing.T) {
	t.Parallel()
	n := completion.NewNotice("acme", "batch.completed", json.RawMessage(`{"id":"batch_1"}`), time.Unix(1719168000, 5))
	body, err := n.Body()
	require.NoError(t, err)
	require.Equal(t, `{"id":"`+n.ID+`","object":"event","type":"batch.completed","created_at":1719168000,"data":{"id":"batch_1"}}`, string(body))
	n.Data = json.RawMessage(`{`)
	_, err = completion.NewDelivery(&n, "whk_1", time.Now())
	require.Error(t, err)
}
