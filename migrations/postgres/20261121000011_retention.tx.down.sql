DELETE FROM job WHERE EXISTS (SELECT 1 FROM pruned_batch WHERE pruned_batch.id = job.batch);
--bun:split
DROP TABLE IF EXISTS lease;
--bun:split
DROP TABLE IF EXISTS pruned_batch;
--bun:split
DROP INDEX IF EXISTS quota_day;
--bun:split
DROP INDEX IF EXISTS message_deleted;
--bun:split
DROP INDEX IF EXISTS conversation_deleted;
--bun:split
DROP INDEX IF EXISTS file_lasting;
--bun:split
DROP INDEX IF EXISTS batch_ended;
--bun:split
DROP INDEX IF EXISTS job_finished;
