CREATE TABLE deprecations (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    extension TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, extension),
    FOREIGN KEY (namespace, extension) REFERENCES extensions (namespace, name)
) STRICT;
-- Ranks what is found.
ALTER TABLE extensions ADD COLUMN deprecated INTEGER NOT NULL DEFAULT 0;
DROP INDEX extensions_by_downloads;
CREATE INDEX extensions_by_downloads ON extensions (deprecated, downloads DESC);
