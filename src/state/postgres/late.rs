//! Late matches: parked events whose recipient is known now, read back as events.

use std::sync::Arc;

use compact_str::CompactString;
use tokio_postgres::Row;

use super::super::{LateMatch, LatePage, RowId};
use super::class::bug;
use super::connect::StoreConnection;
use super::load;
use super::values::{Key, int, moment, moment_if};
use crate::error::SinkError;
use crate::event::{BounceClass, Delivery, Event, Kind, Origin, PayloadIds, Provider, User};
use crate::key::{AddressKey, Bucket, Identity, JoinKey, Shard};

/// Walks the parked table and asks indexes only: the state row that the payload's ids name; else the mapping of (message,
/// address); else, for an event that names no address, the mapping of its message if that has exactly one. Rows and
/// mappings of open loads (`$2`) do not count yet.
const LATE: &str = r#"SELECT u.identity, u.partition, u."offset", u.received_at, u.occurred_at, u.place, u.bucket, u.kind,
        u.bounce_class, u.machine, u.join_key, u.address_key, u.provider, u."user", u.message_id, u.event_key,
        u.recipient, u.ids_batch, u.ids_recipient, u.raw, r.id, r.batch_id, r.recipient_id
    FROM unmatched AS u
    CROSS JOIN LATERAL (SELECT id, batch_id, recipient_id FROM recipients WHERE id = coalesce(
        (SELECT named.id FROM recipients AS named
         WHERE named.row_key = u.row_key AND named.load_id <> ALL ($2::bigint[])),
        CASE WHEN u.address_key IS NOT NULL
        THEN (SELECT m.row_id FROM messages AS m
              WHERE m.join_key = u.join_key AND m.address_key = u.address_key AND m.load_id <> ALL ($2::bigint[]))
        ELSE (SELECT CASE WHEN count(*) = 1 AND max(few.load_id) <> ALL ($2::bigint[]) THEN max(few.row_id) END
              FROM (SELECT m.row_id, m.load_id FROM messages AS m WHERE m.join_key = u.join_key LIMIT 2) AS few)
        END) OFFSET 0) AS r
    WHERE u.identity > $1 AND u.identity <= $3
    ORDER BY u.identity"#;

/// The last of so many parked events, where there are as many.
const LAST: &str =
    "SELECT identity FROM unmatched WHERE identity > $1 ORDER BY identity LIMIT 1 OFFSET $2";

/// Of the first `limit` parked events behind `after`, those whose state row is known now.
pub(super) async fn late_matches(
    connection: &StoreConnection,
    after: Identity,
    limit: usize,
) -> Result<LatePage, SinkError> {
    // One moment for all of it, so that no load begins between looking for open ones and reading.
    connection.begin_reading().await?;
    let page = read_page(connection, after, limit).await?;
    connection.roll_back().await?;
    Ok(page)
}

async fn read_page(
    connection: &StoreConnection,
    after: Identity,
    limit: usize,
) -> Result<LatePage, SinkError> {
    let last = connection.statement(LAST).await?;
    let (from, offset) = (Key(after.0), int((limit as u64).saturating_sub(1)));
    let last = connection
        .client
        .query_opt(&last, &[&from, &offset])
        .await?;
    let next = last.map(|row| row.try_get::<_, Key>(0)).transpose()?;
    let open = load::open_loads(connection).await?;
    let statement = connection.statement(LATE).await?;
    let upto = Key(next.as_ref().map_or(u128::MAX, |key| key.0));
    let rows = connection
        .client
        .query(&statement, &[&from, &open, &upto])
        .await?;
    Ok(LatePage {
        matches: rows.iter().map(late_match).collect::<Result<_, _>>()?,
        next: next.map(|key| Identity(key.0)),
    })
}

fn late_match(row: &Row) -> Result<LateMatch, SinkError> {
    Ok(LateMatch {
        event: event(row)?,
        row_id: RowId(row.try_get(20)?),
        batch_id: text(row, 21)?,
        recipient_id: text(row, 22)?,
    })
}

fn text(row: &Row, column: usize) -> Result<CompactString, SinkError> {
    Ok(CompactString::new(row.try_get::<_, &str>(column)?))
}

/// Rebuilds the event, with a delivery that has no body.
fn event(row: &Row) -> Result<Event, SinkError> {
    let delivery = delivery(row)?;
    let name = |column: usize| -> Result<Option<CompactString>, SinkError> {
        Ok(row
            .try_get::<_, Option<&str>>(column)?
            .map(CompactString::new))
    };
    let ids = match (name(17)?, name(18)?) {
        (Some(batch_id), Some(recipient_id)) => Some(PayloadIds {
            batch_id,
            recipient_id,
        }),
        _ => None,
    };
    let class: Option<i16> = row.try_get(8)?;
    let class = class.and_then(|class| usize::try_from(class).ok());
    let address: Option<Key> = row.try_get(11)?;
    Ok(Event {
        identity: Identity(row.try_get::<_, Key>(0)?.0),
        shard: Shard::of(&delivery.provider, &delivery.user),
        delivery: Arc::new(delivery),
        index: number(row, 5)?,
        kind: kind(row.try_get(7)?)?,
        bounce_class: class.and_then(|class| BounceClass::ALL.get(class).copied()),
        machine: row.try_get(9)?,
        bucket: Bucket(row.try_get::<_, i32>(6)?.unsigned_abs()),
        occurred_at: moment_if(row, 4)?,
        message_id: text(row, 14)?,
        event_key: text(row, 15)?,
        recipient: name(16)?,
        ids: ids.map(std::sync::Arc::new),
        join: JoinKey(row.try_get::<_, Key>(10)?.0),
        address: address.map(|key| AddressKey(key.0)),
        raw: row
            .try_get::<_, Option<Vec<u8>>>(19)?
            .map(bytes::Bytes::from),
    })
}

fn delivery(row: &Row) -> Result<Delivery, SinkError> {
    Ok(Delivery {
        provider: Provider::new(text(row, 12)?),
        user: User::new(text(row, 13)?),
        origin: Origin {
            partition: number(row, 1)?,
            offset: row.try_get::<_, i64>(2)?.cast_unsigned(),
        },
        received_at: moment(row, 3)?,
        ..Delivery::default()
    })
}

fn number(row: &Row, column: usize) -> Result<u32, SinkError> {
    Ok(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or(u32::MAX))
}

/// The kind of that number.
pub(super) fn kind(stored: i16) -> Result<Kind, SinkError> {
    let found = usize::try_from(stored).ok().and_then(|n| Kind::ALL.get(n));
    found
        .copied()
        .ok_or_else(|| bug("a parked event has an unknown kind"))
}
