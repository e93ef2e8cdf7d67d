-- Runs that wait for an earlier one of their pipeline are open as well.
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'running', 'paused');

-- Up to which moment a pipeline's schedule is worked through.
ALTER TABLE pipelines ADD COLUMN scheduled INTEGER;
CREATE INDEX pipelines_scheduled ON pipelines (scheduled) WHERE scheduled IS NOT NULL;

-- Why an artifact did not start a pipeline that selects it.
CREATE TABLE unstarted (
  event    INTEGER NOT NULL REFERENCES artifact_events (sequence) ON DELETE CASCADE,
  pipeline TEXT NOT NULL,
  reason   TEXT NOT NULL,
  PRIMARY KEY (event, pipeline)
) STRICT, WITHOUT ROWID;
