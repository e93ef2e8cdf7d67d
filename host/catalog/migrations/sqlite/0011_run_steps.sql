-- What a transition does not change is not written again: a run's template, kept once for all runs of it, and its
-- other steps. The copies in older documents are not read any more.
CREATE TABLE run_templates (
  digest   TEXT PRIMARY KEY,
  document TEXT NOT NULL
) STRICT;

CREATE TABLE run_steps (
  run      TEXT NOT NULL REFERENCES runs (id),
  position INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN template TEXT REFERENCES run_templates (digest);
INSERT INTO run_templates SELECT id, json_extract(document, '$.template') FROM runs;
INSERT INTO run_steps SELECT runs.id, step.key, step.value FROM runs, json_each(runs.document, '$.steps') AS step;
UPDATE runs SET template = id;
