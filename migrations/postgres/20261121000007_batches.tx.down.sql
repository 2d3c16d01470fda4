DROP TABLE IF EXISTS batch;
--bun:split
DROP TABLE IF EXISTS file;
--bun:split
DELETE FROM job WHERE batch IS NOT NULL;
--bun:split
DROP INDEX IF EXISTS job_cancel;
--bun:split
CREATE INDEX IF NOT EXISTS job_running ON job (worker) WHERE state = 'running';
--bun:split
DROP INDEX IF EXISTS job_tenant;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant ON job (tenant, id);
--bun:split
DROP INDEX IF EXISTS job_tenant_state;
--bun:split
CREATE INDEX IF NOT EXISTS job_tenant_state ON job (tenant, state, id);
--bun:split
DROP INDEX IF EXISTS job_deadline;
--bun:split
CREATE INDEX IF NOT EXISTS job_deadline ON job (deadline) WHERE state = 'queued' AND deadline IS NOT NULL;
--bun:split
DROP TRIGGER IF EXISTS job_ended ON job;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS returned;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS custom_id;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS line;
--bun:split
ALTER TABLE job DROP COLUMN IF EXISTS batch;
--bun:split
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job FOR EACH ROW
    WHEN (NEW.state IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION job_ended();
