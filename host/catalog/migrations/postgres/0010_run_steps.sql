-- What a transition does not change is not written again: a run's template, kept once for all runs of it, and its
-- other steps. The copies in older documents are not read any more.
CREATE TABLE run_templates (
  digest   TEXT COLLATE "C" PRIMARY KEY,
  document TEXT NOT NULL
);

CREATE TABLE run_steps (
  run      TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
  position BIGINT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (run, position)
);

ALTER TABLE runs ADD COLUMN template TEXT COLLATE "C" REFERENCES run_templates (digest);
INSERT INTO run_templates SELECT id, document::json ->> 'template' FROM runs;
INSERT INTO run_steps
  SELECT runs.id, step.position - 1, step.document::text
  FROM runs, json_array_elements(runs.document::json -> 'steps') WITH ORDINALITY AS step (document, position);
UPDATE runs SET template = id;
