-- hookflow's embedded state store, schema version 2 (PRAGMA user_version).
-- Times are whole milliseconds since 1970-01-01T00:00:00Z. Keys are 16-byte hashes.
-- Every transaction touches tables in the order ledger, unmatched, recipients, batches, outbox.

-- The judge of duplicates: an event counts if it was not in here before.
CREATE TABLE ledger (
    bucket   INTEGER NOT NULL,  -- the hour of the event's fixed time; 0 = it has none
    identity BLOB    NOT NULL,  -- hash of (provider, user, kind, event key)
    stored   INTEGER,           -- bucket 0 only: when this row was written, for `prune --no-time`
    PRIMARY KEY (bucket, identity)
) WITHOUT ROWID;

-- State rows: one per (user, batch, recipient), made by loads only, never by events.
CREATE TABLE recipients (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    batch  INTEGER REFERENCES batches (id),  -- NULL: transactional mail, no counters
    flags  INTEGER NOT NULL DEFAULT 0,       -- bit set, see the names of the columns below, lowest bit first
    status INTEGER NOT NULL DEFAULT 0,       -- rank of the highest flag, 0 = pending
    first_sent INTEGER,           last_sent INTEGER,
    first_deferred INTEGER,       last_deferred INTEGER,
    first_dropped INTEGER,        last_dropped INTEGER,
    first_failed INTEGER,         last_failed INTEGER,
    first_bounced_soft INTEGER,   last_bounced_soft INTEGER,
    first_bounced_hard INTEGER,   last_bounced_hard INTEGER,
    first_delivered INTEGER,      last_delivered INTEGER,
    first_opened INTEGER,         last_opened INTEGER,
    first_clicked INTEGER,        last_clicked INTEGER,
    first_unsubscribed INTEGER,   last_unsubscribed INTEGER,
    first_complained INTEGER,     last_complained INTEGER,
    first_machine_opened INTEGER, last_machine_opened INTEGER,
    row_key      BLOB NOT NULL UNIQUE,       -- hash of (user, batch_id, recipient_id)
    user         TEXT NOT NULL,
    batch_id     TEXT NOT NULL,              -- '' = transactional mail
    recipient_id TEXT NOT NULL,
    load_id      INTEGER NOT NULL            -- the load that made it
);

-- Which message to which address belongs to which state row. The first accepted stands.
CREATE TABLE messages (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    join_key    BLOB NOT NULL,     -- hash of (user, provider, join id)
    address_key BLOB NOT NULL,     -- hash of the lower-cased address
    row_id      INTEGER NOT NULL REFERENCES recipients (id),
    provider    TEXT NOT NULL,
    message_id  TEXT NOT NULL,     -- as the snapshot gives it
    recipient   TEXT NOT NULL,     -- the address, lower-cased
    sent_at     INTEGER,
    load_id     INTEGER NOT NULL,  -- the load that brought it; not joined with before that load has ended
    UNIQUE (join_key, address_key)
);
CREATE INDEX messages_by_row ON messages (row_id);

-- Counters grow by transitions of state rows only. The checks are alarms: no path of the program can reach them.
CREATE TABLE batches (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user         TEXT NOT NULL,
    batch_id     TEXT NOT NULL,
    given        INTEGER NOT NULL DEFAULT 0,  -- 1: a row of a `batches` file decides its total and seal
    total        INTEGER,
    sealed_at    INTEGER,                     -- NULL: the total may still grow
    deadline     INTEGER,
    generation   INTEGER NOT NULL DEFAULT 0,  -- grows when it is sealed and when a sealed total changes
    completed_at INTEGER,                     -- of this generation
    cause        TEXT CHECK (cause IN ('all', 'deadline')),
    load_id      INTEGER NOT NULL DEFAULT 0,  -- the last load that brought rows of it
    recipients   INTEGER NOT NULL DEFAULT 0 CHECK (recipients >= 0),  -- distinct state rows
    finished     INTEGER NOT NULL DEFAULT 0 CHECK (finished BETWEEN 0 AND recipients),
    sent           INTEGER NOT NULL DEFAULT 0 CHECK (sent BETWEEN 0 AND recipients),
    deferred       INTEGER NOT NULL DEFAULT 0 CHECK (deferred BETWEEN 0 AND recipients),
    dropped        INTEGER NOT NULL DEFAULT 0 CHECK (dropped BETWEEN 0 AND recipients),
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed BETWEEN 0 AND recipients),
    bounced_soft   INTEGER NOT NULL DEFAULT 0 CHECK (bounced_soft BETWEEN 0 AND recipients),
    bounced_hard   INTEGER NOT NULL DEFAULT 0 CHECK (bounced_hard BETWEEN 0 AND recipients),
    delivered      INTEGER NOT NULL DEFAULT 0 CHECK (delivered BETWEEN 0 AND recipients),
    opened         INTEGER NOT NULL DEFAULT 0 CHECK (opened BETWEEN 0 AND recipients),
    clicked        INTEGER NOT NULL DEFAULT 0 CHECK (clicked BETWEEN 0 AND recipients),
    unsubscribed   INTEGER NOT NULL DEFAULT 0 CHECK (unsubscribed BETWEEN 0 AND recipients),
    complained     INTEGER NOT NULL DEFAULT 0 CHECK (complained BETWEEN 0 AND recipients),
    machine_opened INTEGER NOT NULL DEFAULT 0 CHECK (machine_opened BETWEEN 0 AND recipients),
    opens          INTEGER NOT NULL DEFAULT 0,  -- events, not recipients
    clicks         INTEGER NOT NULL DEFAULT 0,
    machine_opens  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user, batch_id)
);
CREATE INDEX batches_by_load ON batches (load_id);
CREATE INDEX batches_by_deadline ON batches (deadline) WHERE completed_at IS NULL AND deadline IS NOT NULL;

