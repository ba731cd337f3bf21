-- Times are nanoseconds since 1970.
CREATE TABLE sessions (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    owner            TEXT    NOT NULL,
    name             TEXT    NOT NULL, -- what the caller calls its id
    backend          TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    updated          INTEGER NOT NULL,
    lease_holder     TEXT    NOT NULL DEFAULT '', -- a file beside this one; empty: it is free
    workdir          TEXT    NOT NULL,
    parent           TEXT    NOT NULL,
    model            TEXT    NOT NULL,
    mode             TEXT    NOT NULL,
    token            BLOB,
    created          INTEGER NOT NULL,
    turns            INTEGER NOT NULL DEFAULT 0,
    input_tokens     INTEGER NOT NULL DEFAULT 0,
    output_tokens    INTEGER NOT NULL DEFAULT 0,
    cached_tokens    INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    title_words      INTEGER NOT NULL DEFAULT 0, -- its row in session_words; 0: it has no words
    title            TEXT    NOT NULL,
    tags             TEXT    NOT NULL, -- JSON, to show; session_tags is to search
    metadata         TEXT    NOT NULL, -- JSON
    system           TEXT    NOT NULL,
    UNIQUE (owner, name)
);
-- Each holds all that a list asks for, so that it reads the rows of its page only.
CREATE INDEX sessions_by_owner ON sessions (owner, updated);
CREATE INDEX sessions_by_backend ON sessions (owner, backend, updated, status, workdir);
CREATE INDEX sessions_by_status ON sessions (owner, status, updated, backend, workdir);
CREATE INDEX sessions_by_workdir ON sessions (owner, workdir, updated, backend, status);
CREATE INDEX sessions_updated ON sessions (updated);
CREATE INDEX sessions_leased ON sessions (lease_holder) WHERE lease_holder <> '';

-- How many sessions there are, and how many texts were ever given to the search.
CREATE TABLE session_sums (
    sessions INTEGER NOT NULL,
    texts    INTEGER NOT NULL
);
INSERT INTO session_sums VALUES (0, 0);

-- The tags of each session, and the empty one of all. updated and the rest are here
-- too, so that the newest of a tag are found without a sort.
CREATE TABLE session_tags (
    owner   TEXT    NOT NULL,
    tag     TEXT    NOT NULL,
    updated INTEGER NOT NULL,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    backend TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    workdir TEXT    NOT NULL,
    PRIMARY KEY (owner, tag, updated, session)
) WITHOUT ROWID;
CREATE INDEX session_tags_by_session ON session_tags (session);

CREATE TRIGGER sessions_added AFTER INSERT ON sessions BEGIN
    INSERT INTO session_tags VALUES (NEW.owner, '', NEW.updated, NEW.id, NEW.backend, NEW.status, NEW.workdir);
    UPDATE session_sums SET sessions = sessions + 1;
END;
CREATE TRIGGER sessions_changed AFTER UPDATE OF updated, backend, status, workdir ON sessions
WHEN OLD.updated <> NEW.updated OR OLD.backend <> NEW.backend OR OLD.status <> NEW.status OR OLD.workdir <> NEW.workdir BEGIN
    UPDATE session_tags SET updated = NEW.updated, backend = NEW.backend, status = NEW.status, workdir = NEW.workdir
        WHERE session = NEW.id;
END;

-- How many sessions there are of each kind: to count them at every list would take
-- longer than to read the page.
CREATE TABLE session_counts (
    owner   TEXT    NOT NULL,
    tag     TEXT    NOT NULL,
    backend TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    workdir TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (owner, tag, backend, status, workdir)
) WITHOUT ROWID;
CREATE TRIGGER session_tags_counted AFTER INSERT ON session_tags BEGIN
    INSERT INTO session_counts VALUES (NEW.owner, NEW.tag, NEW.backend, NEW.status, NEW.workdir, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER session_tags_uncounted AFTER DELETE ON session_tags BEGIN
    UPDATE session_counts SET n = n - 1 WHERE owner = OLD.owner AND tag = OLD.tag
        AND backend = OLD.backend AND status = OLD.status AND workdir = OLD.workdir;
    DELETE FROM session_counts WHERE owner = OLD.owner AND tag = OLD.tag
        AND backend = OLD.backend AND status = OLD.status AND workdir = OLD.workdir AND n = 0;
END;
CREATE TRIGGER session_tags_recounted AFTER UPDATE OF backend, status, workdir ON session_tags
WHEN OLD.backend <> NEW.backend OR OLD.status <> NEW.status OR OLD.workdir <> NEW.workdir BEGIN
    UPDATE session_counts SET n = n - 1 WHERE owner = OLD.owner AND tag = OLD.tag
        AND backend = OLD.backend AND status = OLD.status AND workdir = OLD.workdir;
    DELETE FROM session_counts WHERE owner = OLD.owner AND tag = OLD.tag
        AND backend = OLD.backend AND status = OLD.status AND workdir = OLD.workdir AND n = 0;
    INSERT INTO session_counts VALUES (NEW.owner, NEW.tag, NEW.backend, NEW.status, NEW.workdir, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TABLE session_turns (
    session          INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    seq              INTEGER NOT NULL,
    user             BLOB,
    assistant        BLOB,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    backend          TEXT    NOT NULL,
    model            TEXT    NOT NULL,
    finish_reason    TEXT    NOT NULL,
    created          INTEGER NOT NULL,
    text             TEXT    NOT NULL, -- what a search finds it by
    words            INTEGER NOT NULL, -- its row in session_words; 0: it has no words
    PRIMARY KEY (session, seq)
);

-- What a search looks at: each title and each turn's text, followed by words that stand
-- for the owner, the directory and the tags, so that one look finds all together. The
-- index keeps no copy of the text. A rowid is the number of the text, so that the
-- newest have the highest, and in its lower 31 bits the session. The prefixes are those
-- that are found without reading all words that begin with them.
CREATE VIRTUAL TABLE session_words USING fts5 (
    text, content = '', contentless_delete = 1, prefix = '1 2 3 4 5 6', tokenize = "unicode61 remove_diacritics 2"
);
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
    UPDATE session_sums SET sessions = sessions - 1;
    DELETE FROM session_words WHERE rowid = OLD.title_words;
END;
CREATE TRIGGER session_turns_deleted AFTER DELETE ON session_turns BEGIN
    DELETE FROM session_words WHERE rowid = OLD.words;
END;
