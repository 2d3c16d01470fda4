-- A job holds a completion from submit to final state. Request, metadata, result, usage and error are JSON text kept as bytes:
-- what clients and upstreams say survives byte for byte, U+0000 and half surrogate pairs included, with no escape.
CREATE TABLE IF NOT EXISTS job (
    id               text        NOT NULL PRIMARY KEY,
    tenant           text        NOT NULL,
    lane             text        NOT NULL,
    state            text        NOT NULL,
    model            text        NOT NULL,
    request          bytea       NOT NULL,
    metadata         bytea,
    idempotency_key  text,
    body_hash        text,
    attempt          integer     NOT NULL DEFAULT 0,
    tries            integer     NOT NULL DEFAULT 0,
    worker           text,
    cancel_requested boolean     NOT NULL DEFAULT false,
    retry_at         timestamptz,
    upstream         text,
    result           bytea,
    usage            bytea,
    finish_reason    text,
    error            bytea,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    started_at       timestamptz,
    first_token_at   timestamptz,
    finished_at      timestamptz
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
    id      text        NOT NULL PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
