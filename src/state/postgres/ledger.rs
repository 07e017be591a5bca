//! The ledger: which identities were stored before.

use std::collections::HashSet;

use tokio_postgres::{Client, Statement};

use super::super::kernel::{LedgerKey, LedgerKeys, LedgerVerdict};
use super::connect::StoreConnection;
use super::values::{Key, Timestamptz};
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::{Bucket, Identity};

/// Stores what is new of sorted, distinct keys; answers the hour below which keys were dropped, and which keys were new.
pub(super) const JUDGE: &str = "WITH floor AS (SELECT dropped_before AS hour FROM meta),
    fresh AS (
        INSERT INTO ledger (bucket, identity, stored)
        SELECT a.bucket, a.identity, CASE WHEN a.bucket = 0 THEN $3::timestamptz END
        FROM unnest($1::integer[], $2::uuid[]) AS a (bucket, identity)
        WHERE a.bucket = 0 OR a.bucket >= (SELECT hour FROM floor)
        ON CONFLICT DO NOTHING
        RETURNING bucket, identity
    )
    SELECT (SELECT hour FROM floor), array_agg(bucket), array_agg(identity) FROM fresh";

/// Inserts the keys of a write; the verdict on each of its events.
pub(super) async fn judge(
    client: &Client,
    statement: &Statement,
    keys: &LedgerKeys,
) -> Result<Vec<LedgerVerdict>, SinkError> {
    let distinct = keys.distinct();
    if distinct.is_empty() {
        return Ok(keys.verdicts(Bucket::NONE, &[]));
    }
    let (buckets, identities) = columns(&distinct);
    let now = Timestamptz(Millis::now());
    let row = client
        .query_one(statement, &[&buckets, &identities, &now])
        .await?;
    let dropped_before = Bucket(row.try_get::<_, i32>(0)?.unsigned_abs());
    let buckets: Option<Vec<i32>> = row.try_get(1)?;
    let identities: Option<Vec<Key>> = row.try_get(2)?;
    let pairs = buckets.unwrap_or_default().into_iter();
    let mut inserted: Vec<LedgerKey> = pairs
        .zip(identities.unwrap_or_default())
        .map(|(bucket, key)| (Bucket(bucket.unsigned_abs()), Identity(key.0)))
        .collect();
    inserted.sort_unstable();
    Ok(keys.verdicts(dropped_before, &inserted))
}

fn columns(keys: &[LedgerKey]) -> (Vec<i32>, Vec<Key>) {
    keys.iter()
        .map(|(bucket, identity)| (hour(*bucket), Key(identity.0)))
        .unzip()
}

/// A bucket as the ledger stores it.
pub(super) fn hour(bucket: Bucket) -> i32 {
    i32::try_from(bucket.0).unwrap_or(i32::MAX)
}

/// The keys that the ledger or the parked table hold.
const KNOWN: &str = "SELECT a.bucket, a.identity
    FROM unnest($1::integer[], $2::uuid[]) AS a (bucket, identity)
    WHERE (SELECT true FROM ledger AS l WHERE l.bucket = a.bucket AND l.identity = a.identity)
    OR (SELECT true FROM unmatched AS u WHERE u.identity = a.identity)";

/// For each event, whether the ledger or the parked table hold it.
pub(super) async fn known(
    connection: &StoreConnection,
    events: &[LedgerKey],
) -> Result<Vec<bool>, SinkError> {
    let (buckets, identities) = columns(events);
    let statement = connection.statement(KNOWN).await?;
    let rows = connection
        .client
        .query(&statement, &[&buckets, &identities])
        .await?;
    let mut held: HashSet<(i32, Key)> = HashSet::with_capacity(rows.len());
    for row in rows {
        held.insert((row.try_get(0)?, row.try_get(1)?));
    }
    let asked = events.iter().map(|(b, i)| (hour(*b), Key(i.0)));
    Ok(asked.map(|key| held.contains(&key)).collect())
}
