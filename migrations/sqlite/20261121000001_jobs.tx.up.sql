-- A job holds a completion from submit to final state. Request, metadata, result, usage and error are JSON text kept as bytes:
-- what clients and upstreams say survives byte for byte, U+0000 and half surrogate pairs included, with no escape.
CREATE TABLE IF NOT EXISTS job (
    id               TEXT        NOT NULL PRIMARY KEY,
    tenant           TEXT        NOT NULL,
    lane             TEXT        NOT NULL,
    state            TEXT        NOT NULL,
    model            TEXT        NOT NULL,
    request          BLOB        NOT NULL,
    metadata         BLOB,
    idempotency_key  TEXT,
    body_hash        TEXT,
    attempt          INTEGER     NOT NULL DEFAULT 0,
    tries            INTEGER     NOT NULL DEFAULT 0,
    worker           TEXT,
    cancel_requested BOOLEAN     NOT NULL DEFAULT false,
    retry_at         TIMESTAMP,
    upstream         TEXT,
    result           BLOB,
    usage            BLOB,
    finish_reason    TEXT,
    error            BLOB,
    created_at       TIMESTAMP   NOT NULL,
    updated_at       TIMESTAMP   NOT NULL,
    started_at       TIMESTAMP,
    first_token_at   TIMESTAMP,
    finished_at      TIMESTAMP
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS job_idempotency_key ON job (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant ON job (tenant, id);
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant_state ON job (tenant, state, id);
--bun:split
CREATE INDEX IF NOT EXISTS job_unfinished ON job (id) WHERE state IN ('queued', 'running');
--bun:split
CREATE INDEX IF NOT EXISTS job_running ON job (worker) WHERE state = 'running';
--bun:split
-- A worker is alive while it says so; the jobs of a dead one may be claimed again.
CREATE TABLE IF NOT EXISTS worker (
    id      TEXT        NOT NULL PRIMARY KEY,
    seen_at TIMESTAMP   NOT NULL
);
