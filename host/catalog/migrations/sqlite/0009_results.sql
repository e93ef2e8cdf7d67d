-- Runs that a person can pause are open as well.
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (id) WHERE state IN ('running', 'paused');

-- What jobs made, by what decides it: runnable, inputs, parameters, environment.
CREATE TABLE step_results (
  project  TEXT NOT NULL,
  identity TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  step     TEXT NOT NULL,
  at       INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (project, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX step_results_of_step ON step_results (project, pipeline, step, at);
