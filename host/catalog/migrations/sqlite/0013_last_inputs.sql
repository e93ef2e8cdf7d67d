-- With which artifact of a series a pipeline that watches an input ran last.
CREATE TABLE last_inputs (
  project  TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  input    TEXT NOT NULL,
  name     TEXT NOT NULL,
  artifact TEXT NOT NULL,
  PRIMARY KEY (project, pipeline, input, name),
  FOREIGN KEY (project, pipeline) REFERENCES pipelines (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
