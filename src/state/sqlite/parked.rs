//! Parked events: what waits durably for its recipient, and the late matches.
//!
//! Parked events are not in the ledger. Whoever applies an event deletes its parked copy in the same transaction,
//! so no event is ever in both.

use std::sync::Arc;

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::kernel::{LedgerVerdict, ParkRequest, Parking};
use super::super::{LateMatch, LatePage, Outcome, RowId, StateEvent};
use super::{begin, commit, ledger, load, millis};
use crate::error::{Class, SinkError};
use crate::event::{
    BounceClass, Delivery, Event, Kind, Millis, Origin, PayloadIds, Provider, User,
};
use crate::failpoint::Failpoint;
use crate::key::{AddressKey, Bucket, Identity, JoinKey, RowKey, Shard};

/// Deletes parked copies of what is applied, then parks what is new to ledger and parked table alike.
pub(super) fn settle(
    conn: &Connection,
    events: &[StateEvent],
    verdicts: &[LedgerVerdict],
    outcomes: &mut [Outcome],
) -> Result<(), SinkError> {
    let parking = Parking::of(events, verdicts);
    if size_is_not_zero(conn)? {
        let applied = parking.touched.iter().filter(|(_, applied)| *applied);
        delete(conn, applied.map(|(identity, _)| *identity))?;
    }
    let now = Millis::now();
    for request in &parking.requests {
        let event = request.event;
        if !ledger::holds(conn, event.bucket, event.identity)? && park(conn, request, now)? {
            outcomes[request.index] = Outcome::Unmatched;
        }
    }
    Ok(())
}

fn size_is_not_zero(conn: &Connection) -> Result<bool, SinkError> {
    let mut any = conn.prepare_cached("SELECT 1 FROM unmatched LIMIT 1")?;
    Ok(any.exists(())?)
}

fn delete(
    conn: &Connection,
    identities: impl IntoIterator<Item = Identity>,
) -> Result<(), SinkError> {
    let mut delete = conn.prepare_cached("DELETE FROM unmatched WHERE identity = ?1")?;
    for identity in identities {
        delete.execute([identity.to_bytes()])?;
    }
    Ok(())
}

/// Parks one event; a second copy only raises the attempts and answers `false`.
fn park(conn: &Connection, request: &ParkRequest<'_>, now: Millis) -> Result<bool, SinkError> {
    let (event, copies) = (request.event, super::int(request.copies));
    let mut again =
        conn.prepare_cached("UPDATE unmatched SET attempts = attempts + ?2 WHERE identity = ?1")?;
    if again.execute((event.identity.to_bytes(), copies))? == 1 {
        return Ok(false);
    }
    let delivery = &event.delivery;
    let row = event
        .ids
        .as_ref()
        .map(|ids| RowKey::of(&delivery.user, &ids.batch_id, &ids.recipient_id).to_bytes());
    let mut insert = conn.prepare_cached(
        "INSERT INTO unmatched (identity, provider, user, partition, offset, received_at, place, kind, bounce_class,
         machine, bucket, occurred_at, message_id, event_key, recipient, ids_batch, ids_recipient, row_key,
         join_key, address_key, raw, parked_at, attempts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
    )?;
    insert.execute(params![
        event.identity.to_bytes(),
        delivery.provider.as_str(),
        delivery.user.as_str(),
        delivery.origin.partition,
        delivery.origin.offset.cast_signed(),
        delivery.received_at.0,
        event.index,
        event.kind as u8,
        event.bounce_class.map(|class| class as u8),
        event.machine,
        event.bucket.0,
        event.occurred_at.map(|at| at.0),
        event.message_id.as_str(),
        event.event_key.as_str(),
        event.recipient.as_deref(),
        event.ids.as_ref().map(|ids| ids.batch_id.as_str()),
        event.ids.as_ref().map(|ids| ids.recipient_id.as_str()),
        row,
        event.join.to_bytes(),
        event.address.map(AddressKey::to_bytes),
        event.raw.as_deref(),
        now.0,
        copies,
    ])?;
    Ok(true)
}

/// Deletes parked events.
pub(super) fn unpark(conn: &Connection, identities: &[Identity]) -> Result<(), SinkError> {
    let mut sorted = identities.to_vec();
    sorted.sort_unstable();
    let tx = begin(conn)?;
    delete(&tx, sorted)?;
    commit(Failpoint::StoreDeadLetters, tx)
}

/// How many events are parked.
pub(super) fn size(conn: &Connection) -> Result<u64, SinkError> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM unmatched")?;
    Ok(count.query_row((), |row| super::count(row, 0))?)
}

/// Deletes parked rows that the ledger holds: duplicates that an older program or a hand left behind.
pub(super) fn drop_known(conn: &Connection) -> Result<(), SinkError> {
    if !size_is_not_zero(conn)? {
        return Ok(());
    }
    let tx = begin(conn)?;
    tx.execute(
        "DELETE FROM unmatched WHERE EXISTS (SELECT 1 FROM ledger
         WHERE ledger.bucket = unmatched.bucket AND ledger.identity = unmatched.identity)",
        (),
    )?;
    commit(Failpoint::StoreOpen, tx)
}

