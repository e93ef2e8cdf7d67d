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
ALTER TABLE pending_pushes ADD COLUMN server TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX runs_open_of_server ON runs (server, id) WHERE state IN ('queued', 'running', 'paused');

-- Whether a run may have left anonymous results in the local space of its agents.
ALTER TABLE runs ADD COLUMN leaves BIGINT NOT NULL DEFAULT 0;
CREATE INDEX runs_that_left ON runs (id) WHERE leaves = 1 AND state IN ('succeeded', 'failed', 'cancelled');

-- Counts changes of extensions, in the transaction of each: a server that sees another number forgets what it keeps of
-- them, and one that listens is told.
CREATE TABLE extension_changes (number BIGINT NOT NULL);
INSERT INTO extension_changes (number) VALUES (0);
CREATE FUNCTION count_extension_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE extension_changes SET number = number + 1;
  PERFORM pg_notify('fuseml', '["", "extensions"]');
  RETURN NULL;
END $$;
CREATE TRIGGER extensions_change AFTER INSERT OR UPDATE OR DELETE ON extensions
  FOR EACH STATEMENT EXECUTE FUNCTION count_extension_change();
CREATE TRIGGER extension_versions_change AFTER INSERT OR UPDATE OR DELETE ON extension_versions
  FOR EACH STATEMENT EXECUTE FUNCTION count_extension_change();
CREATE TRIGGER instances_change AFTER INSERT OR UPDATE OR DELETE ON instances
  FOR EACH STATEMENT EXECUTE FUNCTION count_extension_change();

-- Who waits for an event looks at those that came since it began to wait.
CREATE INDEX received_events_of_project_by_age ON received_events (project, received);
