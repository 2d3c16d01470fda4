-- API keys, hashed: a secret is shown once, when it is made. scopes: names with spaces between.
CREATE TABLE IF NOT EXISTS api_key (
    id           TEXT      NOT NULL PRIMARY KEY,
    tenant       TEXT      NOT NULL,
    name         TEXT      NOT NULL,
    hash         TEXT      NOT NULL,
    hint         TEXT      NOT NULL,
    scopes       TEXT      NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    expires_at   TIMESTAMP,
    revoked_at   TIMESTAMP,
    last_used_at TIMESTAMP
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS api_key_hash ON api_key (hash);
--bun:split
CREATE INDEX IF NOT EXISTS api_key_tenant ON api_key (tenant, id);
--bun:split
-- Limits of tenants, as JSON; the row named * is for those that have none of their own.
CREATE TABLE IF NOT EXISTS tenant (
    name       TEXT      NOT NULL PRIMARY KEY,
    limits     BLOB      NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
--bun:split
-- request_id: of the request that made the job, which goes along to the upstream. The table is made anew, as before.
CREATE TABLE job_with_request (
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
    request_id       TEXT
);
--bun:split
INSERT INTO job_with_request (
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid
) SELECT
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid
FROM job;
--bun:split
DROP TABLE job;
--bun:split
ALTER TABLE job_with_request RENAME TO job;
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
