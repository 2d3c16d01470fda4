DROP INDEX IF EXISTS job_deadline;
--bun:split
DROP INDEX IF EXISTS job_retry_of;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS unsaid;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS retry_of;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS deadline;
