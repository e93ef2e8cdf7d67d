-- The row in `words` of each extension: the full-text table itself finds rows by words and by number alone.
CREATE TABLE search_rows (
    row INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
INSERT INTO search_rows (row, namespace, name) SELECT rowid, namespace, name FROM words;
