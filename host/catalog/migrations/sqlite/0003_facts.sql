-- What conditions ask for: attributes, metrics, labels, tags and origin, a row each. Texts are cut: an index holds no
-- documents, and who compares more than that looks at the document.
CREATE TABLE facts (
  artifact INTEGER NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  field    TEXT NOT NULL,
  text     TEXT NOT NULL,
  number   REAL,
  PRIMARY KEY (artifact, field, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_by_text ON facts (field, text, artifact);
CREATE INDEX facts_by_number ON facts (field, number, artifact) WHERE number IS NOT NULL;

INSERT OR IGNORE INTO facts (artifact, field, text, number)
  SELECT a.row, 'attribute.' || j.key, substr(j.value, 1, 200), NULL
  FROM artifacts a, json_each(a.document, '$.attributes') j;
INSERT OR IGNORE INTO facts (artifact, field, text, number)
  SELECT a.row, 'metric.' || j.key, CAST(j.value AS TEXT), CAST(j.value AS REAL)
  FROM artifacts a, json_each(a.document, '$.metrics') j;
INSERT OR IGNORE INTO facts (artifact, field, text, number)
  SELECT a.row, 'origin', json_extract(a.document, '$.origin.kind'), NULL FROM artifacts a;

CREATE INDEX artifacts_by_name ON artifacts (name, row);
CREATE INDEX artifacts_by_kind ON artifacts (kind, row);

-- Where a movable reference stands now, one for each series of versions.
CREATE TABLE tags (
  project  TEXT NOT NULL,
  kind     TEXT NOT NULL,
  name     TEXT NOT NULL,
  tag      TEXT NOT NULL,
  artifact INTEGER NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  PRIMARY KEY (project, kind, name, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (project, kind, tag, artifact);
CREATE INDEX tags_of_artifact ON tags (artifact);

-- Every change of what may change: labels and tags.
CREATE TABLE artifact_changes (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  artifact INTEGER NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  document TEXT NOT NULL
) STRICT;
CREATE INDEX artifact_changes_of_artifact ON artifact_changes (artifact, sequence);
