//! Parked events: what waits durably for its recipient. Their late matches are in `late`.
//!
//! Parked events are not in the ledger. Whoever applies an event deletes its parked copy in the same transaction; a copy
//! that another member parks in that moment is known to the ledger, and deleted when it is read next.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::super::Outcome;
use super::super::kernel::{ParkRequest, Parking};
use super::connect::StoreConnection;
use super::ledger::hour;
use super::values::{Key, Timestamptz, count, int};
use crate::error::SinkError;
use crate::event::{Event, Millis};
use crate::failpoint::Failpoint;
use crate::key::{Identity, RowKey};

/// Locks the parked rows of a batch in the order in which it names them, each found by its key, and deletes those whose event is
/// being applied.
pub(super) const DELETE: &str = "WITH locked AS MATERIALIZED (
        SELECT u.identity, a.gone FROM unnest($1::uuid[], $2::boolean[]) AS a (identity, gone)
        CROSS JOIN LATERAL (SELECT identity FROM unmatched WHERE unmatched.identity = a.identity FOR UPDATE) AS u
        WHERE EXISTS (SELECT FROM unmatched)
    )
    DELETE FROM unmatched AS u WHERE u.identity = ANY (ARRAY(SELECT identity FROM locked WHERE gone))";

/// Parks what the ledger does not hold; of what is parked already only the attempts grow. Answers the attempts of each.
pub(super) const PARK: &str = r#"INSERT INTO unmatched AS u (identity, partition, "offset", received_at, parked_at, occurred_at, attempts,
        place, bucket, kind, bounce_class, machine, join_key, address_key, row_key, provider, "user", message_id,
        event_key, recipient, ids_batch, ids_recipient, raw)
    SELECT a.identity, a.partition, a."offset", a.received_at, $1, a.occurred_at, a.attempts, a.place, a.bucket, a.kind,
        a.bounce_class, a.machine, a.join_key, a.address_key, a.row_key, a.provider, a."user", a.message_id,
        a.event_key, a.recipient, a.ids_batch, a.ids_recipient, a.raw
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
        $8::bigint[], $9::integer[], $10::smallint[], $11::smallint[], $12::boolean[], $13::uuid[], $14::uuid[],
        $15::uuid[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
        $23::bytea[])
        AS a (identity, partition, "offset", received_at, occurred_at, attempts, place, bucket, kind, bounce_class, machine,
        join_key, address_key, row_key, provider, "user", message_id, event_key, recipient, ids_batch,
        ids_recipient, raw)
    WHERE (SELECT true FROM ledger AS l WHERE l.bucket = a.bucket AND l.identity = a.identity) IS NULL
    ON CONFLICT (identity) DO UPDATE SET attempts = u.attempts + excluded.attempts
    RETURNING identity, attempts"#;

/// The places in the write of the events that were parked.
#[derive(Debug, Default)]
pub(super) struct ParkedEvents(Vec<usize>);

impl ParkedEvents {
    /// Corrects the outcomes of those.
    pub(super) fn note(self, outcomes: &mut [Outcome]) {
        for index in self.0 {
            if let Some(outcome) = outcomes.get_mut(index) {
                *outcome = Outcome::Unmatched;
            }
        }
    }
}

/// Deletes parked copies of what is applied, then parks what is new to ledger and parked table alike. The two prepared
/// statements are sent in this order without waiting.
pub(super) async fn settle(
    client: &Client,
    (delete, park): (&Statement, &Statement),
    parking: &Parking<'_>,
) -> Result<ParkedEvents, SinkError> {
    let touched = parking.touched.iter();
    let (identities, gone): (Vec<Key>, Vec<bool>) = touched
        .map(|(identity, applied)| (Key(identity.0), *applied))
        .unzip();
    let keys: [&(dyn ToSql + Sync); 2] = [&identities, &gone];
    let deleting = client.execute(delete, &keys);
    if parking.requests.is_empty() {
        deleting.await?;
        return Ok(ParkedEvents::default());
    }
    let parking = insert(client, park, &parking.requests, Millis::now());
    let (deleted, parked) = futures_util::future::join(deleting, parking).await;
    deleted?;
    parked
}

