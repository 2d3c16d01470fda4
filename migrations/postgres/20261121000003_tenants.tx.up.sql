-- API keys, hashed: a secret is shown once, when it is made. scopes: names with spaces between.
CREATE TABLE IF NOT EXISTS api_key (
    id           text      NOT NULL PRIMARY KEY,
    tenant       text      NOT NULL,
    name         text      NOT NULL,
    hash         text      NOT NULL,
    hint         text      NOT NULL,
    scopes       text      NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS api_key_hash ON api_key (hash);
--bun:split
CREATE INDEX IF NOT EXISTS api_key_tenant ON api_key (tenant, id);
--bun:split
-- Limits of tenants, as JSON; the row named * is for those that have none of their own.
CREATE TABLE IF NOT EXISTS tenant (
    name       text      NOT NULL PRIMARY KEY,
    limits     bytea     NOT NULL,
    updated_at timestamptz NOT NULL
);
--bun:split
-- request_id: of the request that made the job, which goes along to the upstream.
ALTER TABLE job ADD COLUMN IF NOT EXISTS request_id text;
