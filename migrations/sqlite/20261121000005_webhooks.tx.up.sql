-- events: the types that are wanted, with spaces between. The secrets are kept as they are, for they sign.
CREATE TABLE IF NOT EXISTS webhook (
    id          TEXT        NOT NULL PRIMARY KEY,
    tenant      TEXT        NOT NULL,
    url         TEXT        NOT NULL,
    secret      TEXT        NOT NULL,
    old_secret  TEXT,
    old_until   TIMESTAMP,
    events      TEXT        NOT NULL,
    description TEXT        NOT NULL,
    enabled     BOOLEAN     NOT NULL,
    disabled    TEXT,
    created_at  TIMESTAMP   NOT NULL,
    updated_at  TIMESTAMP   NOT NULL
);
--bun:split
CREATE INDEX IF NOT EXISTS webhook_tenant ON webhook (tenant, id);
--bun:split
-- What has happened and not yet become deliveries. Whatever webhooks tell of is written here, in the transaction in which
-- it happens; data is JSON.
CREATE TABLE IF NOT EXISTS outbox (
    id         TEXT        NOT NULL PRIMARY KEY,
    tenant     TEXT        NOT NULL,
    type       TEXT        NOT NULL,
    data       TEXT        NOT NULL,
    created_at TIMESTAMP   NOT NULL
);
--bun:split
CREATE INDEX IF NOT EXISTS outbox_created ON outbox (created_at);
--bun:split
-- held_until: somebody sees to the next attempt until then.
CREATE TABLE IF NOT EXISTS delivery (
    id          TEXT        NOT NULL PRIMARY KEY,
    tenant      TEXT        NOT NULL,
    webhook     TEXT        NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    notice      TEXT        NOT NULL,
    type        TEXT        NOT NULL,
    body        BLOB        NOT NULL,
    state       TEXT        NOT NULL,
    attempts    INTEGER     NOT NULL DEFAULT 0,
    tries       INTEGER     NOT NULL DEFAULT 0,
    next_at     TIMESTAMP,
    held_until  TIMESTAMP,
    last_at     TIMESTAMP,
    last_status INTEGER,
    last_error  TEXT,
    created_at  TIMESTAMP   NOT NULL,
    expires_at  TIMESTAMP   NOT NULL,
    ended_at    TIMESTAMP
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS delivery_notice ON delivery (webhook, notice);
--bun:split
CREATE INDEX IF NOT EXISTS delivery_webhook ON delivery (webhook, id);
--bun:split
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (next_at) WHERE state = 'pending';
--bun:split
CREATE INDEX IF NOT EXISTS delivery_expiry ON delivery (expires_at) WHERE state = 'pending';
--bun:split
CREATE INDEX IF NOT EXISTS delivery_ended ON delivery (ended_at) WHERE ended_at IS NOT NULL;
--bun:split
-- However a job ends, its notices are stored with its end. A job is never made in a final state. A migration that makes
-- the table job anew must make this trigger anew, too: it goes with the table.
DROP TRIGGER IF EXISTS job_ended;
--bun:split
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job FOR EACH ROW
WHEN NEW.state IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.state <> NEW.state
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
