//! The advisory locks of a store: numbers that all its processes agree on, different for each schema.

use super::connect::StoreConnection;
use crate::error::SinkError;
use crate::state::LoadId;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockPurpose {
    /// The schema is changed.
    Migration,
    /// Shared by every batch of events, held alone while ledger keys are dropped.
    LedgerFloor,
    /// A load ends: finish numbers become visible in their order.
    LoadEnd,
    /// Partitions are made ahead.
    Partitions,
    /// A load is open; its session holds the lock.
    Load(LoadId),
}

impl LockPurpose {
    const fn number(self) -> i32 {
        match self {
            Self::Migration => 1,
            Self::LedgerFloor => 2,
            Self::LoadEnd => 3,
            Self::Partitions => 4,
            // Open loads are few and their numbers near each other, so no two of them are equal modulo 2^30.
            Self::Load(load) => 1_000 + (load.0 & 0x3fff_ffff) as i32,
        }
    }
}

/// The number that all advisory locks of a schema share.
pub(super) fn lock_class(schema: &str) -> i32 {
    let hash = blake3::hash(format!("hookflow {schema}").as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    i32::from_be_bytes([a, b, c, d])
}

impl StoreConnection {
    /// Begins a transaction that first takes a lock, shared with others of its kind, until it ends.
    pub(super) async fn begin_sharing(&self, purpose: LockPurpose) -> Result<(), SinkError> {
        let (begin, class, number) = (self.mode.begin(), self.lock_class, purpose.number());
        let sql = format!("{begin}; SELECT pg_advisory_xact_lock_shared({class}, {number})");
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// Waits for a lock and holds it, alone, until the transaction ends.
    pub(super) async fn lock(&self, purpose: LockPurpose) -> Result<(), SinkError> {
        let (class, number) = (self.lock_class, purpose.number());
        let sql = format!("SELECT pg_advisory_xact_lock({class}, {number})");
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// Takes a lock until the transaction ends, if nobody holds it; returns whether it was free.
    pub(super) async fn try_lock(&self, purpose: LockPurpose) -> Result<bool, SinkError> {
        self.ask("SELECT pg_try_advisory_xact_lock($1, $2)", purpose)
            .await
    }

    /// Takes a lock until the session ends, if no other session holds it; returns whether it was free.
    pub(super) async fn try_hold(&self, purpose: LockPurpose) -> Result<bool, SinkError> {
        self.ask("SELECT pg_try_advisory_lock($1, $2)", purpose)
            .await
    }

    /// Releases a lock that this session holds.
    pub(super) async fn release(&self, purpose: LockPurpose) -> Result<(), SinkError> {
        let released = self.ask("SELECT pg_advisory_unlock($1, $2)", purpose);
        released.await.map(drop)
    }

    async fn ask(&self, sql: &'static str, purpose: LockPurpose) -> Result<bool, SinkError> {
        let statement = self.statement(sql).await?;
        let key = (self.lock_class, purpose.number());
        let row = self.client.query_one(&statement, &[&key.0, &key.1]).await?;
        Ok(row.try_get(0)?)
    }
}
