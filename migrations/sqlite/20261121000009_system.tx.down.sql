DROP INDEX IF EXISTS job_failure;
--bun:split
ALTER TABLE worker DROP COLUMN status;
