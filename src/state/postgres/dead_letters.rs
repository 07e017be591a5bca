//! Dead letters: raw bytes, headers and a reason, one row per identity.

use tokio_postgres::Statement;

use super::super::kernel::in_key_order;
use super::connect::StoreConnection;
use super::values::{Key, Timestamptz};
use crate::error::SinkError;
use crate::event::{Millis, Reject};
use crate::failpoint::Failpoint;
use crate::key::RejectKey;

const WRITE: &str = r#"INSERT INTO dead_letters AS d (id, provider, "user", stage, place, reason_code, reason, raw,
    body_sha256, headers, first_seen, last_seen, delivery)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $12)
    ON CONFLICT (id) DO UPDATE SET attempts = d.attempts + 1, delivery = excluded.delivery,
    first_seen = least(d.first_seen, excluded.first_seen), last_seen = greatest(d.last_seen, excluded.last_seen)"#;

/// Stores rejects; a repeat raises the attempts and is kept from then on.
pub(super) async fn insert(
    connection: &StoreConnection,
    rejects: &[Reject],
) -> Result<(), SinkError> {
    let keyed = in_key_order(rejects);
    let statement = connection.statement(WRITE).await?;
    let now = Timestamptz(Millis::now());
    connection.begin().await?;
    // Sent one behind the other without waiting for each answer.
    let sent = keyed
        .iter()
        .map(|(key, reject)| insert_one(connection, &statement, *key, reject, now));
    for answer in futures_util::future::join_all(sent).await {
        answer?;
    }
    connection.commit(Failpoint::StoreDeadLetters).await
}

async fn insert_one(
    connection: &StoreConnection,
    statement: &Statement,
    key: RejectKey,
    reject: &Reject,
    now: Timestamptz,
) -> Result<(), SinkError> {
    let texts = [
        storable(reject.provider.as_str()),
        storable(reject.user.as_str()),
        storable(&reject.reason.text),
    ];
    let [provider, user, reason] = &texts;
    let (stage, code) = (reject.stage.name(), reject.reason.code.name());
    let headers = reject.headers.as_json();
    connection
        .client
        .execute(
            statement,
            &[
                &Key(key.0),
                provider,
                user,
                &stage,
                &i64::from(reject.index),
                &code,
                reason,
                &&reject.raw[..],
                &&reject.body_sha256[..],
                &headers,
                &Timestamptz(reject.received_at),
                &reject.origin.to_string(),
                &now,
            ],
        )
        .await?;
    Ok(())
}

/// Postgres holds no NUL in text; a dead letter must be storable whatever it says.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
