-- Every three characters of an artifact's texts as a number. Filled by the program, which knows lower case the way
-- that conditions do.
CREATE TABLE artifact_grams (
  artifact BIGINT NOT NULL PRIMARY KEY REFERENCES artifacts (row) ON DELETE CASCADE,
  grams    BIGINT[] NOT NULL
);
CREATE INDEX artifact_grams_by_gram ON artifact_grams USING GIN (grams);
