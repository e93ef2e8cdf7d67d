-- Runs that a person can pause are open as well.
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (id) WHERE state IN ('running', 'paused');

-- What jobs made, by what decides it: runnable, inputs, parameters, environment.
CREATE TABLE step_results (
  project  TEXT COLLATE "C" NOT NULL,
  identity TEXT COLLATE "C" NOT NULL,
  pipeline TEXT COLLATE "C" NOT NULL,
  step     TEXT COLLATE "C" NOT NULL,
  at       BIGINT NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project, identity)
);
CREATE INDEX step_results_of_step ON step_results (project, pipeline, step, at);
