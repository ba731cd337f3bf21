CREATE TABLE responses (
	id TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	previous_id TEXT NOT NULL,
	model TEXT NOT NULL,
	created INTEGER NOT NULL,
	completed INTEGER NOT NULL,
	status TEXT NOT NULL,
	lease INTEGER NOT NULL,
	background INTEGER NOT NULL,
	input BLOB NOT NULL,
	output BLOB NOT NULL,
	usage BLOB,
	error BLOB,
	incomplete BLOB,
	settings BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX responses_created ON responses (created);
