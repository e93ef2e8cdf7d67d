-- Small files lie together in packs of the content store.
CREATE TABLE packs (
  id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE
);
CREATE TABLE packed_files (
  digest BYTEA NOT NULL PRIMARY KEY,
  pack   BIGINT NOT NULL REFERENCES packs (id) ON DELETE CASCADE,
  place  BIGINT NOT NULL,
  size   BIGINT NOT NULL
);
CREATE INDEX packed_files_of_pack ON packed_files (pack);

-- What was deleted, by whom and why: addresses in lineage still lead somewhere.
CREATE TABLE deletions (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  kind     TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  document TEXT NOT NULL
);
CREATE INDEX deletions_of_series ON deletions (project, kind, name, sequence);
CREATE INDEX deletions_by_id ON deletions (project, kind, id);

-- How far whoever follows events has got.
CREATE TABLE progress (
  name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  sequence BIGINT NOT NULL
);
