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
