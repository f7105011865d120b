-- Version 1. Names and paths are BLOBs (bytes), *_at milliseconds since 1970 UTC, "modified" seconds.
CREATE TABLE owners (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    lock    TEXT NOT NULL UNIQUE,
    process INTEGER NOT NULL,
    since   INTEGER NOT NULL
) STRICT;

CREATE TABLE fetches (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    account      TEXT NOT NULL,
    directory    BLOB NOT NULL,
    name         BLOB NOT NULL,
    size         INTEGER,
    modified     INTEGER,
    state        TEXT NOT NULL CHECK (state IN ('claimed', 'fetched', 'delivered', 'moving', 'done')),
    owner        INTEGER REFERENCES owners (id) ON DELETE SET NULL,
    claims       INTEGER NOT NULL DEFAULT 1,
    part         BLOB,
    place        BLOB,
    got_size     INTEGER,
    got_modified INTEGER,
    got_sha256   BLOB CHECK (length(got_sha256) = 32),
    moving_to    BLOB,
    after        TEXT CHECK (after IN ('none', 'deleted', 'moved')),
    failed_class TEXT,
    failed       TEXT,
    failed_at    INTEGER,
    claimed_at   INTEGER NOT NULL,
    fetched_at   INTEGER,
    delivered_at INTEGER,
    done_at      INTEGER,
    closed_at    INTEGER,
    seen_at      INTEGER NOT NULL
) STRICT;
-- One open entry per file; closed ones are history.
CREATE UNIQUE INDEX fetches_open ON fetches
    (account, directory, name, coalesce(size, '?'), coalesce(modified, '?')) WHERE closed_at IS NULL;
CREATE INDEX fetches_unfinished ON fetches (account, directory) WHERE state <> 'done';
CREATE INDEX fetches_owned ON fetches (owner) WHERE owner IS NOT NULL;
CREATE INDEX fetches_done ON fetches (seen_at) WHERE state = 'done';

CREATE TABLE sends (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    account       TEXT NOT NULL,
    document      TEXT NOT NULL,
    directory     BLOB NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('claimed', 'begun', 'written', 'publishing',
                      'appending', 'published', 'moving', 'done')),
    owner         INTEGER REFERENCES owners (id) ON DELETE SET NULL,
    claims        INTEGER NOT NULL DEFAULT 1,
    temporary     BLOB,
    name          BLOB,
    size          INTEGER,
    sha256        BLOB CHECK (length(sha256) = 32),
    base          INTEGER,
    standing      INTEGER,
    reserved      INTEGER NOT NULL DEFAULT 0 CHECK (reserved IN (0, 1)),
    path          BLOB,
    moving_to     BLOB,
    failed_class  TEXT,
    failed        TEXT,
    failed_at     INTEGER,
    claimed_at    INTEGER NOT NULL,
    begun_at      INTEGER,
    written_at    INTEGER,
    publishing_at INTEGER,
    published_at  INTEGER,
    done_at       INTEGER,
    seen_at       INTEGER NOT NULL,
    UNIQUE (account, document, directory)
) STRICT;
CREATE INDEX sends_owned ON sends (owner) WHERE owner IS NOT NULL;
CREATE INDEX sends_done ON sends (seen_at) WHERE state = 'done';

-- What listeners were told: only files, with the version that was told last. "due": to be taken still.
CREATE TABLE listings (
    id        INTEGER PRIMARY KEY,
    account   TEXT NOT NULL,
    directory BLOB NOT NULL,
    UNIQUE (account, directory)
) STRICT;

-- "path" is below the directory: sub/a.csv. "size" has the bits of an unsigned number.
CREATE TABLE listed (
    listing  INTEGER NOT NULL REFERENCES listings (id) ON DELETE CASCADE,
    path     BLOB NOT NULL,
    size     INTEGER,
    modified INTEGER,
    due      INTEGER NOT NULL CHECK (due IN (0, 1)),
    PRIMARY KEY (listing, path)
) STRICT, WITHOUT ROWID;
