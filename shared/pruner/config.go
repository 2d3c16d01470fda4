package pruner

import (
	"errors"
	"fmt"
	"time"

	"sluice/shared/store"
)

// Config says how long what has ended is kept.
type Config struct {
	JobRetention      time.Duration `env:"SLUICE_JOB_RETENTION" default:"720h" help:"How long jobs are kept after they have ended; 0: for ever. What an idempotency key has made stays for a day at least."`
	StoredRetention   time.Duration `env:"SLUICE_STORED_RETENTION" default:"720h" help:"The same for chat completions and responses with store: true. OpenAI keeps these for 30 days."`
	BatchRetention    time.Duration `env:"SLUICE_BATCH_RETENTION" default:"720h" help:"The same for batches and their lines; their files have times of their own."`
	DeletedRetention  time.Duration `env:"SLUICE_DELETED_RETENTION" default:"24h" help:"How long deleted conversations and messages, and the jobs of their answers, lie in the database until they are erased; 0: for ever."`
	FileRetention     time.Duration `env:"SLUICE_FILE_RETENTION" default:"0" help:"How long files are kept after their upload that say nothing about it; 0: for ever. Files of batches say so, and go after 30 days by default."`
	DeliveryRetention time.Duration `env:"SLUICE_DELIVERY_RETENTION" default:"720h" help:"How long deliveries to webhooks can be looked up after they have ended; 0: for ever."`
}

// Times after which goes what nobody has a use for.
const (
	quotaAge  = 40 * 24 * time.Hour // days that are counted for limits
	workerAge = 24 * time.Hour      // workers that are dead
)

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var err error
	for _, r := range c.ages() {
		if r.age < 0 {
			err = errors.Join(err, fmt.Errorf("retention of %s %s: want 0 or more", r.kind, r.age))
		}
	}
	return err
}

// rule is how old something may become.
type rule struct {
	kind store.Kind
	age  time.Duration // 0: for ever
}

// ages are the rules for all kinds, in the order in which they are kept to. Lines have none: they go with their batches.
func (c Config) ages() []rule {
	return []rule{
		{store.KindJobs, c.JobRetention},
		{store.KindStored, c.StoredRetention},
		{store.KindBatches, c.BatchRetention},
		{store.KindMessages, c.DeletedRetention},
		{store.KindConversations, c.DeletedRetention},
		{store.KindFiles, c.FileRetention},
		{store.KindDeliveries, c.DeliveryRetention},
		{store.KindQuotaDays, quotaAge},
		{store.KindWorkers, workerAge},
	}
}

const (
	mostOften  = time.Second
	leastOften = 10 * time.Minute
)

// every is how often to look: so often that nothing stays for much longer than it should.
func (c Config) every() time.Duration {
	pause := leastOften
	for _, r := range c.ages() {
		if r.age > 0 {
			pause = min(pause, max(r.age/20, mostOften))
		}
	}
	return pause
}
