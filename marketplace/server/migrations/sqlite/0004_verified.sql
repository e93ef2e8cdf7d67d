-- Search weighs it; it is read from the document no more, which not every database reads alike.
ALTER TABLE namespaces ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;
UPDATE namespaces SET verified = 1 WHERE json_extract(document, '$.verified');
