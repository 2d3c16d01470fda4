DROP TABLE IF EXISTS tenant;
--bun:split
DROP TABLE IF EXISTS api_key;
