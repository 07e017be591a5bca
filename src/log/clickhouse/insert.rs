//! Rows into one insert, or into as few as the limit on partitions allows.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;

use super::client::Blocking;
use super::encode;
use super::settings::ClickHouseConfig;
use crate::log::LogRow;

/// Partitions that one insert may touch; the server refuses an insert over more than 100.
pub const PARTITIONS_MAX: usize = 50;

/// Bytes handed to the client at once; also the size of a compressed block.
const CHUNK: usize = 256 << 10;

/// Inserts rows, durably; they touch at most [`PARTITIONS_MAX`] partitions. Fails when `deadline` has passed.
pub(super) fn insert(
    client: &Blocking,
    settings: &ClickHouseConfig,
    rows: &[&LogRow],
    deadline: Duration,
) -> Result<(), Error> {
    let (database, table) = (&settings.database, &settings.table);
    let columns = encode::COLUMNS;
    let sql = format!("INSERT INTO {database}.{table} ({columns}) FORMAT RowBinary");
    let mut insert = client
        .client
        .insert_formatted_with(sql)
        .with_timeouts(Some(deadline), Some(deadline))
        .with_setting("insert_deduplication_token", new_token())
        .with_setting("async_insert", "0")
        .with_setting("wait_for_async_insert", "1")
        .with_setting("max_partitions_per_insert_block", "100")
        .with_setting("max_execution_time", deadline.as_secs().max(1).to_string());
    client.call_within(deadline, async {
        let mut buffer = Vec::with_capacity(CHUNK + 4_096);
        for row in rows {
            encode::row(row, &mut buffer);
            if buffer.len() >= CHUNK {
                let full = std::mem::replace(&mut buffer, Vec::with_capacity(CHUNK + 4_096));
                insert.send(Bytes::from(full)).await?;
            }
        }
        if !buffer.is_empty() {
            insert.send(buffer.into()).await?;
        }
        insert.end().await
    })
}

/// Whether rows could be inserted: an insert of none, which needs the same rights and columns and leaves nothing behind.
pub(super) fn try_none(client: &Blocking, settings: &ClickHouseConfig) -> Result<(), Error> {
    let (database, table) = (&settings.database, &settings.table);
    let columns = encode::COLUMNS;
    client.execute(&format!(
        "INSERT INTO {database}.{table} ({columns}) SELECT {columns} FROM {database}.{table} WHERE false"
    ))
}

/// A token that no other insert has, so that the server takes none for a copy. (`insert_deduplicate = 0` is not enough: servers
/// from 26 on follow `deduplicate_insert` instead, which older ones do not know.)
fn new_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Rows grouped so that no insert touches too many partitions; usually one group, in the order given.
pub(super) fn groups(rows: &[LogRow]) -> Vec<Vec<&LogRow>> {
    let months: Vec<i32> = rows
        .iter()
        .map(|row| encode::month(row.event.bucket))
        .collect();
    let mut distinct = months.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let mut groups = vec![Vec::new(); distinct.len().div_ceil(PARTITIONS_MAX)];
    for (row, month) in rows.iter().zip(months) {
        let place = distinct.partition_point(|one| *one < month) / PARTITIONS_MAX;
        if let Some(group) = groups.get_mut(place) {
            group.push(row);
        }
    }
    groups
}
