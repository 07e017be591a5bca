//! The mappings of ended loads, in the order in which loads ended: what every member feeds its arrangements from.

use compact_str::CompactString;
use tokio_postgres::Row;

use super::super::{Mapping, MappingCursor, RowId};
use super::connect::StoreConnection;
use super::values::{Key, Timestamptz, int};
use crate::error::SinkError;
use crate::event::{Provider, User};
use crate::key::{AddressKey, JoinKey, RowKey};

/// Loads read at once.
const LOADS: i64 = 64;

/// Rows asked for beyond the page, in which its last message ends nearly always.
const BEYOND: usize = 64;

const ENDED: &str = "SELECT id, finish FROM loads WHERE finish >= $1 ORDER BY finish LIMIT $2";

const PAGE: &str = r#"SELECT m.id, r."user", m.provider, m.join_key, m.address_key, r.id, r.row_key, r.batch_id,
        r.recipient_id, m.sent_at
    FROM messages AS m
    CROSS JOIN LATERAL (SELECT id, "user", row_key, batch_id, recipient_id FROM recipients WHERE id = m.row_id OFFSET 0) AS r
    WHERE m.load_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3"#;

/// A page that ends with a message, and the place of its last mapping.
pub(super) async fn page(
    connection: &StoreConnection,
    after: MappingCursor,
    limit: usize,
) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
    let ended = connection.statement(ENDED).await?;
    let loads = connection
        .client
        .query(&ended, &[&after.finish, &LOADS])
        .await?;
    let mut page = MappingPage {
        mappings: Vec::new(),
        cursor: after,
        limit: limit.max(1),
    };
    for load in loads {
        let (id, finish): (i64, i64) = (load.try_get(0)?, load.try_get(1)?);
        if finish != page.cursor.finish {
            page.cursor = MappingCursor { finish, message: 0 };
        }
        if !page.take(connection, id).await? {
            break;
        }
    }
    Ok((page.mappings, page.cursor))
}

struct MappingPage {
    mappings: Vec<Mapping>,
    cursor: MappingCursor,
    limit: usize,
}

impl MappingPage {
    /// Takes mappings of one load; answers whether there is room for those of the next.
    async fn take(&mut self, connection: &StoreConnection, load: i64) -> Result<bool, SinkError> {
        let statement = connection.statement(PAGE).await?;
        let from = self.mappings.len();
        loop {
            let wanted = self.limit.saturating_sub(self.mappings.len()) + BEYOND;
            let rows = connection
                .client
                .query(
                    &statement,
                    &[&load, &self.cursor.message, &int(wanted as u64)],
                )
                .await?;
            for row in &rows {
                let mapping = mapping(row)?;
                let last = self.mappings.get(from..).and_then(<[Mapping]>::last);
                let inside = last.is_some_and(|last| last.join == mapping.join);
                if self.mappings.len() >= self.limit && !inside {
                    return Ok(false);
                }
                self.cursor.message = row.try_get(0)?;
                self.mappings.push(mapping);
            }
            if rows.len() < wanted {
                return Ok(self.mappings.len() < self.limit);
            }
        }
    }
}

fn mapping(row: &Row) -> Result<Mapping, SinkError> {
    let key = |column: usize| row.try_get::<_, Key>(column).map(|key| key.0);
    let text = |column: usize| row.try_get::<_, &str>(column);
    Ok(Mapping {
        user: User::new(text(1)?),
        provider: Provider::new(text(2)?),
        join: JoinKey(key(3)?),
        address: AddressKey(key(4)?),
        row_id: RowId(row.try_get(5)?),
        row: RowKey(key(6)?),
        batch_id: CompactString::new(text(7)?),
        recipient_id: CompactString::new(text(8)?),
        sent_at: row.try_get::<_, Option<Timestamptz>>(9)?.map(|sent| sent.0),
    })
}
