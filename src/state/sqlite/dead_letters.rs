//! Dead letters: raw bytes, headers and a reason, one row per identity.

use rusqlite::{Connection, params};

use super::super::kernel::in_key_order;
use super::{begin, commit};
use crate::error::SinkError;
use crate::event::{Millis, Reject};
use crate::failpoint::Failpoint;
use crate::key::RejectKey;

/// Stores rejects; a repeat raises the attempts and is kept from then on.
pub(super) fn insert(conn: &Connection, rejects: &[Reject]) -> Result<(), SinkError> {
    let now = Millis::now();
    let tx = begin(conn)?;
    for (key, reject) in in_key_order(rejects) {
        insert_one(&tx, key, reject, now)?;
    }
    commit(Failpoint::StoreDeadLetters, tx)
}

fn insert_one(
    conn: &Connection,
    key: RejectKey,
    reject: &Reject,
    now: Millis,
) -> Result<(), SinkError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO dead_letters (id, provider, user, stage, place, reason_code, reason, raw, body_sha256,
         headers, first_seen, last_seen, delivery)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET attempts = attempts + 1, delivery = excluded.delivery,
         first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)",
    )?;
    insert.execute(params![
        key.to_bytes(),
        reject.provider.as_str(),
        reject.user.as_str(),
        reject.stage.name(),
        reject.index,
        reject.reason.code.name(),
        reject.reason.text,
        &reject.raw[..],
        reject.body_sha256,
        reject.headers.as_json(),
        reject.received_at.0,
        now.0,
        reject.origin.to_string(),
    ])?;
    Ok(())
}
