-- deadline: the job must have ended by then. retry_of: the job that this one tries again, of which there may be one.
-- unsaid: the event log may lack the end of the result, and whoever closes it restates the result first.
ALTER TABLE job ADD COLUMN IF NOT EXISTS deadline timestamptz;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS retry_of text;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS unsaid boolean NOT NULL DEFAULT false;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS job_retry_of ON job (tenant, retry_of) WHERE retry_of IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_deadline ON job (deadline) WHERE state = 'queued' AND deadline IS NOT NULL;
