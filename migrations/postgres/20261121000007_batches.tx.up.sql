-- batch, line, custom_id: the job is a line of a batch. Lists of a tenant's jobs leave lines out, and so do their indexes: a
-- line's id, made of the batch's and its number, is all that finds it. Each index costs a line up to three writes, so of
-- those that run there is one only of the few whose end was asked for.
-- returned: attempts that were handed back, and count for nothing.
ALTER TABLE job ADD COLUMN IF NOT EXISTS batch text;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS line integer;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS custom_id text;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS returned integer NOT NULL DEFAULT 0;
--bun:split
DROP INDEX IF EXISTS job_tenant;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant ON job (tenant, id) WHERE batch IS NULL;
--bun:split
DROP INDEX IF EXISTS job_tenant_state;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant_state ON job (tenant, state, id) WHERE batch IS NULL;
--bun:split
DROP INDEX IF EXISTS job_deadline;
--bun:split
CREATE INDEX IF NOT EXISTS job_deadline ON job (deadline) WHERE state = 'queued' AND deadline IS NOT NULL AND batch IS NULL;
--bun:split
DROP INDEX IF EXISTS job_running;
--bun:split
CREATE INDEX IF NOT EXISTS job_cancel ON job (worker) WHERE state = 'running' AND cancel_requested;
--bun:split
-- What a client has uploaded, or a batch has written; the content is in blob storage. ready: all of it is there.
-- deleted_at: it is gone for clients, and its content goes once no batch reads it.
CREATE TABLE IF NOT EXISTS file (
    id         text        NOT NULL PRIMARY KEY,
    tenant     text        NOT NULL,
    name       text        NOT NULL,
    purpose    text        NOT NULL,
    bytes      bigint      NOT NULL DEFAULT 0,
    batch      text,
    ready      boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    deleted_at timestamptz
);
--bun:split
CREATE INDEX IF NOT EXISTS file_tenant ON file (tenant, id);
--bun:split
CREATE INDEX IF NOT EXISTS file_expiry ON file (expires_at) WHERE expires_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS file_deleted ON file (deleted_at) WHERE deleted_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS file_unready ON file (created_at) WHERE NOT ready;
--bun:split
-- A file of requests that are run as jobs. metadata, errors, counts and usage are JSON. holder: who looks after it, until
-- held_until; epoch: how often that has changed. fed, input_offset, told and told_seq: how far that one has come.
CREATE TABLE IF NOT EXISTS batch (
    id              text        NOT NULL PRIMARY KEY,
    tenant          text        NOT NULL,
    state           text        NOT NULL,
    endpoint        text        NOT NULL,
    model           text        NOT NULL,
    input           text        NOT NULL,
    output          text        NOT NULL,
    faults          text        NOT NULL,
    completion_window text      NOT NULL,
    output_age      bigint      NOT NULL DEFAULT 0,
    metadata        bytea,
    deduplicate     boolean     NOT NULL DEFAULT false,
    paused          boolean     NOT NULL DEFAULT false,
    retry_of        text,
    request_id      text,
    idempotency_key text,
    body_hash       text,
    errors          bytea,
    counts          bytea,
    usage           bytea,
    fed             integer     NOT NULL DEFAULT 0,
    input_offset    bigint      NOT NULL DEFAULT 0,
    told            bytea,
    told_seq        bigint      NOT NULL DEFAULT 0,
    epoch           integer     NOT NULL DEFAULT 0,
    holder          text        NOT NULL DEFAULT '',
    held_until      timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deadline        timestamptz NOT NULL,
    in_progress_at  timestamptz,
    finalizing_at   timestamptz,
    cancelling_at   timestamptz,
    ended_at        timestamptz
);
--bun:split
CREATE INDEX IF NOT EXISTS batch_tenant ON batch (tenant, id);
--bun:split
CREATE INDEX IF NOT EXISTS batch_live ON batch (id) WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling');
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS batch_idempotency_key ON batch (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS batch_retry_of ON batch (tenant, retry_of) WHERE retry_of IS NOT NULL;
--bun:split
-- The lines of a batch have no notices of their own.
DROP TRIGGER IF EXISTS job_ended ON job;
--bun:split
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job FOR EACH ROW
    WHEN (NEW.batch IS NULL AND NEW.state IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION job_ended();
