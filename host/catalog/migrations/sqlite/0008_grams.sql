-- Every three characters of an artifact's texts as a number, by the artifact's row. Filled by the program: lower case
-- is Unicode's, which SQL does not know.
CREATE VIRTUAL TABLE artifact_grams USING fts5 (
  grams, content = '', contentless_delete = 1, detail = none, tokenize = "ascii tokenchars '-'"
);
CREATE TRIGGER artifact_grams_of_deleted AFTER DELETE ON artifacts BEGIN
  DELETE FROM artifact_grams WHERE rowid = old.row;
END;
