//! The partitions of the ledger, one a day, made before their day comes.
//!
//! A table is created on its own and then attached, so writers wait only for the moment of attaching. A day for which rows
//! lie in the rest partition already stays there: attaching would have to move them.

use super::connect::StoreConnection;
use super::locks::LockPurpose;
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

const DAY_HOURS: i64 = 24;
const HOUR_MILLIS: i64 = 3_600_000;

/// Days before and after today that have partitions of their own.
const DAYS: (i64, i64) = (7, 21);

/// When partitions were maintained last.
#[derive(Debug, Default)]
pub(super) struct PartitionSchedule {
    maintained_at: Option<Millis>,
}

impl PartitionSchedule {
    /// Whether maintenance is due (every six hours), which is noted.
    pub(super) fn due(&mut self, now: Millis) -> bool {
        let due = self
            .maintained_at
            .is_none_or(|at| now.0 - at.0 >= 6 * HOUR_MILLIS);
        if due {
            self.maintained_at = Some(now);
        }
        due
    }
}

/// One day: its first hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LedgerDay(pub(super) i32);

impl LedgerDay {
    /// `ledger_d` and the number of the day since 1970.
    pub(super) fn table(self) -> String {
        format!("ledger_d{}", i64::from(self.0) / DAY_HOURS)
    }

    /// The first hour behind it.
    pub(super) const fn end(self) -> i32 {
        self.0 + DAY_HOURS as i32
    }

    /// The day that a partition's name says.
    pub(super) fn of_table(name: &str) -> Option<Self> {
        let day: i32 = name.strip_prefix("ledger_d")?.parse().ok()?;
        day.checked_mul(DAY_HOURS as i32).map(Self)
    }
}

/// The names of all day partitions there are.
pub(super) async fn days(connection: &StoreConnection) -> Result<Vec<LedgerDay>, SinkError> {
    let read =
        "SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger'::regclass";
    let rows = connection.client.query(read, &[]).await?;
    let mut days = Vec::new();
    for row in rows {
        days.extend(LedgerDay::of_table(&row.try_get::<_, String>(0)?));
    }
    days.sort_unstable_by_key(|day| day.0);
    Ok(days)
}

/// Makes what is missing around `now`.
pub(super) async fn make(connection: &StoreConnection, now: Millis) -> Result<(), SinkError> {
    let there = days(connection).await?;
    let today = now.0.div_euclid(DAY_HOURS * HOUR_MILLIS);
    for day in today - DAYS.0..=today + DAYS.1 {
        let Ok(hour) = i32::try_from(day * DAY_HOURS) else {
            continue;
        };
        if !there.contains(&LedgerDay(hour)) {
            make_one(connection, LedgerDay(hour)).await?;
        }
    }
    Ok(())
}

async fn make_one(connection: &StoreConnection, day: LedgerDay) -> Result<(), SinkError> {
    let (table, from, to) = (day.table(), day.0, day.end());
    connection.begin().await?;
    connection.lock(LockPurpose::Partitions).await?;
    let needless = "SELECT to_regclass($1) IS NOT NULL
        OR EXISTS (SELECT FROM ledger_rest WHERE bucket >= $2 AND bucket < $3)";
    let row = connection
        .client
        .query_one(needless, &[&table, &from, &to])
        .await?;
    if row.try_get(0)? {
        return connection.roll_back().await;
    }
    let words = format!(
        "CREATE TABLE {table} (LIKE ledger INCLUDING ALL);
         ALTER TABLE ledger ATTACH PARTITION {table} FOR VALUES FROM ({from}) TO ({to})"
    );
    connection.client.batch_execute(&words).await?;
    connection.commit(Failpoint::StoreMigrate).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_day_it_is() {
        let day = LedgerDay(20_500 * 24);
        assert_eq!(day.table(), "ledger_d20500");
        assert_eq!(LedgerDay::of_table("ledger_d20500"), Some(day));
        assert_eq!(LedgerDay::of_table("ledger_rest"), None);
        assert_eq!(LedgerDay::of_table("ledger_d99999999999"), None);
    }

    #[test]
    fn partitions_are_looked_after_now_and_then() {
        let mut ahead = PartitionSchedule::default();
        assert!(ahead.due(Millis(0)));
        assert!(!ahead.due(Millis(HOUR_MILLIS)));
        assert!(ahead.due(Millis(6 * HOUR_MILLIS)));
    }
}
