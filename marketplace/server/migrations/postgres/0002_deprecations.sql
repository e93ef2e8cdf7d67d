CREATE TABLE deprecations (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    extension TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, extension),
    FOREIGN KEY (namespace, extension) REFERENCES extensions (namespace, name)
);
-- Ranks what is found.
ALTER TABLE extensions ADD COLUMN deprecated BIGINT NOT NULL DEFAULT 0;
DROP INDEX extensions_by_downloads;
CREATE INDEX extensions_by_downloads ON extensions (deprecated, downloads DESC);
