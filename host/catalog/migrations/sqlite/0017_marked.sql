-- Of an event of changed labels and tags: what they were before, and who changed them. NULL: the artifact was registered.
ALTER TABLE artifact_events ADD COLUMN before TEXT;
-- Counts changes since the event came, so that runs are not chosen by what the artifact was.
ALTER TABLE artifact_events ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;

-- How often a pipeline started by itself is asked before it does again.
CREATE INDEX runs_by_itself ON runs (project, pipeline, number, id) WHERE by_itself = 1;
