-- Kinds that runnables take and make, as conditions ask for them.
INSERT INTO facts (artifact, field, text, number)
  SELECT a.row, 'input', j.value ->> 'kind', NULL
  FROM artifacts a, jsonb_each(a.document::jsonb #> '{runnable,inputs}') j WHERE a.kind = 'runnable'
  ON CONFLICT DO NOTHING;
INSERT INTO facts (artifact, field, text, number)
  SELECT a.row, 'output', j.value ->> 'kind', NULL
  FROM artifacts a, jsonb_each(a.document::jsonb #> '{runnable,outputs}') j WHERE a.kind = 'runnable'
  ON CONFLICT DO NOTHING;
