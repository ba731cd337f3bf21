-- A draft is a session whose first turn is not written yet, that of a copy included. torn
-- says that the process which had leased the session ended in mid-turn.
ALTER TABLE sessions ADD COLUMN draft INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN torn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sessions_drafted ON sessions (updated) WHERE draft = 1;
