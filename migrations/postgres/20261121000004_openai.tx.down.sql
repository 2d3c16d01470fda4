DROP INDEX IF EXISTS job_stored;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS stored;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS endpoint;
