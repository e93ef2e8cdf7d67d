-- How far what lies in a tool's store is known here.
CREATE TABLE store_syncs (
  instance TEXT NOT NULL PRIMARY KEY REFERENCES instances (name) ON DELETE CASCADE,
  document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
