DROP TABLE IF EXISTS message;
--bun:split
DROP TABLE IF EXISTS conversation;
--bun:split
DROP TABLE IF EXISTS preset;
--bun:split
DELETE FROM job WHERE held;
--bun:split
DROP INDEX IF EXISTS job_held;
--bun:split
DROP INDEX IF EXISTS job_turn;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS held;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS conversation;
