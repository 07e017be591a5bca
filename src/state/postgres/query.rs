//! Reading a store from outside, while jobs write to it.

use tokio_postgres::Row;

use super::super::view::{
    BatchView, CompletionView, DeadLetterView, Export, MessageView, RecipientView, StateReader,
    StoreCounts, UnmatchedView,
};
use super::super::{LatePage, Mapping, MappingCursor};
use super::connect::{Mode, StoreConnection};
use super::session::Session;
use super::settings::PostgresConfig;
use super::values::{Key, count, int, moment, moment_if};
use super::{export, late, mappings, parked};
use crate::error::{Fatal, SinkError};
use crate::key::{AddressKey, Identity};

/// A view of a store. It locks nothing and holds nobody up.
pub struct PostgresReader {
    session: Session,
}

impl std::fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresReader")
    }
}

const DEAD_LETTER: &str = r#"encode(uuid_send(id), 'hex'), provider, "user", stage, place, reason_code, reason,
    encode(body_sha256, 'hex'), attempts, first_seen, last_seen, delivery"#;

impl PostgresReader {
    /// Connects. A server that cannot be reached is an error here: there is nobody who would wait.
    pub fn open(settings: PostgresConfig) -> Result<Self, Fatal> {
        let mut reader = Self::beside_job(settings)?;
        reader.session.connect()?;
        Ok(reader)
    }

    /// For a job, which waits for its server: connects at the first call.
    pub fn beside_job(settings: PostgresConfig) -> Result<Self, Fatal> {
        let session = Session::new(settings, Mode::Durable)?;
        Ok(Self { session })
    }
}

impl StateReader for PostgresReader {
    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        self.session
            .call(async |c| mappings::page(c, after, limit).await)
    }

    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        self.session
            .call(async |c| late::late_matches(c, after, rows).await)
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        self.session.maintain(parked::size)
    }

    fn recipient(&mut self, needle: &str) -> Result<Vec<RecipientView>, SinkError> {
        self.session.maintain(async |c| recipients(c, needle).await)
    }

    fn batches(&mut self) -> Result<Vec<BatchView>, SinkError> {
        self.session.maintain(export::batches)
    }

    fn completions(&mut self) -> Result<Vec<CompletionView>, SinkError> {
        self.session.maintain(export::completions)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        self.session.maintain(export::export)
    }

    fn unmatched(&mut self, limit: u64) -> Result<Vec<UnmatchedView>, SinkError> {
        self.session.maintain(async |c| unmatched(c, limit).await)
    }

    fn dead_letters(&mut self, limit: u64) -> Result<Vec<DeadLetterView>, SinkError> {
        let read = format!(
            "SELECT {DEAD_LETTER}, NULL::bytea, NULL::bytea FROM dead_letters ORDER BY last_seen DESC, id LIMIT $1"
        );
        let rows = self
            .session
            .maintain(async |c| Ok(c.client.query(&read, &[&int(limit)]).await?))?;
        rows.iter().map(dead_letter).collect()
    }

    fn dead_letter(&mut self, id: &str) -> Result<Option<DeadLetterView>, SinkError> {
        let read = format!(
            "SELECT {DEAD_LETTER}, headers, raw FROM dead_letters
             WHERE starts_with(encode(uuid_send(id), 'hex'), lower($1)) LIMIT 2"
        );
        let rows = self
            .session
            .maintain(async |c| Ok(c.client.query(&read, &[&id]).await?))?;
        match &rows[..] {
            [one] => dead_letter(one).map(Some),
            _ => Ok(None),
        }
    }

    fn counts(&mut self) -> Result<StoreCounts, SinkError> {
        self.session.maintain(counts)
    }
}

