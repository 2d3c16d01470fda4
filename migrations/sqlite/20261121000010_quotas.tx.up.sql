-- How many completions were accepted that a limit holds for. day: of UTC, as 20261121; 0: all days together. owner: the end
-- user, '' for the tenant as a whole.
CREATE TABLE IF NOT EXISTS quota (
    tenant TEXT NOT NULL,
    day    INTEGER NOT NULL,
    owner  TEXT NOT NULL,
    used   INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, owner)
);
