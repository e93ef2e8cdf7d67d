-- What is searched stands in columns; the rest of a record is its JSON document.

CREATE TABLE projects (
  name    TEXT PRIMARY KEY,
  created INTEGER NOT NULL
) STRICT;

CREATE TABLE artifacts (
  row      INTEGER PRIMARY KEY,
  project  TEXT NOT NULL REFERENCES projects (name),
  kind     TEXT NOT NULL,
  name     TEXT NOT NULL,
  id       TEXT NOT NULL,
  created  INTEGER NOT NULL,
  subkind  TEXT,
  document TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX artifacts_identity ON artifacts (project, kind, name, id);
CREATE INDEX artifacts_by_id ON artifacts (project, kind, id);
CREATE INDEX artifacts_by_age ON artifacts (project, kind, row);
CREATE INDEX artifacts_of_name_by_age ON artifacts (project, kind, name, row);
CREATE INDEX artifacts_by_subkind ON artifacts (project, kind, subkind, row) WHERE subkind IS NOT NULL;

-- Every registration, settled once the runs that it starts are saved.
CREATE TABLE artifact_events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  artifact INTEGER NOT NULL REFERENCES artifacts (row),
  project  TEXT NOT NULL,
  run      TEXT,
  settled  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX artifact_events_pending ON artifact_events (sequence) WHERE settled = 0;
CREATE INDEX artifact_events_of_project ON artifact_events (project, sequence);
CREATE INDEX artifact_events_of_artifact ON artifact_events (artifact);
CREATE INDEX artifact_events_of_run ON artifact_events (run) WHERE run IS NOT NULL;

CREATE TABLE templates (
  name      TEXT PRIMARY KEY,
  extension TEXT NOT NULL,
  version   TEXT NOT NULL,
  document  TEXT NOT NULL
) STRICT;

CREATE TABLE pipelines (
  project  TEXT NOT NULL REFERENCES projects (name),
  name     TEXT NOT NULL,
  runs     INTEGER NOT NULL DEFAULT 0,
  document TEXT NOT NULL,
  PRIMARY KEY (project, name)
) STRICT;

CREATE TABLE runs (
  id       TEXT PRIMARY KEY,
  project  TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  number   INTEGER NOT NULL,
  state    TEXT NOT NULL,
  root     TEXT,
  revision INTEGER NOT NULL,
  document TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_label ON runs (project, pipeline, number);
CREATE INDEX runs_open ON runs (id) WHERE state = 'running';
CREATE INDEX runs_of_project ON runs (project, id);
CREATE INDEX runs_of_root ON runs (root) WHERE root IS NOT NULL;

-- One row a transition, written in its transaction.
CREATE TABLE run_events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  run      TEXT NOT NULL REFERENCES runs (id),
  revision INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  states   TEXT NOT NULL,
  UNIQUE (run, revision)
) STRICT;

CREATE TABLE participations (
  artifact TEXT NOT NULL,
  run      TEXT NOT NULL REFERENCES runs (id),
  step     TEXT NOT NULL,
  slot     TEXT NOT NULL,
  role     TEXT NOT NULL,
  PRIMARY KEY (artifact, run, step, slot, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX participations_of_run ON participations (run);

CREATE TABLE builds (
  project  TEXT NOT NULL,
  codeset  TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (project, codeset)
) STRICT;

CREATE TABLE services (
  project  TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  name     TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (project, pipeline, name)
) STRICT;

-- The document says which version is active, which came before and which waits.
CREATE TABLE extensions (
  name     TEXT PRIMARY KEY,
  document TEXT NOT NULL
) STRICT;

-- Every version that may become active again; a version's digest is that of its whole package.
CREATE TABLE extension_versions (
  extension TEXT NOT NULL REFERENCES extensions (name) ON DELETE CASCADE,
  digest    TEXT NOT NULL,
  document  TEXT NOT NULL,
  PRIMARY KEY (extension, digest)
) STRICT;

CREATE TABLE instances (
  name      TEXT PRIMARY KEY,
  extension TEXT NOT NULL REFERENCES extensions (name) ON DELETE CASCADE,
  document  TEXT NOT NULL
) STRICT;
CREATE INDEX instances_of_extension ON instances (extension);
CREATE INDEX artifacts_of_instance ON artifacts (json_extract(document, '$.store.instance'))
  WHERE json_extract(document, '$.store.instance') IS NOT NULL;

-- Sealed with a key that is not in this database.
CREATE TABLE secrets (
  instance   TEXT NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
  name       TEXT NOT NULL,
  key        TEXT NOT NULL,
  nonce      BLOB NOT NULL,
  ciphertext BLOB NOT NULL,
  updated    INTEGER NOT NULL,
  PRIMARY KEY (instance, name)
) STRICT;

-- Receipts. They outlive the instance: the lineage of what a call touched names them.
CREATE TABLE calls (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id       TEXT NOT NULL UNIQUE,
  instance TEXT NOT NULL,
  subject  TEXT,
  started  INTEGER NOT NULL,
  refused  INTEGER NOT NULL,
  document TEXT NOT NULL,
  tape     TEXT
) STRICT;
CREATE INDEX calls_of_instance ON calls (instance, sequence);
CREATE INDEX calls_of_subject ON calls (subject, sequence) WHERE subject IS NOT NULL;
CREATE INDEX calls_refused ON calls (instance, sequence) WHERE refused > 0;

CREATE TABLE extension_log (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  instance TEXT NOT NULL,
  document TEXT NOT NULL
) STRICT;
CREATE INDEX extension_log_of_instance ON extension_log (instance, sequence);

CREATE TABLE instance_state (
  instance TEXT NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  value    BLOB NOT NULL,
  PRIMARY KEY (instance, key)
) STRICT, WITHOUT ROWID;

-- Pushes under way: each may change a repository whose commits are then still to be registered.
CREATE TABLE pending_pushes (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL,
  name    TEXT NOT NULL
) STRICT;
