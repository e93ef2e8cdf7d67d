-- What pipelines were before they were changed.
CREATE TABLE pipeline_versions (
  project  TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  version  BIGINT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (project, pipeline, version),
  FOREIGN KEY (project, pipeline) REFERENCES pipelines (project, name) ON DELETE CASCADE
);
