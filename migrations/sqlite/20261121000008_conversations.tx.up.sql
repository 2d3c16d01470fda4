-- conversation: the job is a turn of it, and its id that of the answer. held: it waits for the turn before it, unknown to
-- the queue. The database itself sees to it that a conversation has one turn under way. The table is made anew, as before,
-- and with it the trigger.
CREATE TABLE job_with_turn (
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
    returned         INTEGER     NOT NULL DEFAULT 0,
    conversation     TEXT,
    held             BOOLEAN     NOT NULL DEFAULT false
);
--bun:split
INSERT INTO job_with_turn (
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id, endpoint, stored, batch, line, custom_id, returned
) SELECT
    id, tenant, lane, state, model, request, metadata, idempotency_key, body_hash, attempt, tries, worker,
    cancel_requested, retry_at, upstream, result, usage, finish_reason, error, created_at, updated_at,
    started_at, first_token_at, finished_at, deadline, retry_of, unsaid, request_id, endpoint, stored, batch, line, custom_id, returned
FROM job;
--bun:split
DROP TABLE job;
--bun:split
ALTER TABLE job_with_turn RENAME TO job;
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
CREATE UNIQUE INDEX IF NOT EXISTS job_turn ON job (conversation) WHERE conversation IS NOT NULL AND NOT held AND state IN ('queued', 'running');
--bun:split
CREATE INDEX IF NOT EXISTS job_held ON job (conversation) WHERE held AND state = 'queued';
--bun:split
-- What a conversation of the tenant has that says nothing else: JSON.
CREATE TABLE IF NOT EXISTS preset (
    tenant     TEXT        NOT NULL PRIMARY KEY,
    preset     BLOB        NOT NULL,
    updated_at TIMESTAMP   NOT NULL
);
--bun:split
-- words: the name as a search compares it. system_message is a JSON string; parameters and metadata are JSON objects. head: the last message of the path that goes on;
-- seq: that of the message that came last; version: how often the conversation has changed; naming: the job that finds a name.
CREATE TABLE IF NOT EXISTS conversation (
    id              TEXT        NOT NULL PRIMARY KEY,
    tenant          TEXT        NOT NULL,
    owner           TEXT        NOT NULL DEFAULT '',
    name            TEXT        NOT NULL DEFAULT '',
    words           TEXT        NOT NULL DEFAULT '',
    system_message  BLOB,
    parameters      BLOB,
    metadata        BLOB,
    head            TEXT        NOT NULL DEFAULT '',
    seq             INTEGER     NOT NULL DEFAULT 0,
    version         INTEGER     NOT NULL DEFAULT 0,
    naming          TEXT,
    idempotency_key TEXT,
    body_hash       TEXT,
    created_at      TIMESTAMP NOT NULL,
    updated_at      TIMESTAMP NOT NULL,
    active_at       TIMESTAMP NOT NULL,
    deleted_at      TIMESTAMP
);
--bun:split
CREATE INDEX IF NOT EXISTS conversation_tenant ON conversation (tenant, active_at, id) WHERE deleted_at IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS conversation_owner ON conversation (tenant, owner, active_at, id) WHERE deleted_at IS NULL;
--bun:split
CREATE INDEX IF NOT EXISTS conversation_naming ON conversation (naming) WHERE naming IS NOT NULL;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS conversation_idempotency_key ON conversation (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
--bun:split
-- A tree: parent is the message that this one follows, '' for a first one. content is JSON, a string or an array of parts; of
-- an answer that has not ended the job knows more. words: what a search looks through.
CREATE TABLE IF NOT EXISTS message (
    id            TEXT        NOT NULL PRIMARY KEY,
    tenant        TEXT        NOT NULL,
    conversation  TEXT        NOT NULL,
    parent        TEXT        NOT NULL DEFAULT '',
    seq           INTEGER     NOT NULL,
    role          TEXT        NOT NULL,
    state         TEXT        NOT NULL,
    content       BLOB,
    words         TEXT        NOT NULL DEFAULT '',
    model         TEXT,
    usage         BLOB,
    finish_reason TEXT,
    error         BLOB,
    rating        INTEGER     NOT NULL DEFAULT 0,
    comment       TEXT,
    created_at    TIMESTAMP NOT NULL,
    finished_at   TIMESTAMP,
    deleted_at    TIMESTAMP
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS message_seq ON message (conversation, seq);
--bun:split
CREATE INDEX IF NOT EXISTS message_parent ON message (conversation, parent);
--bun:split
CREATE INDEX IF NOT EXISTS message_open ON message (id) WHERE state IN ('queued', 'running');
--bun:split
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
