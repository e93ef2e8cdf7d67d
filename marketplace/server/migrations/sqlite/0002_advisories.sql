CREATE TABLE advisories (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    extension TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, extension, id),
    FOREIGN KEY (namespace, extension) REFERENCES extensions (namespace, name)
) STRICT;