/// Walks the parked table and asks indexes only: the state row that the payload's ids name; else the mapping of (message,
/// address); else, for an event that names no address, the mapping of its message if that has exactly one. Rows and
/// mappings of the open load (`?2`) do not count yet.
const LATE: &str = "SELECT u.*, r.id, r.batch_id, r.recipient_id
    FROM unmatched AS u
    JOIN recipients AS r ON r.id = ifnull(
        (SELECT named.id FROM recipients AS named WHERE named.row_key = u.row_key AND named.load_id <> ?2),
        CASE WHEN u.address_key IS NOT NULL
        THEN (SELECT m.row_id FROM messages AS m
              WHERE m.join_key = u.join_key AND m.address_key = u.address_key AND m.load_id <> ?2)
        ELSE (SELECT CASE WHEN count(*) = 1 AND max(few.load_id) <> ?2 THEN max(few.row_id) END
              FROM (SELECT m.row_id, m.load_id FROM messages AS m WHERE m.join_key = u.join_key LIMIT 2) AS few)
        END)
    WHERE u.identity > ?1 AND u.identity <= ?3
    ORDER BY u.identity";

/// The last of so many parked events, where there are as many.
const LAST: &str =
    "SELECT identity FROM unmatched WHERE identity > ?1 ORDER BY identity LIMIT 1 OFFSET ?2";

/// Of the first `limit` parked events behind `after`, those whose state row is known now.
pub(super) fn late_matches(
    conn: &Connection,
    after: Identity,
    limit: usize,
) -> Result<LatePage, SinkError> {
    let offset = super::int((limit as u64).saturating_sub(1));
    let mut last = conn.prepare_cached(LAST)?;
    let next: Option<[u8; 16]> = last
        .query_row((after.to_bytes(), offset), |row| row.get(0))
        .optional()?;
    let open = load::open_load(conn)?;
    let mut read = conn.prepare_cached(LATE)?;
    let mut rows = read.query((after.to_bytes(), open, next.unwrap_or([u8::MAX; 16])))?;
    let mut matches = Vec::new();
    while let Some(row) = rows.next()? {
        matches.push(late_match(row)?);
    }
    Ok(LatePage {
        matches,
        next: next.map(Identity::from_bytes),
    })
}

/// The columns of `unmatched`, before those of the row it matches.
const PARKED_COLUMNS: usize = 23;

fn late_match(row: &Row<'_>) -> Result<LateMatch, SinkError> {
    Ok(LateMatch {
        event: event(row)?,
        row_id: RowId(row.get(PARKED_COLUMNS)?),
        batch_id: text(row, PARKED_COLUMNS + 1)?,
        recipient_id: text(row, PARKED_COLUMNS + 2)?,
    })
}

fn text(row: &Row<'_>, column: usize) -> Result<CompactString, SinkError> {
    Ok(CompactString::new(
        row.get_ref(column)?
            .as_str()
            .map_err(rusqlite::Error::from)?,
    ))
}

/// Rebuilds the event, with a delivery that has no body.
fn event(row: &Row<'_>) -> Result<Event, SinkError> {
    let delivery = delivery(row)?;
    let name = |at: usize| {
        row.get::<_, Option<String>>(at)
            .map(|name| name.map(CompactString::from))
    };
    let ids = match (name(15)?, name(16)?) {
        (Some(batch_id), Some(recipient_id)) => Some(PayloadIds {
            batch_id,
            recipient_id,
        }),
        _ => None,
    };
    Ok(Event {
        identity: Identity::from_bytes(row.get(0)?),
        shard: Shard::of(&delivery.provider, &delivery.user),
        delivery: Arc::new(delivery),
        index: row.get(6)?,
        kind: kind(row.get(7)?)?,
        bounce_class: row
            .get::<_, Option<usize>>(8)?
            .and_then(|class| BounceClass::ALL.get(class).copied()),
        machine: row.get(9)?,
        bucket: Bucket(row.get(10)?),
        occurred_at: millis(row, 11)?,
        message_id: text(row, 12)?,
        event_key: text(row, 13)?,
        recipient: name(14)?,
        ids: ids.map(std::sync::Arc::new),
        join: JoinKey::from_bytes(row.get(18)?),
        address: row
            .get::<_, Option<[u8; 16]>>(19)?
            .map(AddressKey::from_bytes),
        raw: row.get::<_, Option<Vec<u8>>>(20)?.map(bytes::Bytes::from),
    })
}

fn delivery(row: &Row<'_>) -> Result<Delivery, SinkError> {
    Ok(Delivery {
        provider: Provider::new(text(row, 1)?),
        user: User::new(text(row, 2)?),
        origin: Origin {
            partition: row.get(3)?,
            offset: row.get::<_, i64>(4)?.cast_unsigned(),
        },
        received_at: Millis(row.get(5)?),
        ..Delivery::default()
    })
}

/// The kind of that number.
pub(super) fn kind(number: usize) -> Result<Kind, SinkError> {
    let unknown = || SinkError::new("sqlite", Class::Bug, "a parked event has an unknown kind");
    Kind::ALL.get(number).copied().ok_or_else(unknown)
}
