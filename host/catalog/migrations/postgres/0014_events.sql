-- Where events come in, and which outside services steps may call. Secrets are sealed.
CREATE TABLE webhooks (
  project  TEXT COLLATE "C" NOT NULL REFERENCES projects (name),
  name     TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  secret   TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, name)
);
CREATE TABLE endpoints (
  project  TEXT COLLATE "C" NOT NULL REFERENCES projects (name),
  name     TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  secret   TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, name)
);

-- Every event that came, once, settled when the runs that it starts are saved.
CREATE TABLE received_events (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL REFERENCES projects (name),
  -- Empty for what a person sent.
  webhook  TEXT COLLATE "C" NOT NULL,
  source   TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  -- Of the signed request that brought it, and which of its events it is.
  delivery TEXT COLLATE "C",
  received BIGINT NOT NULL,
  settled  BIGINT NOT NULL DEFAULT 0,
  document TEXT COLLATE "C" NOT NULL,
  -- What came of it.
  outcome  TEXT COLLATE "C"
);
CREATE UNIQUE INDEX received_events_identity ON received_events (project, webhook, source, id);
CREATE UNIQUE INDEX received_events_delivery ON received_events (project, webhook, delivery)
  WHERE delivery IS NOT NULL;
CREATE INDEX received_events_pending ON received_events (sequence) WHERE settled = 0;
CREATE INDEX received_events_of_project ON received_events (project, sequence);
CREATE INDEX received_events_by_age ON received_events (received);

-- Whether its pipeline started it by itself, and it was not overtaken.
ALTER TABLE runs ADD COLUMN by_itself BIGINT NOT NULL DEFAULT 0;
