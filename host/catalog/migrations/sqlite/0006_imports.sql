-- Codesets that follow an outside repository.
CREATE TABLE codeset_imports (
  project  TEXT NOT NULL,
  name     TEXT NOT NULL,
  next     INTEGER,
  document TEXT NOT NULL,
  -- The sealed token, if there is one.
  secret   TEXT,
  PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX codeset_imports_by_next ON codeset_imports (next) WHERE next IS NOT NULL;
