-- hookflow's state store in Postgres, schema version 1. Everything lives in one schema (setting `postgres.schema`).
-- Times are timestamptz with millisecond precision. Keys are 16-byte hashes in the type uuid (they are not RFC 4122 uuids).
-- Every transaction locks in the order ledger, unmatched, recipients, batches, outbox, each sorted by key.
-- There are no foreign keys: one path of the program writes each row, and a key check would lock and rewrite rows.

-- The one row of facts about this store.
CREATE TABLE meta (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version integer NOT NULL,
    dropped_before integer NOT NULL DEFAULT 0,  -- hour since 1970: ledger keys below it may be gone, events below it raise no totals
    secret         bytea   NOT NULL,            -- under which marks in a shared cache are made
    incarnation    uuid    NOT NULL,            -- voids the marks made for other stores
    migrated_at    timestamptz NOT NULL DEFAULT now()
);

-- The judge of duplicates: an event counts if it was not in here before. One partition a day (made ahead by the job and
-- by `hookflow migrate`), one for events without a fixed time, one for all other hours (history, far future).
CREATE TABLE ledger (
    bucket   integer NOT NULL,  -- the hour since 1970 of the event's fixed time; 0 = it has none
    identity uuid    NOT NULL,  -- hash of (provider, user, kind, event key)
    stored   timestamptz,       -- bucket 0 only: when this row was written, for `prune --no-time-before`
    PRIMARY KEY (bucket, identity)
) PARTITION BY RANGE (bucket);
CREATE TABLE ledger_untimed PARTITION OF ledger FOR VALUES FROM (0) TO (1);
CREATE TABLE ledger_rest PARTITION OF ledger DEFAULT;

-- State rows: one per (user, batch, recipient), made by loads only, never by events. No index holds a column that
-- events change, and a third of each page is kept free, so that updates stay within their page (HOT): the rows of a campaign lie
-- together and change together (97 of 100 updates of such a load stayed, with a fifth free 84).
CREATE TABLE recipients (
    id      bigint   GENERATED ALWAYS AS IDENTITY,
    load_id bigint   NOT NULL,            -- the load that made it
    flags   smallint NOT NULL DEFAULT 0,  -- bit set, see the names of the columns below, lowest bit first
    status  smallint NOT NULL DEFAULT 0,  -- rank of the highest flag: 0 pending, 1 sent, 2 deferred, 3 dropped, 4 failed,
                                          -- 5 bounced_soft, 6 delivered, 7 opened, 8 clicked, 9 bounced_hard,
                                          -- 10 unsubscribed, 11 complained
    batch   bigint,                       -- batches.id; NULL = transactional mail, no counters
    row_key uuid     NOT NULL,            -- hash of (user, batch_id, recipient_id)
    first_sent timestamptz,           last_sent timestamptz,
    first_deferred timestamptz,       last_deferred timestamptz,
    first_dropped timestamptz,        last_dropped timestamptz,
    first_failed timestamptz,         last_failed timestamptz,
    first_bounced_soft timestamptz,   last_bounced_soft timestamptz,
    first_bounced_hard timestamptz,   last_bounced_hard timestamptz,
    first_delivered timestamptz,      last_delivered timestamptz,
    first_opened timestamptz,         last_opened timestamptz,
    first_clicked timestamptz,        last_clicked timestamptz,
    first_unsubscribed timestamptz,   last_unsubscribed timestamptz,
    first_complained timestamptz,     last_complained timestamptz,
    first_machine_opened timestamptz, last_machine_opened timestamptz,
    "user"       text NOT NULL,
    batch_id     text NOT NULL,           -- '' = transactional mail
    recipient_id text NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (row_key)
) WITH (fillfactor = 65);

-- Which message to which address belongs to which state row. The first accepted stands.
CREATE TABLE messages (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    load_id     bigint NOT NULL,  -- the load that brought it; not joined with before that load has ended
    row_id      bigint NOT NULL,  -- recipients.id
    sent_at     timestamptz,
    join_key    uuid   NOT NULL,  -- hash of (user, provider, join id)
    address_key uuid   NOT NULL,  -- hash of the lower-cased address
    provider    text   NOT NULL,
    message_id  text   NOT NULL,  -- as the snapshot gives it
    recipient   text   NOT NULL,  -- the address, lower-cased
    UNIQUE (join_key, address_key)
);
CREATE INDEX messages_by_load ON messages (load_id, id);
CREATE INDEX messages_by_row ON messages (row_id);

