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
