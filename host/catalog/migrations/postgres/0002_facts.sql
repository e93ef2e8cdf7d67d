-- What conditions ask for: attributes, metrics, labels, tags and origin, a row each. Texts are cut: an index holds no
-- documents, and who compares more than that looks at the document.
CREATE TABLE facts (
  artifact BIGINT NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  field    TEXT COLLATE "C" NOT NULL,
  text     TEXT COLLATE "C" NOT NULL,
  number   DOUBLE PRECISION,
  PRIMARY KEY (artifact, field, text)
);
CREATE INDEX facts_by_text ON facts (field, text, artifact);
CREATE INDEX facts_by_number ON facts (field, number, artifact) WHERE number IS NOT NULL;

CREATE INDEX artifacts_by_name ON artifacts (name, row);
CREATE INDEX artifacts_by_kind ON artifacts (kind, row);

-- Where a movable reference stands now, one for each series of versions.
CREATE TABLE tags (
  project  TEXT COLLATE "C" NOT NULL,
  kind     TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  tag      TEXT COLLATE "C" NOT NULL,
  artifact BIGINT NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  PRIMARY KEY (project, kind, name, tag)
);
CREATE INDEX tags_by_tag ON tags (project, kind, tag, artifact);
CREATE INDEX tags_of_artifact ON tags (artifact);

-- Every change of what may change: labels and tags.
CREATE TABLE artifact_changes (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  artifact BIGINT NOT NULL REFERENCES artifacts (row) ON DELETE CASCADE,
  document TEXT COLLATE "C" NOT NULL
);
CREATE INDEX artifact_changes_of_artifact ON artifact_changes (artifact, sequence);
