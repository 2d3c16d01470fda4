-- endpoint: which of the OpenAI endpoints the request is a body of. stored: the endpoints that read, list and delete stored
-- completions and responses show the job.
ALTER TABLE job ADD COLUMN IF NOT EXISTS endpoint text NOT NULL DEFAULT '/v1/chat/completions';
--bun:split
ALTER TABLE job ADD COLUMN IF NOT EXISTS stored boolean NOT NULL DEFAULT false;
--bun:split
CREATE INDEX IF NOT EXISTS job_stored ON job (tenant, endpoint, id) WHERE stored;
