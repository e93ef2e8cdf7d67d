-- Servers that share this catalog. Each renews its lease; one whose lease is over is dead to the others.
CREATE TABLE servers (
  id      TEXT COLLATE "C" PRIMARY KEY,
  url     TEXT COLLATE "C" NOT NULL,
  machine TEXT COLLATE "C" NOT NULL,
  pid     BIGINT NOT NULL,
  -- Milliseconds of the database's clock.
  until   BIGINT NOT NULL
);

-- The server that drives a run, or sees to a push; empty for none.
ALTER TABLE runs ADD COLUMN server TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX runs_open_of_server ON runs (server, id) WHERE state IN ('queued', 'running', 'paused');
ALTER TABLE pending_pushes ADD COLUMN server TEXT COLLATE "C" NOT NULL DEFAULT '';
