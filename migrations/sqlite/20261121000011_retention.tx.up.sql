-- What is old enough to go is found by when it has ended. Lines of batches go with their batch, by their ids, and pay for no
-- index.
CREATE INDEX IF NOT EXISTS job_finished ON job (stored, finished_at) WHERE finished_at IS NOT NULL AND batch IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS batch_ended ON batch (ended_at) WHERE ended_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS file_lasting ON file (created_at) WHERE expires_at IS NULL AND deleted_at IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS conversation_deleted ON conversation (deleted_at) WHERE deleted_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS message_deleted ON message (deleted_at) WHERE deleted_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS quota_day ON quota (day) WHERE day > 0;
--bun:split
-- Batches that are gone, and whose lines are going.
CREATE TABLE IF NOT EXISTS pruned_batch (
    id     TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL
);
--bun:split
-- Work that one process at a time does: its holder, '' for nobody, until held_until, and not before next_at.
CREATE TABLE IF NOT EXISTS lease (
    name       TEXT        NOT NULL PRIMARY KEY,
    holder     TEXT        NOT NULL,
    held_until TIMESTAMP   NOT NULL,
    next_at    TIMESTAMP   NOT NULL
);