-- Counters grow by transitions of state rows only. The checks are alarms: no path of the program can reach them.
CREATE TABLE batches (
    id           bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipients   bigint  NOT NULL DEFAULT 0 CHECK (recipients >= 0),  -- distinct state rows
    finished     bigint  NOT NULL DEFAULT 0 CHECK (finished BETWEEN 0 AND recipients),
    sent           bigint NOT NULL DEFAULT 0 CHECK (sent BETWEEN 0 AND recipients),
    deferred       bigint NOT NULL DEFAULT 0 CHECK (deferred BETWEEN 0 AND recipients),
    dropped        bigint NOT NULL DEFAULT 0 CHECK (dropped BETWEEN 0 AND recipients),
    failed         bigint NOT NULL DEFAULT 0 CHECK (failed BETWEEN 0 AND recipients),
    bounced_soft   bigint NOT NULL DEFAULT 0 CHECK (bounced_soft BETWEEN 0 AND recipients),
    bounced_hard   bigint NOT NULL DEFAULT 0 CHECK (bounced_hard BETWEEN 0 AND recipients),
    delivered      bigint NOT NULL DEFAULT 0 CHECK (delivered BETWEEN 0 AND recipients),
    opened         bigint NOT NULL DEFAULT 0 CHECK (opened BETWEEN 0 AND recipients),
    clicked        bigint NOT NULL DEFAULT 0 CHECK (clicked BETWEEN 0 AND recipients),
    unsubscribed   bigint NOT NULL DEFAULT 0 CHECK (unsubscribed BETWEEN 0 AND recipients),
    complained     bigint NOT NULL DEFAULT 0 CHECK (complained BETWEEN 0 AND recipients),
    machine_opened bigint NOT NULL DEFAULT 0 CHECK (machine_opened BETWEEN 0 AND recipients),
    opens          bigint NOT NULL DEFAULT 0 CHECK (opens >= 0),  -- events, not recipients
    clicks         bigint NOT NULL DEFAULT 0 CHECK (clicks >= 0),
    machine_opens  bigint NOT NULL DEFAULT 0 CHECK (machine_opens >= 0),
    generation   bigint  NOT NULL DEFAULT 0,      -- grows when it is sealed and when a sealed total changes
    given        boolean NOT NULL DEFAULT false,  -- a row of a `batches` file or table decides its total and seal
    total        bigint,
    sealed_at    timestamptz,                     -- NULL: the total may still grow
    deadline     timestamptz,
    completed_at timestamptz,                     -- of this generation
    cause        text CHECK (cause IN ('all', 'deadline')),
    "user"       text NOT NULL,
    batch_id     text NOT NULL,
    UNIQUE ("user", batch_id)
) WITH (fillfactor = 50);
CREATE INDEX batches_by_deadline ON batches (deadline) WHERE completed_at IS NULL AND deadline IS NOT NULL;

-- Completions to be told; (batch, generation) is the id under which each is delivered, at least once.
CREATE TABLE outbox (
    batch        bigint NOT NULL,  -- batches.id
    generation   bigint NOT NULL,
    cause        text   NOT NULL,
    completed_at timestamptz NOT NULL,
    delivered_at timestamptz,
    PRIMARY KEY (batch, generation)
);
CREATE INDEX outbox_undelivered ON outbox (batch) WHERE delivered_at IS NULL;

-- Parked events: everything that is needed to apply and log them once their recipient is known.
CREATE TABLE unmatched (
    identity      uuid PRIMARY KEY,
    partition          bigint   NOT NULL,
    "offset"      bigint   NOT NULL,
    received_at   timestamptz NOT NULL,
    parked_at     timestamptz NOT NULL,
    occurred_at   timestamptz,
    attempts      bigint   NOT NULL DEFAULT 1,
    place         bigint   NOT NULL,  -- among the events of its delivery
    bucket        integer  NOT NULL,
    kind          smallint NOT NULL,
    bounce_class  smallint,
    machine       boolean  NOT NULL,
    join_key      uuid     NOT NULL,
    address_key   uuid,
    row_key       uuid,               -- the state row that the sender's own ids name
    provider      text     NOT NULL,
    "user"        text     NOT NULL,
    message_id    text     NOT NULL,
    event_key     text     NOT NULL,
    recipient     text,
    ids_batch     text,               -- the sender's own ids, if the payload carries both
    ids_recipient text,
    raw           bytea
);

-- What could not be taken, with its raw bytes.
CREATE TABLE dead_letters (
    id          uuid   PRIMARY KEY,   -- hash of (provider, user, body, stage, place)
    provider    text   NOT NULL,
    "user"      text   NOT NULL,
    stage       text   NOT NULL,
    place       bigint NOT NULL,
    reason_code text   NOT NULL,
    reason      text   NOT NULL,
    raw         bytea  NOT NULL,
    body_sha256 bytea  NOT NULL,
    headers     bytea  NOT NULL,      -- the text of a JSON object; empty = none
    attempts    bigint NOT NULL DEFAULT 1,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    delivery    text   NOT NULL       -- partition-offset of the copy stored last, as the text logs name it
);
CREATE INDEX dead_letters_by_age ON dead_letters (last_seen);

-- Loads of recipients. An open one is held by a session's advisory lock; one that lost it has died, and is closed by the
-- next start or load. Loads that brought nothing leave no row.
CREATE TABLE loads (
    id             bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text    NOT NULL CHECK (kind IN ('full', 'increment')),
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    died           boolean NOT NULL DEFAULT false,  -- closed by someone else; it sealed nothing
    accepted       bigint  NOT NULL DEFAULT 0,      -- messages that it brought
    contradictions bigint  NOT NULL DEFAULT 0,
    finish         bigint UNIQUE                    -- the order in which loads ended: numbered under a lock, so no later
                                                    -- commit slips in below a number that somebody has read past
);
CREATE INDEX loads_open ON loads (id) WHERE ended_at IS NULL;

-- The batches of which an open load brought rows: what its end looks at.
CREATE TABLE load_touched (
    load_id bigint NOT NULL,
    batch   bigint NOT NULL,
    PRIMARY KEY (load_id, batch)
);

-- Rows of `batches` files or tables, waiting for the end of their load.
CREATE TABLE load_batches (
    load_id   bigint NOT NULL,
    "user"    text   NOT NULL,
    batch_id  text   NOT NULL,
    total     bigint,
    sealed_at timestamptz,
    deadline  timestamptz,
    PRIMARY KEY (load_id, "user", batch_id)
);

-- How far the partitions of a job are settled.
CREATE TABLE checkpoints (
    job      text    NOT NULL,
    partition     text    NOT NULL,
    "offset" bigint  NOT NULL,
    proof    text    NOT NULL,
    finished boolean NOT NULL,
    PRIMARY KEY (job, partition)
) WITH (fillfactor = 50);

