DROP TABLE IF EXISTS tenant;
--bun:split
DROP TABLE IF EXISTS api_key;
--bun:split
ALTER TABLE job DROP COLUMN request_id;
