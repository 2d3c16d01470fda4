-- batch, line, custom_id: the job is a line of a batch. Lists of a tenant's jobs leave lines out, and so do their indexes: a
-- line's id, made of the batch's and its number, is all that finds it. Each index costs a line up to three writes, so of
-- those that run there is one only of the few whose end was asked for.
-- returned: attempts that were handed back, and count for nothing. The table is made anew, as before, and with it the trigger.
CREATE TABLE job_with_batch (
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
    stored           BOOLEAN     NOT NULL DEFAULT false,
    batch            TEXT,
    line             INTEGER,
    custom_id        TEXT,
    returned         INTEGER     NOT NULL DEFAULT 0
);
--bun:split
INSERT INTO job_with_batch (
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id, endpoint, stored
) SELECT
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id, endpoint, stored
FROM job;
--bun:split
DROP TABLE job;
--bun:split
ALTER TABLE job_with_batch RENAME TO job;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS job_idempotency_key ON job (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant ON job (tenant, id) WHERE batch IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant_state ON job (tenant, state, id) WHERE batch IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_unfinished ON job (id) WHERE state IN ('queued', 'running');
--bun:split
CREATE INDEX IF NOT EXISTS job_cancel ON job (worker) WHERE state = 'running' AND cancel_requested;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS job_retry_of ON job (tenant, retry_of) WHERE retry_of IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_deadline ON job (deadline) WHERE state = 'queued' AND deadline IS NOT NULL AND batch IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS job_stored ON job (tenant, endpoint, id) WHERE stored;
--bun:split
-- What a client has uploaded, or a batch has written; the content is in blob storage. ready: all of it is there.
-- deleted_at: it is gone for clients, and its content goes once no batch reads it.
CREATE TABLE IF NOT EXISTS file (
    id         TEXT        NOT NULL PRIMARY KEY,
    tenant     TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    purpose    TEXT        NOT NULL,
    bytes      INTEGER     NOT NULL DEFAULT 0,
    batch      TEXT,
    ready      BOOLEAN     NOT NULL DEFAULT false,
    created_at TIMESTAMP   NOT NULL,
    expires_at TIMESTAMP,
    deleted_at TIMESTAMP
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
    id              TEXT        NOT NULL PRIMARY KEY,
    tenant          TEXT        NOT NULL,
    state           TEXT        NOT NULL,
    endpoint        TEXT        NOT NULL,
    model           TEXT        NOT NULL,
    input           TEXT        NOT NULL,
    output          TEXT        NOT NULL,
    faults          TEXT        NOT NULL,
    completion_window TEXT      NOT NULL,
    output_age      INTEGER     NOT NULL DEFAULT 0,
    metadata        BLOB,
    deduplicate     BOOLEAN     NOT NULL DEFAULT false,
    paused          BOOLEAN     NOT NULL DEFAULT false,
    retry_of        TEXT,
    request_id      TEXT,
    idempotency_key TEXT,
    body_hash       TEXT,
    errors          BLOB,
    counts          BLOB,
    usage           BLOB,
    fed             INTEGER     NOT NULL DEFAULT 0,
    input_offset    INTEGER     NOT NULL DEFAULT 0,
    told            BLOB,
    told_seq        INTEGER     NOT NULL DEFAULT 0,
    epoch           INTEGER     NOT NULL DEFAULT 0,
    holder          TEXT        NOT NULL DEFAULT '',
    held_until      TIMESTAMP,
    created_at      TIMESTAMP   NOT NULL,
    updated_at      TIMESTAMP   NOT NULL,
    deadline        TIMESTAMP   NOT NULL,
    in_progress_at  TIMESTAMP,
    finalizing_at   TIMESTAMP,
    cancelling_at   TIMESTAMP,
    ended_at        TIMESTAMP
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
DROP TRIGGER IF EXISTS job_ended;
--bun:split
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job FOR EACH ROW
WHEN NEW.batch IS NULL AND NEW.state IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.state <> NEW.state
    AND EXISTS (SELECT 1 FROM webhook WHERE tenant = NEW.tenant AND enabled)
BEGIN
    INSERT INTO outbox (id, tenant, type, data, created_at) VALUES (
        'evt_' || lower(hex(randomblob(16))), NEW.tenant, 'job.' || NEW.state,
        json_object('id', NEW.id, 'state', NEW.state, 'subject', 'completions.' || NEW.tenant || '.' || NEW.id),
        COALESCE(NEW.finished_at, NEW.updated_at));
    INSERT INTO outbox (id, tenant, type, data, created_at) SELECT
        'evt_' || lower(hex(randomblob(16))), NEW.tenant,
        CASE WHEN NEW.state = 'completed' AND NEW.finish_reason IN ('length', 'content_filter', 'incomplete') THEN 'response.incomplete'
            WHEN NEW.state = 'expired' THEN 'response.failed'
            ELSE 'response.' || NEW.state END,
        json_object('id', 'resp_' || substr(NEW.id, 5)),
        COALESCE(NEW.finished_at, NEW.updated_at)
    WHERE NEW.endpoint = '/v1/responses';
END;
