-- Where events come in, and which outside services steps may call. Secrets are sealed.
CREATE TABLE webhooks (
  project  TEXT NOT NULL REFERENCES projects (name),
  name     TEXT NOT NULL,
  document TEXT NOT NULL,
  secret   TEXT NOT NULL,
  PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints (
  project  TEXT NOT NULL REFERENCES projects (name),
  name     TEXT NOT NULL,
  document TEXT NOT NULL,
  secret   TEXT NOT NULL,
  PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

-- Every event that came, once, settled when the runs that it starts are saved.
CREATE TABLE received_events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  project  TEXT NOT NULL REFERENCES projects (name),
  -- Empty for what a person sent.
  webhook  TEXT NOT NULL,
  source   TEXT NOT NULL,
  id       TEXT NOT NULL,
  -- Of the signed request that brought it, and which of its events it is.
  delivery TEXT,
  received INTEGER NOT NULL,
  settled  INTEGER NOT NULL DEFAULT 0,
  document TEXT NOT NULL,
  -- What came of it.
  outcome  TEXT
) STRICT;
CREATE UNIQUE INDEX received_events_identity ON received_events (project, webhook, source, id);
CREATE UNIQUE INDEX received_events_delivery ON received_events (project, webhook, delivery)
  WHERE delivery IS NOT NULL;
CREATE INDEX received_events_pending ON received_events (sequence) WHERE settled = 0;
CREATE INDEX received_events_of_project ON received_events (project, sequence);
CREATE INDEX received_events_by_age ON received_events (received);

-- Whether its pipeline started it by itself, and it was not overtaken.
ALTER TABLE runs ADD COLUMN by_itself INTEGER NOT NULL DEFAULT 0;
