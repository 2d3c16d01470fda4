DROP INDEX IF EXISTS job_deadline;
--bun:split
DROP INDEX IF EXISTS job_retry_of;
--bun:split
ALTER TABLE job DROP COLUMN unsaid;
--bun:split
ALTER TABLE job DROP COLUMN retry_of;
--bun:split
ALTER TABLE job DROP COLUMN deadline;