async fn recipients(
    connection: &StoreConnection,
    needle: &str,
) -> Result<Vec<RecipientView>, SinkError> {
    let read = format!(
        r#"SELECT {} FROM recipients AS r WHERE r.recipient_id = $1 OR r.id IN
           (SELECT row_id FROM messages WHERE message_id = $1 OR address_key = $2)
           ORDER BY r."user" COLLATE "C", r.batch_id COLLATE "C", r.recipient_id COLLATE "C""#,
        *export::RECIPIENT
    );
    let address = Key(AddressKey::of(needle).0);
    let mut found = Vec::new();
    for row in connection.client.query(&read, &[&needle, &address]).await? {
        let mut view = export::recipient(&row)?;
        view.messages = messages(connection, row.try_get(export::RECIPIENT_NUMBER)?).await?;
        found.push(view);
    }
    Ok(found)
}

async fn messages(
    connection: &StoreConnection,
    row_id: i64,
) -> Result<Vec<MessageView>, SinkError> {
    let read = "SELECT provider, message_id, recipient, sent_at FROM messages WHERE row_id = $1 ORDER BY id";
    let statement = connection.statement(read).await?;
    let mut found = Vec::new();
    for row in connection.client.query(&statement, &[&row_id]).await? {
        found.push(MessageView {
            provider: row.try_get(0)?,
            message_id: row.try_get(1)?,
            recipient: row.try_get(2)?,
            sent_at: moment_if(&row, 3)?,
        });
    }
    Ok(found)
}

async fn unmatched(
    connection: &StoreConnection,
    limit: u64,
) -> Result<Vec<UnmatchedView>, SinkError> {
    let read = r#"SELECT encode(uuid_send(identity), 'hex'), provider, "user", kind, message_id, recipient,
        occurred_at, received_at, parked_at, attempts, partition || '-' || "offset" FROM unmatched ORDER BY parked_at, identity LIMIT $1"#;
    let mut found = Vec::new();
    for row in connection.client.query(read, &[&int(limit)]).await? {
        found.push(UnmatchedView {
            identity: row.try_get(0)?,
            provider: row.try_get(1)?,
            user: row.try_get(2)?,
            kind: late::kind(row.try_get(3)?)?.name(),
            message_id: row.try_get(4)?,
            recipient: row.try_get(5)?,
            occurred_at: moment_if(&row, 6)?,
            received_at: moment(&row, 7)?,
            parked_at: moment(&row, 8)?,
            attempts: count(&row, 9)?,
            delivery: row.try_get(10)?,
        });
    }
    Ok(found)
}

async fn counts(connection: &StoreConnection) -> Result<StoreCounts, SinkError> {
    let read = "SELECT (SELECT count(*) FROM recipients), (SELECT count(*) FROM messages),
        (SELECT count(*) FROM batches), (SELECT count(*) FROM batches WHERE completed_at IS NOT NULL),
        (SELECT count(*) FROM ledger), (SELECT count(*) FROM unmatched), (SELECT count(*) FROM dead_letters)";
    let row = connection.client.query_one(read, &[]).await?;
    Ok(StoreCounts {
        recipients: count(&row, 0)?,
        messages: count(&row, 1)?,
        batches: count(&row, 2)?,
        completed: count(&row, 3)?,
        ledger: count(&row, 4)?,
        unmatched: count(&row, 5)?,
        dead_letters: count(&row, 6)?,
    })
}

fn dead_letter(row: &Row) -> Result<DeadLetterView, SinkError> {
    Ok(DeadLetterView {
        id: row.try_get(0)?,
        provider: row.try_get(1)?,
        user: row.try_get(2)?,
        stage: row.try_get(3)?,
        index: u32::try_from(count(row, 4)?).unwrap_or(u32::MAX),
        reason_code: row.try_get(5)?,
        reason: row.try_get(6)?,
        body_sha256: row.try_get(7)?,
        attempts: count(row, 8)?,
        first_seen: moment(row, 9)?,
        last_seen: moment(row, 10)?,
        delivery: row.try_get(11)?,
        headers: row
            .try_get::<_, Option<&[u8]>>(12)?
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        raw: row.try_get(13)?,
    })
}
