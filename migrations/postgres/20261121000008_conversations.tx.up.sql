-- conversation: the job is a turn of it, and its id that of the answer. held: it waits for the turn before it, unknown to
-- the queue. The database itself sees to it that a conversation has one turn under way.
ALTER TABLE job ADD COLUMN IF NOT EXISTS conversation text;
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS held boolean NOT NULL DEFAULT false;
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS job_turn ON job (conversation) WHERE conversation IS NOT NULL AND NOT held AND state IN ('queued', 'running');
--bun:split
CREATE INDEX IF NOT EXISTS job_held ON job (conversation) WHERE held AND state = 'queued';
--bun:split
-- What a conversation of the tenant has that says nothing else: JSON.
CREATE TABLE IF NOT EXISTS preset (
    tenant     text        NOT NULL PRIMARY KEY,
    preset     bytea       NOT NULL,
    updated_at timestamptz NOT NULL
);
--bun:split
-- words: the name as a search compares it. system_message is a JSON string; parameters and metadata are JSON objects. head: the last message of the path that goes on;
-- seq: that of the message that came last; version: how often the conversation has changed; naming: the job that finds a name.
CREATE TABLE IF NOT EXISTS conversation (
    id              text        NOT NULL PRIMARY KEY,
    tenant          text        NOT NULL,
    owner           text        NOT NULL DEFAULT '',
    name            text        NOT NULL DEFAULT '',
    words           text        NOT NULL DEFAULT '',
    system_message  bytea,
    parameters      bytea,
    metadata        bytea,
    head            text        NOT NULL DEFAULT '',
    seq             integer     NOT NULL DEFAULT 0,
    version         bigint      NOT NULL DEFAULT 0,
    naming          text,
    idempotency_key text,
    body_hash       text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    active_at       timestamptz NOT NULL,
    deleted_at      timestamptz
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
    id            text        NOT NULL PRIMARY KEY,
    tenant        text        NOT NULL,
    conversation  text        NOT NULL,
    parent        text        NOT NULL DEFAULT '',
    seq           integer     NOT NULL,
    role          text        NOT NULL,
    state         text        NOT NULL,
    content       bytea,
    words         text        NOT NULL DEFAULT '',
    model         text,
    usage         bytea,
    finish_reason text,
    error         bytea,
    rating        integer     NOT NULL DEFAULT 0,
    comment       text,
    created_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    deleted_at    timestamptz
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS message_seq ON message (conversation, seq);
--bun:split
CREATE INDEX IF NOT EXISTS message_parent ON message (conversation, parent);
--bun:split
CREATE INDEX IF NOT EXISTS message_open ON message (id) WHERE state IN ('queued', 'running');
