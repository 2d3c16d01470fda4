-- endpoint: which of the OpenAI endpoints the request is a body of. stored: the endpoints that read, list and delete stored
-- completions and responses show the job. The table is made anew, as before.
CREATE TABLE job_with_endpoint (
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
    finished_at      TIMESTAMP,
    deadline         TIMESTAMP,
    retry_of         TEXT,
    unsaid           BOOLEAN     NOT NULL DEFAULT false,
    request_id       TEXT,
    endpoint         TEXT        NOT NULL DEFAULT '/v1/chat/completions',
    stored           BOOLEAN     NOT NULL DEFAULT false
);
--bun:split
INSERT INTO job_with_endpoint (
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id
) SELECT
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id
FROM job;
--bun:split
DROP TABLE job;
--bun:split
ALTER TABLE job_with_endpoint RENAME TO job;
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
CREATE UNIQUE INDEX IF NOT EXISTS job_retry_of ON job (tenant, retry_of) WHERE retry_of IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_deadline ON job (deadline) WHERE state = 'queued' AND deadline IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_stored ON job (tenant, endpoint, id) WHERE stored;
