-- Kinds that runnables take and make, as conditions ask for them.
INSERT OR IGNORE INTO facts (artifact, field, text, number)
  SELECT a.row, 'input', json_extract(j.value, '$.kind'), NULL
  FROM artifacts a, json_each(a.document, '$.runnable.inputs') j WHERE a.kind = 'runnable';
INSERT OR IGNORE INTO facts (artifact, field, text, number)
  SELECT a.row, 'output', json_extract(j.value, '$.kind'), NULL
  FROM artifacts a, json_each(a.document, '$.runnable.outputs') j WHERE a.kind = 'runnable';
