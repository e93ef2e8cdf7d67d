-- Codesets that follow an outside repository.
CREATE TABLE codeset_imports (
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  next     BIGINT,
  document TEXT COLLATE "C" NOT NULL,
  -- The sealed token, if there is one.
  secret   TEXT COLLATE "C",
  PRIMARY KEY (project, name)
);
CREATE INDEX codeset_imports_by_next ON codeset_imports (next) WHERE next IS NOT NULL;
