-- The same tables as SQLite's, as of its fourth migration. Texts compare by their bytes, as they do there.
CREATE TABLE accounts (
    name TEXT COLLATE "C" PRIMARY KEY,
    operator BIGINT NOT NULL,
    created TEXT NOT NULL
);

-- Tokens are kept as their SHA-256.
CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    created TEXT COLLATE "C" NOT NULL,
    expires TEXT COLLATE "C" NOT NULL
);
CREATE INDEX tokens_of_account ON tokens (account);

CREATE TABLE namespaces (
    name TEXT COLLATE "C" PRIMARY KEY,
    -- What it looks like: letters that are taken for each other are the same here.
    skeleton TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    document TEXT NOT NULL,
    verified BIGINT NOT NULL DEFAULT 0,
    metadata_version BIGINT NOT NULL DEFAULT 0,
    signed TEXT NOT NULL DEFAULT ''
);

CREATE TABLE members (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    role TEXT NOT NULL,
    -- Invited until the account itself accepts.
    accepted BIGINT NOT NULL,
    PRIMARY KEY (namespace, account)
);
CREATE INDEX members_by_account ON members (account);

CREATE TABLE keys (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    id TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, id)
);

CREATE TABLE extensions (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    name TEXT COLLATE "C" NOT NULL,
    skeleton TEXT NOT NULL,
    -- The newest version that may be chosen; empty when there is none.
    latest TEXT NOT NULL,
    updated TEXT COLLATE "C" NOT NULL,
    downloads BIGINT NOT NULL DEFAULT 0,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
);
CREATE INDEX extensions_by_name ON extensions (name);
CREATE INDEX extensions_by_skeleton ON extensions (skeleton);
CREATE INDEX extensions_by_downloads ON extensions (downloads DESC);
CREATE INDEX extensions_by_time ON extensions (updated DESC);

CREATE TABLE versions (
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    digest TEXT NOT NULL,
    published TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version),
    FOREIGN KEY (namespace, name) REFERENCES extensions (namespace, name)
);
CREATE INDEX versions_by_digest ON versions (digest);
CREATE INDEX versions_by_time ON versions (published DESC);

CREATE TABLE advisories (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    extension TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, extension, id),
    FOREIGN KEY (namespace, extension) REFERENCES extensions (namespace, name)
);

-- What can be searched for beside words, such as kind:model or asks:http.
CREATE TABLE facets (
    facet TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (facet, namespace, name)
);
CREATE INDEX facets_of_extension ON facets (namespace, name);

CREATE TABLE search_rows (
    row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    UNIQUE (namespace, name)
);

-- The words of each row, weighed: A its name, B namespace and title, C description, D readme.
CREATE TABLE words (
    row BIGINT PRIMARY KEY REFERENCES search_rows (row) ON DELETE CASCADE,
    document TSVECTOR NOT NULL
);
CREATE INDEX words_by_word ON words USING GIN (document);

-- One a day for each who downloads, so that a loop counts once.
CREATE TABLE downloads (
    day TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (day, namespace, name, who)
);

CREATE TABLE metadata (
    namespace TEXT COLLATE "C" NOT NULL REFERENCES namespaces (name),
    file TEXT COLLATE "C" NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (namespace, file)
);

CREATE TABLE log (
    seq BIGINT PRIMARY KEY,
    entry BYTEA NOT NULL
);

CREATE TABLE audit (
    at TEXT NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
);
