-- events: the types that are wanted, with spaces between. The secrets are kept as they are, for they sign.
CREATE TABLE IF NOT EXISTS webhook (
    id          text        NOT NULL PRIMARY KEY,
    tenant      text        NOT NULL,
    url         text        NOT NULL,
    secret      text        NOT NULL,
    old_secret  text,
    old_until   timestamptz,
    events      text        NOT NULL,
    description text        NOT NULL,
    enabled     boolean     NOT NULL,
    disabled    text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
--bun:split
CREATE INDEX IF NOT EXISTS webhook_tenant ON webhook (tenant, id);
--bun:split
-- What has happened and not yet become deliveries. Whatever webhooks tell of is written here, in the transaction in which
-- it happens; data is JSON.
CREATE TABLE IF NOT EXISTS outbox (
    id         text        NOT NULL PRIMARY KEY,
    tenant     text        NOT NULL,
    type       text        NOT NULL,
    data       text        NOT NULL,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX IF NOT EXISTS outbox_created ON outbox (created_at);
--bun:split
-- held_until: somebody sees to the next attempt until then.
CREATE TABLE IF NOT EXISTS delivery (
    id          text        NOT NULL PRIMARY KEY,
    tenant      text        NOT NULL,
    webhook     text        NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    notice      text        NOT NULL,
    type        text        NOT NULL,
    body        bytea       NOT NULL,
    state       text        NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    tries       integer     NOT NULL DEFAULT 0,
    next_at     timestamptz,
    held_until  timestamptz,
    last_at     timestamptz,
    last_status integer,
    last_error  text,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz
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
-- However a job ends, its notices are stored with its end. A job is never made in a final state.
CREATE OR REPLACE FUNCTION job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM webhook WHERE tenant = NEW.tenant AND enabled) THEN
        INSERT INTO outbox (id, tenant, type, data, created_at) VALUES (
            'evt_' || replace(gen_random_uuid()::text, '-', ''), NEW.tenant, 'job.' || NEW.state,
            json_build_object('id', NEW.id, 'state', NEW.state, 'subject', 'completions.' || NEW.tenant || '.' || NEW.id)::text,
            COALESCE(NEW.finished_at, NEW.updated_at));
        IF NEW.endpoint = '/v1/responses' THEN
            INSERT INTO outbox (id, tenant, type, data, created_at) VALUES (
                'evt_' || replace(gen_random_uuid()::text, '-', ''), NEW.tenant,
                CASE WHEN NEW.state = 'completed' AND NEW.finish_reason IN ('length', 'content_filter', 'incomplete') THEN 'response.incomplete'
                    WHEN NEW.state = 'expired' THEN 'response.failed'
                    ELSE 'response.' || NEW.state END,
                json_build_object('id', 'resp_' || substr(NEW.id, 5))::text,
                COALESCE(NEW.finished_at, NEW.updated_at));
        END IF;
    END IF;
    RETURN NULL;
END $$;
--bun:split
DROP TRIGGER IF EXISTS job_ended ON job;
--bun:split
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job FOR EACH ROW
    WHEN (NEW.state IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION job_ended();
