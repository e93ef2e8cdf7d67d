-- Servers that share this catalog. Each renews its lease; one whose lease is over is dead to the others.
CREATE TABLE servers (
  id      TEXT PRIMARY KEY,
  url     TEXT NOT NULL,
  machine TEXT NOT NULL,
  pid     INTEGER NOT NULL,
  -- Milliseconds of the database's clock.
  until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The server that drives a run, or sees to a push; empty for none.
ALTER TABLE runs ADD COLUMN server TEXT NOT NULL DEFAULT '';
ALTER TABLE pending_pushes ADD COLUMN server TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_open_of_server ON runs (server, id) WHERE state IN ('queued', 'running', 'paused');

-- Whether a run may have left anonymous results in the local space of its agents.
ALTER TABLE runs ADD COLUMN leaves INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_that_left ON runs (id) WHERE leaves = 1 AND state IN ('succeeded', 'failed', 'cancelled');

-- Who waits for an event looks at those that came since it began to wait.
CREATE INDEX received_events_of_project_by_age ON received_events (project, received);
