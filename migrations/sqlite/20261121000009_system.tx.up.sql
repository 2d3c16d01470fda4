-- status: what the worker says of itself, as JSON; NULL of one too old to. The table is made anew, which may be repeated.
CREATE TABLE worker_with_status (
    id      TEXT      NOT NULL PRIMARY KEY,
    seen_at TIMESTAMP NOT NULL,
    status  BLOB
);
--bun:split
INSERT INTO worker_with_status (id, seen_at) SELECT id, seen_at FROM worker;
--bun:split
DROP TABLE worker;
--bun:split
ALTER TABLE worker_with_status RENAME TO worker;
--bun:split
-- What failed of late, for who looks after the whole installation. Lines of batches are looked at by batch.
CREATE INDEX IF NOT EXISTS job_failure ON job (finished_at, id) WHERE state IN ('failed', 'expired') AND batch IS NULL;
