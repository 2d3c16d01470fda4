// Package storetest is the contract of package store: what every database under it must keep. Each subtest is one
// promise; those of an invariant carry its number.
package storetest

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// now is a time that both databases keep exactly.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Run checks the store that open returns, anew for each subtest.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"Add/RoundTrip":              addRoundTrip,
		"Add/I7_SameKeySameJob":      addSameKey,
		"Add/I7_ManyAtOnce":          addManyAtOnce,
		"Add/Names":                  addNames,
		"Tenant/I8_Walls":            tenantWalls,
		"List/PagesStayPut":          listPages,
		"List/Filters":               listFilters,
		"List/TimesInOrder":          listTimes,
		"Claim/NextAttempt":          claimNext,
		"Claim/OneOfManyWins":        claimOneWins,
		"Claim/Held":                 claimHeld,
		"Claim/DeadWorker":           claimDeadWorker,
		"Claim/Final":                claimFinal,
		"Retry/QueuesAgain":          retryQueues,
		"Retry/I5_Stale":             retryStale,
		"Retry/I9_Cancelled":         retryCancelled,
		"Finish/RoundTrip":           finishRoundTrip,
		"Finish/I2_Repeated":         finishRepeated,
		"Finish/I5_Stale":            finishStale,
		"Finish/I5_HandedBack":       finishHandedBack,
		"Finish/NotFinal":            finishNotFinal,
		"Finish/I1_OneOutcome":       finishOneOutcome,
		"Cancel/I9_Queued":           cancelQueued,
		"Cancel/I9_Running":          cancelRunning,
		"Cancel/I9_DeadWorker":       cancelDeadWorker,
		"Cancel/I9_Final":            cancelFinal,
		"Cancel/I9_AgainstFinish":    cancelAgainstFinish,
		"Cancel/I9_AgainstRetry":     cancelAgainstRetry,
		"Cancel/I9_AgainstClaim":     cancelAgainstClaim,
		"Orphans/I1_OnlyTheLost":     orphansOnlyLost,
		"Orphans/I1_PageByPage":      orphansPages,
		"Abandoned/I1_DeadWorkers":   abandonedDead,
		"Expire/OnlyQueuedAndLate":   expireLate,
		"Expire/I1_ManyAtOnce":       expireAtOnce,
		"Expire/Claim":               expireClaim,
		"Expire/AgainstClaim":        expireAgainstClaim,
		"Add/RetryOf":                addRetryOf,
		"Worker/Leave":               workerLeave,
		"Key/RoundTrip":              keyRoundTrip,
		"Key/Use":                    keyUse,
		"Key/I8_Revoke":              keyRevoke,
		"Key/Grant":                  keyGrant,
		"System/Workers":             systemWorkers,
		"System/Failures":            systemFailures,
		"Limits/Set":                 limitsSet,
		"Talk/Turn":                  talkTurn,
		"Preset/Set":                 presetSet,
		"Quota/AtOnce":               quotaAtOnce,
		"Quota/I7_Repeats":           quotaRepeats,
		"Quota/RetryOf":              quotaRetryOf,
		"Quota/Days":                 quotaDays,
		"Quota/I8_Owners":            quotaOwners,
		"Quota/Change":               quotaChange,
		"Quota/Forgets":              quotaForgets,
		"Quota/Batch":                quotaBatch,
		"Quota/Turns":                quotaTurns,
		"Webhook/RoundTrip":          webhookRoundTrip,
		"Webhook/I8_Walls":           webhookWalls,
		"Webhook/I8_SoMany":          webhookMany,
		"Webhook/Change":             webhookChange,
		"Webhook/Delete":             webhookDelete,
		"Notice/I1_EveryEnd":         noticeEnds,
		"Notice/Response":            noticeResponse,
		"Notice/I8_WhoWantsIt":       noticeWanted,
		"Delivery/RoundTrip":         deliveryRoundTrip,
		"Delivery/OneSends":          deliveryGuard,
		"Delivery/Hold":              deliveryHold,
		"Delivery/I8_FairShares":     deliveryFair,
		"Delivery/ManyAtOnce":        deliveryManyAtOnce,
		"Delivery/Resend":            deliveryResend,
		"Delivery/PagesStayPut":      deliveryPages,
		"Delivery/GiveUp":            deliveryGiveUp,
		"Stored/List":                storedList,
		"Stored/Change":              storedChange,
		"File/RoundTrip":             fileRoundTrip,
		"File/List":                  fileList,
		"File/Delete":                fileDelete,
		"File/Doomed":                fileDoomed,
		"File/AgainstBatch":          fileAgainstBatch,
		"Batch/RoundTrip":            batchRoundTrip,
		"Batch/I7_SameKey":           batchSameKey,
		"Batch/RetryOf":              batchRetryOf,
		"Batch/I7_ManyAtOnce":        batchManyAtOnce,
		"Batch/Input":                batchInput,
		"Batch/List":                 batchList,
		"Batch/I9_Cancel":            batchCancel,
		"Batch/Pause":                batchPause,
		"Conduct/Take":               conductTake,
		"Conduct/TakeAtOnce":         conductTakeAtOnce,
		"Conduct/Shares":             conductShares,
		"Conduct/Save":               conductSave,
		"Conduct/I5_Stale":           conductStale,
		"Conduct/Move":               conductMove,
		"Conduct/I1_Notice":          conductNotice,
		"Line/I1_Feed":               lineFeed,
		"Line/Read":                  lineRead,
		"Line/Requests":              lineRequests,
		"Line/I9_End":                lineEnd,
		"Line/Apart":                 lineApart,
		"Group/Adds":                 groupAdds,
		"Group/I7_ManyAtOnce":        groupAddManyAtOnce,
		"Group/Many":                 groupMany,
		"Group/Claims":               groupClaims,
		"Group/Finishes":             groupFinishes,
		"Group/I1_OneWins":           groupOneWins,
		"Group/I1_Notices":           groupNotices,
		"Group/CallerGone":           groupCallerGone,
		"Group/AddsCallerGone":       groupAddsCallerGone,
		"Conversation/RoundTrip":     conversationRoundTrip,
		"Conversation/Said":          conversationSaid,
		"Conversation/I7_SameKey":    conversationSameKey,
		"Conversation/I7_ManyAtOnce": conversationManyAtOnce,
		"Conversation/List":          conversationList,
		"Conversation/SameTime":      conversationSameTime,
		"Conversation/Search":        conversationSearch,
		"Conversation/I8_Walls":      conversationWalls,
		"Message/Overlay":            messageOverlay,
		"Message/Partial":            messagePartial,
		"Message/Settle":             messageSettle,
		"Message/Lost":               messageLost,
		"Message/Path":               messagePath,
		"Message/Branches":           messageBranches,
		"Message/Drop":               messageDrop,
		"Message/DropLive":           messageDropLive,
		"Message/Rate":               messageRate,
		"Talk/Fields":                talkFields,
		"Talk/Undone":                talkUndone,
		"Talk/I7_SameKey":            talkSameKey,
		"Talk/Order":                 talkOrder,
		"Talk/Named":                 talkNamed,
		"Turn/Held":                  turnHeld,
		"Turn/Ended":                 turnEnded,
		"Turn/I9_Cancel":             turnCancel,
		"Turn/ExpireAgainstCancel":   turnExpireAgainstCancel,
		"Turn/One":                   turnOne,
		"Turn/InOrder":               turnsInOrder,
		"Lease/One":                  leaseOne,
		"Old/Jobs":                   oldJobs,
		"Old/Turns":                  oldTurns,
		"Old/Batches":                oldBatches,
		"Old/Deleted":                oldDeleted,
		"Old/Rest":                   oldRest,
		"Models/RoundTrip":           modelsRoundTrip,
		"Models/Replace":             modelsReplace,
		"Models/Age":                 modelsAge,
		"Models/ManyAtOnce":          modelsAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func add(t *testing.T, s *store.Store, change ...func(*completion.Job)) completion.Job {
	t.Helper()
	at := now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m",
		Request: json.RawMessage(`{"messages":[]}`), CreatedAt: at, UpdatedAt: at,
	}
	for _, c := range change {
		c(&job)
	}
	stored, created, err := s.Add(t.Context(), &job)
	require.NoError(t, err)
	require.True(t, created)
	return stored
}

func claim(t *testing.T, s *store.Store, job completion.Job, worker string) completion.Job {
	t.Helper()
	require.NoError(t, s.Beat(t.Context(), worker, nil, now()))
	claimed, err := s.Claim(t.Context(), job.Ref(), worker, now())
	require.NoError(t, err)
	return claimed
}

func get(t *testing.T, s *store.Store, job completion.Job) completion.Job {
	t.Helper()
	stored, err := s.Get(t.Context(), job.Ref())
	require.NoError(t, err)
	return stored
}

func isStale(err error) bool { return errors.Is(err, completion.ErrStale) }

func outcome(state completion.State) completion.Outcome {
	return completion.Outcome{State: state, At: now()}
}
