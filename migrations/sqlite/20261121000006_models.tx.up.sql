-- What each upstream says it serves, as the workers that ask it have written it down. models: a JSON array of OpenAI's model
-- objects; NULL, with an empty digest, of an upstream that does not say. digest: of models, so that who has them need not
-- read or write them again. native: it is asked for Responses as such, not for chat completions that mean the same.
CREATE TABLE IF NOT EXISTS model_list (
    upstream TEXT      NOT NULL PRIMARY KEY,
    digest   TEXT      NOT NULL,
    models   BLOB,
    native   BOOLEAN   NOT NULL,
    seen_at  TIMESTAMP NOT NULL
);