-- Completions to be told; (batch, generation) is the id under which each is delivered, at least once.
CREATE TABLE outbox (
    batch        INTEGER NOT NULL REFERENCES batches (id),
    generation   INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    completed_at INTEGER NOT NULL,
    delivered_at INTEGER,
    PRIMARY KEY (batch, generation)
) WITHOUT ROWID;
CREATE INDEX outbox_undelivered ON outbox (batch) WHERE delivered_at IS NULL;

-- Parked events: everything that is needed to apply and log them once their recipient is known.
CREATE TABLE unmatched (
    identity     BLOB PRIMARY KEY,
    provider     TEXT NOT NULL,
    user         TEXT NOT NULL,
    partition         INTEGER NOT NULL,
    offset       INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    place        INTEGER NOT NULL,  -- among the events of its delivery
    kind         INTEGER NOT NULL,
    bounce_class INTEGER,
    machine      INTEGER NOT NULL,
    bucket       INTEGER NOT NULL,
    occurred_at  INTEGER,
    message_id   TEXT NOT NULL,
    event_key    TEXT NOT NULL,
    recipient    TEXT,
    ids_batch    TEXT,              -- the sender's own ids, if the payload carries both
    ids_recipient TEXT,
    row_key      BLOB,              -- the state row that those ids name
    join_key     BLOB NOT NULL,
    address_key  BLOB,
    raw          BLOB,
    parked_at    INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;

-- What could not be taken, with its raw bytes.
CREATE TABLE dead_letters (
    id          BLOB PRIMARY KEY,   -- hash of (provider, user, body, stage, place)
    provider    TEXT NOT NULL,
    user        TEXT NOT NULL,
    stage       TEXT NOT NULL,
    place       INTEGER NOT NULL,
    reason_code TEXT NOT NULL,
    reason      TEXT NOT NULL,
    raw         BLOB NOT NULL,
    body_sha256 BLOB NOT NULL,
    headers     BLOB NOT NULL,      -- the text of a JSON object; empty = none
    attempts    INTEGER NOT NULL DEFAULT 1,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    delivery    TEXT NOT NULL       -- partition-offset of the copy stored last, as the text logs name it
);
CREATE INDEX dead_letters_by_age ON dead_letters (last_seen);

-- Loads of recipients. At most one is open; one that died is closed by the next start or load.
CREATE TABLE loads (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    kind           TEXT NOT NULL,               -- full | increment
    started_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    died           INTEGER NOT NULL DEFAULT 0,  -- 1: closed by a later start; it sealed nothing
    contradictions INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX loads_open ON loads (id) WHERE ended_at IS NULL;

-- Rows of `batches` files, waiting for the end of their load.
CREATE TABLE load_batches (
    load_id   INTEGER NOT NULL REFERENCES loads (id),
    user      TEXT NOT NULL,
    batch_id  TEXT NOT NULL,
    total     INTEGER,
    sealed_at INTEGER,
    deadline  INTEGER,
    PRIMARY KEY (load_id, user, batch_id)
) WITHOUT ROWID;

-- How far the partitions of a job are settled.
CREATE TABLE checkpoints (
    job      TEXT NOT NULL,
    partition     TEXT NOT NULL,
    offset   INTEGER NOT NULL,
    proof    TEXT NOT NULL,
    finished INTEGER NOT NULL,
    PRIMARY KEY (job, partition)
) WITHOUT ROWID;


-- Single values: dropped_before (hour), secret (32 bytes), incarnation (16 bytes).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY
) WITHOUT ROWID;
