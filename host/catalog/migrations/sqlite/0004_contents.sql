-- Small files lie together in packs of the content store.
CREATE TABLE packs (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  digest TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE packed_files (
  digest BLOB NOT NULL PRIMARY KEY,
  pack   INTEGER NOT NULL REFERENCES packs (id) ON DELETE CASCADE,
  place  INTEGER NOT NULL,
  size   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX packed_files_of_pack ON packed_files (pack);

-- What was deleted, by whom and why: addresses in lineage still lead somewhere.
CREATE TABLE deletions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  project  TEXT NOT NULL,
  kind     TEXT NOT NULL,
  name     TEXT NOT NULL,
  id       TEXT NOT NULL,
  document TEXT NOT NULL
) STRICT;
CREATE INDEX deletions_of_series ON deletions (project, kind, name, sequence);
CREATE INDEX deletions_by_id ON deletions (project, kind, id);

-- How far whoever follows events has got.
CREATE TABLE progress (
  name     TEXT NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
