DROP TABLE worker;
--bun:split
DROP TABLE job;
