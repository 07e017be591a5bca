//! The ledger: which identities were stored before.

use std::collections::HashSet;

use super::super::hits::Verdict;
use super::super::{Effect, StateEvent};
use super::connect::Connection;
use super::values::{Key, Stamp};
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::{Bucket, Identity};

/// Stores what is new of sorted, distinct keys; answers the hour below which keys were dropped, and which keys were new.
const JUDGE: &str = "WITH floor AS (SELECT dropped_before AS hour FROM meta),
    fresh AS (
        INSERT INTO ledger (bucket, identity, stored)
        SELECT a.bucket, a.identity, CASE WHEN a.bucket = 0 THEN $3::timestamptz END
        FROM unnest($1::integer[], $2::uuid[]) AS a (bucket, identity)
        WHERE a.bucket = 0 OR a.bucket >= (SELECT hour FROM floor)
        ON CONFLICT DO NOTHING
        RETURNING bucket, identity
    )
    SELECT (SELECT hour FROM floor), array_agg(bucket), array_agg(identity) FROM fresh";

type LedgerKey = (Bucket, Identity);

/// Stores the identities of all events but those to be parked, in the order of the key.
pub(super) async fn judge(
    connection: &Connection,
    events: &[StateEvent],
) -> Result<Vec<Verdict>, SinkError> {
    let mut verdicts = vec![Verdict::Parking; events.len()];
    let keys = in_key_order(events);
    if keys.is_empty() {
        return Ok(verdicts);
    }
    let mut distinct: Vec<LedgerKey> = keys.iter().map(|(key, _)| *key).collect();
    distinct.dedup();
    let (floor, fresh) = store(connection, &distinct).await?;
    let all_new = fresh.len() == distinct.len();
    let mut before = None;
    for (key, index) in keys {
        let late = key.0 != Bucket::NONE && key.0 < floor;
        let first = before.replace(key) != Some(key);
        let verdict = match () {
            () if late => Verdict::Late,
            () if first && (all_new || fresh.binary_search(&key).is_ok()) => Verdict::New,
            () => Verdict::Known,
        };
        if let Some(slot) = verdicts.get_mut(index as usize) {
            *slot = verdict;
        }
    }
    Ok(verdicts)
}

fn in_key_order(events: &[StateEvent]) -> Vec<(LedgerKey, u32)> {
    let mut keys: Vec<_> = (0u32..)
        .zip(events)
        .filter(|(_, event)| !matches!(event.effect, Effect::Park(_)))
        .map(|(index, event)| ((event.bucket, event.identity), index))
        .collect();
    keys.sort_unstable();
    keys
}

/// The floor, and which of the keys were new, sorted.
async fn store(
    connection: &Connection,
    keys: &[LedgerKey],
) -> Result<(Bucket, Vec<LedgerKey>), SinkError> {
    let (buckets, identities) = columns(keys);
    let statement = connection.statement(JUDGE).await?;
    let now = Stamp(Millis::now());
    let row = connection
        .client
        .query_one(&statement, &[&buckets, &identities, &now])
        .await?;
    let floor = Bucket(row.try_get::<_, i32>(0)?.unsigned_abs());
    let buckets: Option<Vec<i32>> = row.try_get(1)?;
    let identities: Option<Vec<Key>> = row.try_get(2)?;
    let buckets = buckets.unwrap_or_default();
    let fresh = buckets.into_iter().zip(identities.unwrap_or_default());
    let mut fresh: Vec<LedgerKey> = fresh
        .map(|(bucket, key)| (Bucket(bucket.unsigned_abs()), Identity(key.0)))
        .collect();
    fresh.sort_unstable();
    Ok((floor, fresh))
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
    connection: &Connection,
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
