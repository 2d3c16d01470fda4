-- status: what the worker says of itself, as JSON; NULL of one too old to.
ALTER TABLE worker ADD COLUMN IF NOT EXISTS status bytea;
--bun:split
-- What failed of late, for who looks after the whole installation. Lines of batches are looked at by batch.
CREATE INDEX IF NOT EXISTS job_failure ON job (finished_at, id) WHERE state IN ('failed', 'expired') AND batch IS NULL;
