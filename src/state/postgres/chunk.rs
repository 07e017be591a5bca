//! One chunk of a load, in one transaction: recipients and messages, or rows of `batches`.
//!
//! The kernel's [`JudgedChunk`] decides. Everything is inserted sorted by its unique key.

use std::collections::{BTreeMap, HashMap};

use super::super::kernel::{JudgedChunk, MessageKey};
use super::super::{BatchRow, LoadId, LoadOutcome, RecipientRow, RowId};
use super::connect::StoreConnection;
use super::load;
use super::values::{Key, Timestamptz, int};
use crate::error::{Class, SinkError};
use crate::failpoint::Failpoint;
use crate::key::{AddressKey, JoinKey, RowKey};

/// Locks the load, so that nobody closes it meanwhile.
const OPEN: &str = "SELECT kind FROM loads WHERE id = $1 AND ended_at IS NULL FOR UPDATE";

// `LATERAL (… OFFSET 0)` finds one row after another: a join may read an index from end to end (see `connect::BY_KEY`).

const MAPPED: &str = "SELECT a.join_key, a.address_key, r.id, r.row_key
    FROM unnest($1::uuid[], $2::uuid[]) AS a (join_key, address_key)
    CROSS JOIN LATERAL (SELECT row_id FROM messages AS m
        WHERE m.join_key = a.join_key AND m.address_key = a.address_key OFFSET 0) AS m
    CROSS JOIN LATERAL (SELECT id, row_key FROM recipients AS r WHERE r.id = m.row_id OFFSET 0) AS r";

const MAKE_BATCHES: &str = r#"INSERT INTO batches ("user", batch_id)
    SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING"#;

const FIND_BATCHES: &str = r#"SELECT a."user", a.batch_id, b.id FROM unnest($1::text[], $2::text[]) AS a ("user", batch_id)
    CROSS JOIN LATERAL (SELECT id FROM batches AS b
        WHERE b."user" = a."user" AND b.batch_id = a.batch_id OFFSET 0) AS b"#;

const MAKE_ROWS: &str = r#"INSERT INTO recipients (load_id, batch, row_key, "user", batch_id, recipient_id)
    SELECT $1, a.* FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[]) AS a
    ON CONFLICT (row_key) DO NOTHING RETURNING row_key"#;

const FIND_ROWS: &str = "SELECT a.row_key, r.id FROM unnest($1::uuid[]) AS a (row_key)
    CROSS JOIN LATERAL (SELECT id FROM recipients AS r WHERE r.row_key = a.row_key OFFSET 0) AS r";

