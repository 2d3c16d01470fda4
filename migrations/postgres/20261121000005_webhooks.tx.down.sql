DROP TRIGGER IF EXISTS job_ended ON job;
--bun:split
DROP FUNCTION IF EXISTS job_ended();
--bun:split
DROP TABLE IF EXISTS delivery;
--bun:split
DROP TABLE IF EXISTS outbox;
--bun:split
DROP TABLE IF EXISTS webhook;
