-- hookflow's event log in ClickHouse, schema version 1 (kept in the table's comment).
--
-- Readers take, of each identity, the row of the highest precedence: FINAL does that, and so does the view events_exact.
-- The sorting key and the partition hold only fields that no copy of an event can differ in, so FINAL sees all copies.
CREATE TABLE IF NOT EXISTS {table}
(
    identity     FixedString(16)                COMMENT 'hash of (provider, user, kind, event key): lower(hex(identity)) as elsewhere' CODEC(NONE),
    bucket       UInt32                         COMMENT 'hour of the event''s fixed time since 1970; 0 = it has none',
    version      UInt8                          COMMENT '0 while its recipient was unknown, then 1',
    precedence   UInt64                         COMMENT 'version first, then the earliest receipt: what decides between copies' CODEC(Delta, ZSTD(1)),
    provider     LowCardinality(String),
    user         LowCardinality(String)         COMMENT 'the tenant',
    kind         LowCardinality(String),
    bounce_class LowCardinality(Nullable(String)),
    machine      Bool                           COMMENT 'a machine opened it, as the provider says',
    message_id   String                         CODEC(ZSTD(1)),
    event_key    String                         CODEC(ZSTD(1)),
    recipient    Nullable(String)               COMMENT 'the address, if the event says whose' CODEC(ZSTD(1)),
    occurred_at  Nullable(DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    received_at  DateTime64(3, 'UTC')           CODEC(Delta, ZSTD(1)),
    batch_id     String                         COMMENT 'empty if unknown or none' CODEC(ZSTD(1)),
    recipient_id String                         COMMENT 'empty if unknown' CODEC(ZSTD(1)),
    raw          Nullable(String)               COMMENT 'the event''s slice of the body, where it is kept' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY if(bucket = 0, 0, toYYYYMM(toDateTime(bucket * 3600, 'UTC')))
ORDER BY (user, bucket, provider, kind, identity)
{ttl}
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'hookflow event log, schema 1'