const MAKE_MESSAGES: &str = "INSERT INTO messages (load_id, row_id, sent_at, join_key, address_key, provider, message_id, recipient)
    SELECT $1, a.* FROM unnest($2::bigint[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[]) AS a
    ON CONFLICT (join_key, address_key) DO NOTHING";

/// The number of state rows grows at once, so that it bounds the counters at all times.
const GROW_BATCHES: &str = "WITH locked AS MATERIALIZED (
        SELECT id FROM batches WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE batches AS b SET recipients = b.recipients + a.gained
    FROM unnest($1::bigint[], $2::bigint[]) AS a (id, gained) JOIN locked ON locked.id = a.id
    WHERE b.id = a.id AND a.gained > 0";

const TOUCH: &str = "INSERT INTO load_touched (load_id, batch) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING";

const COUNT: &str =
    "UPDATE loads SET accepted = accepted + $2, contradictions = contradictions + $3 WHERE id = $1";

/// Stores one chunk of recipients; what became of each row, in the order given.
pub(super) async fn recipients(
    connection: &StoreConnection,
    load: LoadId,
    rows: &[RecipientRow],
) -> Result<Vec<LoadOutcome>, SinkError> {
    connection.begin().await?;
    open(connection, load).await?;
    let mapped = mapped(connection, rows).await?;
    let mut judged = JudgedChunk::of(rows, &mapped);
    judged.accepted.sort_by_key(|row| (row.join, row.address));
    let batches = batch_numbers(connection, &judged.batches()).await?;
    let (ids, gained) = state_rows(connection, load, &judged, &batches).await?;
    messages(connection, load, &judged, &ids).await?;
    grow(connection, load, &batches, &gained).await?;
    let statement = connection.statement(COUNT).await?;
    let counts = (
        int(judged.accepted.len() as u64),
        int(judged.contradictions),
    );
    connection
        .client
        .execute(&statement, &[&load.0, &counts.0, &counts.1])
        .await?;
    let outcomes = judged.outcomes(&ids)?;
    connection.commit(Failpoint::StoreLoad).await?;
    Ok(outcomes)
}

async fn open(connection: &StoreConnection, load: LoadId) -> Result<(), SinkError> {
    let statement = connection.statement(OPEN).await?;
    let found = connection.client.query_opt(&statement, &[&load.0]).await?;
    found.map(drop).ok_or_else(load::closed)
}

/// The state rows to which messages and addresses map already.
async fn mapped(
    connection: &StoreConnection,
    rows: &[RecipientRow],
) -> Result<HashMap<MessageKey, (RowId, RowKey)>, SinkError> {
    let (joins, addresses): (Vec<Key>, Vec<Key>) = rows
        .iter()
        .map(|row| (Key(row.join.0), Key(row.address.0)))
        .unzip();
    let statement = connection.statement(MAPPED).await?;
    let found = connection
        .client
        .query(&statement, &[&joins, &addresses])
        .await?;
    let key = |row: &tokio_postgres::Row, at: usize| row.try_get::<_, Key>(at);
    let mut mapped = HashMap::with_capacity(found.len());
    for row in &found {
        let address = (JoinKey(key(row, 0)?.0), AddressKey(key(row, 1)?.0));
        mapped.insert(address, (RowId(row.try_get(2)?), RowKey(key(row, 3)?.0)));
    }
    Ok(mapped)
}

/// The numbers of batches, made if missing.
pub(super) async fn batch_numbers(
    connection: &StoreConnection,
    names: &[(&str, &str)],
) -> Result<BTreeMap<(String, String), i64>, SinkError> {
    let mut numbers = BTreeMap::new();
    if names.is_empty() {
        return Ok(numbers);
    }
    let (users, ids): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
    for statement in [MAKE_BATCHES, FIND_BATCHES] {
        let statement = connection.statement(statement).await?;
        for row in connection.client.query(&statement, &[&users, &ids]).await? {
            numbers.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
    }
    Ok(numbers)
}

/// Makes the state rows that are missing; the numbers of all, and how many each batch gained.
async fn state_rows(
    connection: &StoreConnection,
    load: LoadId,
    judged: &JudgedChunk<'_>,
    batches: &BTreeMap<(String, String), i64>,
) -> Result<(HashMap<RowKey, RowId>, BTreeMap<i64, i64>), SinkError> {
    let mut wanted = judged.state_rows();
    wanted.sort_by_key(|row| row.row);
    let number = |row: &RecipientRow| {
        let name = (row.user.as_str().to_owned(), row.batch_id.to_string());
        batches.get(&name).copied()
    };
    let numbers: Vec<Option<i64>> = wanted.iter().map(|row| number(row)).collect();
    let keys: Vec<Key> = wanted.iter().map(|row| Key(row.row.0)).collect();
    let users: Vec<&str> = wanted.iter().map(|row| row.user.as_str()).collect();
    let names: Vec<&str> = wanted.iter().map(|row| row.batch_id.as_str()).collect();
    let recipients: Vec<&str> = wanted.iter().map(|row| row.recipient_id.as_str()).collect();
    let make = connection.statement(MAKE_ROWS).await?;
    let made = connection
        .client
        .query(
            &make,
            &[&load.0, &numbers, &keys, &users, &names, &recipients],
        )
        .await?;
    let of: HashMap<Key, Option<i64>> = keys.iter().copied().zip(numbers.iter().copied()).collect();
    let mut gained: BTreeMap<i64, i64> = batches.values().map(|id| (*id, 0)).collect();
    for row in made {
        if let Some(Some(batch)) = of.get(&row.try_get(0)?) {
            *gained.entry(*batch).or_default() += 1;
        }
    }
    let find = connection.statement(FIND_ROWS).await?;
    let mut ids = HashMap::with_capacity(keys.len());
    for row in connection.client.query(&find, &[&keys]).await? {
        ids.insert(RowKey(row.try_get::<_, Key>(0)?.0), RowId(row.try_get(1)?));
    }
    Ok((ids, gained))
}

/// Stores the new mappings. Where another load was quicker, the chunk is judged again.
async fn messages(
    connection: &StoreConnection,
    load: LoadId,
    judged: &JudgedChunk<'_>,
    ids: &HashMap<RowKey, RowId>,
) -> Result<(), SinkError> {
    let new: Vec<(&RecipientRow, i64)> = judged
        .accepted
        .iter()
        .filter_map(|row| Some((*row, ids.get(&row.row)?.0)))
        .collect();
    let row_ids: Vec<i64> = new.iter().map(|(_, id)| *id).collect();
    let sent: Vec<Option<Timestamptz>> = new
        .iter()
        .map(|(row, _)| row.sent_at.map(Timestamptz))
        .collect();
    let joins: Vec<Key> = new.iter().map(|(row, _)| Key(row.join.0)).collect();
    let addresses: Vec<Key> = new.iter().map(|(row, _)| Key(row.address.0)).collect();
    let providers: Vec<&str> = new.iter().map(|(row, _)| row.provider.as_str()).collect();
    let messages: Vec<&str> = new.iter().map(|(row, _)| row.message_id.as_str()).collect();
    let recipients: Vec<&str> = new.iter().map(|(row, _)| row.recipient.as_str()).collect();
    let statement = connection.statement(MAKE_MESSAGES).await?;
    let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &load.0,
        &row_ids,
        &sent,
        &joins,
        &addresses,
        &providers,
        &messages,
        &recipients,
    ];
    let stored = connection.client.execute(&statement, &columns).await?;
    if stored == judged.accepted.len() as u64 {
        return Ok(());
    }
    let message = "another process loaded some of the same messages meanwhile";
    Err(SinkError::new("postgres", Class::Retry, message))
}

async fn grow(
    connection: &StoreConnection,
    load: LoadId,
    batches: &BTreeMap<(String, String), i64>,
    gained: &BTreeMap<i64, i64>,
) -> Result<(), SinkError> {
    if batches.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = gained.keys().copied().collect();
    let rows: Vec<i64> = gained.values().copied().collect();
    let (grow, touch) = (
        connection.statement(GROW_BATCHES).await?,
        connection.statement(TOUCH).await?,
    );
    connection.client.execute(&grow, &[&ids, &rows]).await?;
    connection.client.execute(&touch, &[&load.0, &ids]).await?;
    Ok(())
}

const KEEP: &str = r#"INSERT INTO load_batches (load_id, "user", batch_id, total, sealed_at, deadline)
    SELECT $1, a.* FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[]) AS a
    ON CONFLICT (load_id, "user", batch_id) DO UPDATE
    SET total = excluded.total, sealed_at = excluded.sealed_at, deadline = excluded.deadline"#;

/// Keeps one chunk of batch rows for the end of the load; the last row of a batch wins.
pub(super) async fn batch_rows(
    connection: &StoreConnection,
    load: LoadId,
    rows: &[BatchRow],
) -> Result<(), SinkError> {
    let mut last: BTreeMap<(&str, &str), &BatchRow> = BTreeMap::new();
    last.extend(
        rows.iter()
            .map(|row| ((row.user.as_str(), row.id.as_str()), row)),
    );
    let (users, ids): (Vec<&str>, Vec<&str>) = last.keys().copied().unzip();
    let totals: Vec<Option<i64>> = last.values().map(|row| row.total.map(int)).collect();
    let sealed: Vec<Option<Timestamptz>> = last
        .values()
        .map(|r| r.sealed_at.map(Timestamptz))
        .collect();
    let deadlines: Vec<Option<Timestamptz>> =
        last.values().map(|r| r.deadline.map(Timestamptz)).collect();
    connection.begin().await?;
    open(connection, load).await?;
    let statement = connection.statement(KEEP).await?;
    connection
        .client
        .execute(
            &statement,
            &[&load.0, &users, &ids, &totals, &sealed, &deadlines],
        )
        .await?;
    connection.commit(Failpoint::StoreLoad).await
}
