-- The same tables as SQLite's, as of its second migration. What is searched stands in columns, and texts compare by
-- their bytes; the rest of a record is its JSON document.

CREATE TABLE projects (
  name    TEXT COLLATE "C" PRIMARY KEY,
  created BIGINT NOT NULL
);

CREATE TABLE artifacts (
  row      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL REFERENCES projects (name),
  kind     TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  created  BIGINT NOT NULL,
  subkind  TEXT COLLATE "C",
  store_instance TEXT COLLATE "C",
  store_id TEXT COLLATE "C",
  document TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX artifacts_identity ON artifacts (project, kind, name, id);
CREATE INDEX artifacts_by_id ON artifacts (project, kind, id);
CREATE INDEX artifacts_by_age ON artifacts (project, kind, row);
CREATE INDEX artifacts_of_name_by_age ON artifacts (project, kind, name, row);
CREATE INDEX artifacts_by_subkind ON artifacts (project, kind, subkind, row) WHERE subkind IS NOT NULL;

-- Every registration, settled once the runs that it starts are saved.
CREATE TABLE artifact_events (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  artifact BIGINT NOT NULL REFERENCES artifacts (row),
  project  TEXT COLLATE "C" NOT NULL,
  run      TEXT COLLATE "C",
  settled  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX artifact_events_pending ON artifact_events (sequence) WHERE settled = 0;
CREATE INDEX artifact_events_of_project ON artifact_events (project, sequence);
CREATE INDEX artifact_events_of_artifact ON artifact_events (artifact);
CREATE INDEX artifact_events_of_run ON artifact_events (run) WHERE run IS NOT NULL;

CREATE TABLE templates (
  name      TEXT COLLATE "C" PRIMARY KEY,
  extension TEXT COLLATE "C" NOT NULL,
  version   TEXT COLLATE "C" NOT NULL,
  document  TEXT COLLATE "C" NOT NULL
);

CREATE TABLE pipelines (
  project  TEXT COLLATE "C" NOT NULL REFERENCES projects (name),
  name     TEXT COLLATE "C" NOT NULL,
  runs     BIGINT NOT NULL DEFAULT 0,
  document TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, name)
);

CREATE TABLE runs (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  pipeline TEXT COLLATE "C" NOT NULL,
  number   BIGINT NOT NULL,
  state    TEXT COLLATE "C" NOT NULL,
  root     TEXT COLLATE "C",
  revision BIGINT NOT NULL,
  document TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX runs_label ON runs (project, pipeline, number);
CREATE INDEX runs_open ON runs (id) WHERE state = 'running';
CREATE INDEX runs_of_project ON runs (project, id);
CREATE INDEX runs_of_root ON runs (root) WHERE root IS NOT NULL;

-- One row a transition, written in its transaction.
CREATE TABLE run_events (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run      TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
  revision BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  states   TEXT COLLATE "C" NOT NULL,
  UNIQUE (run, revision)
);

CREATE TABLE participations (
  artifact TEXT COLLATE "C" NOT NULL,
  run      TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
  step     TEXT COLLATE "C" NOT NULL,
  slot     TEXT COLLATE "C" NOT NULL,
  role     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (artifact, run, step, slot, role)
);
CREATE INDEX participations_of_run ON participations (run);

CREATE TABLE builds (
  project  TEXT COLLATE "C" NOT NULL,
  codeset  TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, codeset)
);

CREATE TABLE services (
  project  TEXT COLLATE "C" NOT NULL,
  pipeline TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, pipeline, name)
);

-- The document says which version is active, which came before and which waits.
CREATE TABLE extensions (
  name     TEXT COLLATE "C" PRIMARY KEY,
  active   TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL
);

-- Every version that may become active again; a version's digest is that of its whole package.
CREATE TABLE extension_versions (
  extension TEXT COLLATE "C" NOT NULL REFERENCES extensions (name) ON DELETE CASCADE,
  digest    TEXT COLLATE "C" NOT NULL,
  document  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (extension, digest)
);

CREATE TABLE instances (
  name      TEXT COLLATE "C" PRIMARY KEY,
  extension TEXT COLLATE "C" NOT NULL REFERENCES extensions (name) ON DELETE CASCADE,
  document  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX instances_of_extension ON instances (extension);
CREATE INDEX artifacts_of_store ON artifacts (store_instance, store_id) WHERE store_instance IS NOT NULL;

-- Sealed with a key that is not in this database.
CREATE TABLE secrets (
  instance   TEXT COLLATE "C" NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
  name       TEXT COLLATE "C" NOT NULL,
  key        TEXT COLLATE "C" NOT NULL,
  nonce      BYTEA NOT NULL,
  ciphertext BYTEA NOT NULL,
  updated    BIGINT NOT NULL,
  PRIMARY KEY (instance, name)
);

-- Receipts. They outlive the instance: the lineage of what a call touched names them.
CREATE TABLE calls (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id       TEXT COLLATE "C" NOT NULL UNIQUE,
  instance TEXT COLLATE "C" NOT NULL,
  subject  TEXT COLLATE "C",
  digest   TEXT COLLATE "C" NOT NULL,
  started  BIGINT NOT NULL,
  refused  BIGINT NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  tape     TEXT COLLATE "C"
);
CREATE INDEX calls_of_instance ON calls (instance, sequence);
CREATE INDEX calls_of_subject ON calls (subject, sequence) WHERE subject IS NOT NULL;
CREATE INDEX calls_refused ON calls (instance, sequence) WHERE refused > 0;

CREATE TABLE extension_log (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL
);
CREATE INDEX extension_log_of_instance ON extension_log (instance, sequence);

CREATE TABLE instance_state (
  instance TEXT COLLATE "C" NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
  key      TEXT COLLATE "C" NOT NULL,
  value    BYTEA NOT NULL,
  PRIMARY KEY (instance, key)
);

-- Pushes under way: each may change a repository whose commits are then still to be registered.
CREATE TABLE pending_pushes (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project TEXT COLLATE "C" NOT NULL,
  name    TEXT COLLATE "C" NOT NULL
);
