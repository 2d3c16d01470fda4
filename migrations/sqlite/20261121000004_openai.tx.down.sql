DROP INDEX IF EXISTS job_stored;
--bun:split
ALTER TABLE job DROP COLUMN stored;
--bun:split
ALTER TABLE job DROP COLUMN endpoint;
