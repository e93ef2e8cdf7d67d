CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    operator INTEGER NOT NULL,
    created TEXT NOT NULL
) STRICT;

-- Tokens are kept as their SHA-256.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL REFERENCES accounts (name),
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    created TEXT NOT NULL,
    expires TEXT NOT NULL
) STRICT;
CREATE INDEX tokens_of_account ON tokens (account);

CREATE TABLE namespaces (
    name TEXT PRIMARY KEY,
    -- What it looks like: letters that are taken for each other are the same here.
    skeleton TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    document TEXT NOT NULL,
    metadata_version INTEGER NOT NULL DEFAULT 0,
    signed TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE members (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    account TEXT NOT NULL REFERENCES accounts (name),
    role TEXT NOT NULL,
    -- Invited until the account itself accepts.
    accepted INTEGER NOT NULL,
    PRIMARY KEY (namespace, account)
) STRICT;
CREATE INDEX members_by_account ON members (account);

CREATE TABLE keys (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;

CREATE TABLE extensions (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    name TEXT NOT NULL,
    skeleton TEXT NOT NULL,
    -- The newest version that may be chosen; empty when there is none.
    latest TEXT NOT NULL,
    updated TEXT NOT NULL,
    downloads INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT;
CREATE INDEX extensions_by_name ON extensions (name);
CREATE INDEX extensions_by_skeleton ON extensions (skeleton);
CREATE INDEX extensions_by_downloads ON extensions (downloads DESC);
CREATE INDEX extensions_by_time ON extensions (updated DESC);

CREATE TABLE versions (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    published TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version),
    FOREIGN KEY (namespace, name) REFERENCES extensions (namespace, name)
) STRICT;
CREATE INDEX versions_by_digest ON versions (digest);
CREATE INDEX versions_by_time ON versions (published DESC);

-- What can be searched for beside words, such as kind:model or asks:http.
CREATE TABLE facets (
    facet TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (facet, namespace, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX facets_of_extension ON facets (namespace, name);

CREATE VIRTUAL TABLE words USING fts5 (namespace, name, title, description, readme, tokenize = 'porter unicode61');

-- One a day for each who downloads, so that a loop counts once.
CREATE TABLE downloads (
    day TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (day, namespace, name, who)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    file TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (namespace, file)
) STRICT;

CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    entry BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    at TEXT NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
