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