/// Stores them; those of which the attempts are what this batch brought are new.
async fn insert(
    client: &Client,
    statement: &Statement,
    parks: &[ParkRequest<'_>],
    now: Millis,
) -> Result<ParkedEvents, SinkError> {
    let columns = ParkColumns::of(parks);
    let now = Timestamptz(now);
    let rows = client.query(statement, &columns.parameters(&now)).await?;
    let by_identity: HashMap<Key, &ParkRequest<'_>> = parks
        .iter()
        .map(|park| (Key(park.event.identity.0), park))
        .collect();
    let mut parked = ParkedEvents::default();
    for row in rows {
        let (key, attempts): (Key, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(park) = by_identity.get(&key)
            && int(park.copies) == attempts
        {
            parked.0.push(park.index);
        }
    }
    Ok(parked)
}

/// The events as columns, in the order of the statement's parameters.
struct ParkColumns<'a>(Vec<Box<dyn ToSql + Sync + 'a>>);

impl<'a> ParkColumns<'a> {
    fn of(parks: &'a [ParkRequest<'a>]) -> Self {
        let mut all = Self(Vec::new());
        all.add(parks, |p| Key(p.event.identity.0));
        all.add(parks, |p| i64::from(p.event.delivery.origin.partition));
        all.add(parks, |p| p.event.delivery.origin.offset.cast_signed());
        all.add(parks, |p| Timestamptz(p.event.delivery.received_at));
        all.add(parks, |p| p.event.occurred_at.map(Timestamptz));
        all.add(parks, |p| int(p.copies));
        all.add(parks, |p| i64::from(p.event.index));
        all.add(parks, |p| hour(p.event.bucket));
        all.add(parks, |p| p.event.kind as i16);
        all.add(parks, |p| p.event.bounce_class.map(|class| class as i16));
        all.add(parks, |p| p.event.machine);
        all.add(parks, |p| Key(p.event.join.0));
        all.add(parks, |p| p.event.address.map(|key| Key(key.0)));
        all.add(parks, |p| named_row(p.event).map(|key| Key(key.0)));
        all.add(parks, |p| p.event.delivery.provider.as_str());
        all.add(parks, |p| p.event.delivery.user.as_str());
        all.add(parks, |p| p.event.message_id.as_str());
        all.add(parks, |p| p.event.event_key.as_str());
        all.add(parks, |p| p.event.recipient.as_deref());
        all.add(parks, |p| {
            p.event.ids.as_ref().map(|ids| ids.batch_id.as_str())
        });
        all.add(parks, |p| {
            p.event.ids.as_ref().map(|ids| ids.recipient_id.as_str())
        });
        all.add(parks, |p| p.event.raw.as_deref());
        all
    }

    fn add<T: ToSql + Sync + 'a>(
        &mut self,
        parks: &'a [ParkRequest<'a>],
        of: impl Fn(&'a ParkRequest<'a>) -> T,
    ) {
        self.0
            .push(Box::new(parks.iter().map(of).collect::<Vec<T>>()));
    }

    fn parameters<'b>(&'b self, now: &'b Timestamptz) -> Vec<&'b (dyn ToSql + Sync)> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![now];
        for column in &self.0 {
            all.push(&**column);
        }
        all
    }
}

/// The state row that the payload's ids name.
fn named_row(event: &Event) -> Option<RowKey> {
    let ids = event.ids.as_ref()?;
    let user = &event.delivery.user;
    Some(RowKey::of(user, &ids.batch_id, &ids.recipient_id))
}

/// Deletes parked events, found by their keys and locked in their order.
const UNPARK: &str = "WITH locked AS MATERIALIZED (
        SELECT u.identity FROM unnest($1::uuid[]) AS a (identity)
        CROSS JOIN LATERAL (SELECT identity FROM unmatched WHERE unmatched.identity = a.identity FOR UPDATE) AS u
    )
    DELETE FROM unmatched AS u WHERE u.identity = ANY (ARRAY(SELECT identity FROM locked))";

/// Deletes parked events.
pub(super) async fn unpark(
    connection: &StoreConnection,
    identities: &[Identity],
) -> Result<(), SinkError> {
    let mut keys: Vec<Key> = identities.iter().map(|one| Key(one.0)).collect();
    keys.sort_unstable();
    let statement = connection.statement(UNPARK).await?;
    connection.begin().await?;
    connection.client.execute(&statement, &[&keys]).await?;
    connection.commit(Failpoint::StoreDeadLetters).await
}

/// How many events are parked.
pub(super) async fn size(connection: &StoreConnection) -> Result<u64, SinkError> {
    let statement = connection
        .statement("SELECT count(*) FROM unmatched")
        .await?;
    let row = connection.client.query_one(&statement, &[]).await?;
    Ok(count(&row, 0)?)
}

/// Deletes parked rows that the ledger holds: duplicates that another member or a hand left behind.
pub(super) async fn drop_known(connection: &StoreConnection) -> Result<(), SinkError> {
    let words = "WITH known AS MATERIALIZED (
            SELECT u.identity FROM unmatched AS u
            WHERE EXISTS (SELECT FROM ledger AS l WHERE l.bucket = u.bucket AND l.identity = u.identity)
            ORDER BY u.identity FOR UPDATE OF u
        ) DELETE FROM unmatched AS u USING known WHERE u.identity = known.identity";
    connection.begin().await?;
    connection.client.execute(words, &[]).await?;
    connection.commit(Failpoint::StoreOpen).await
}
