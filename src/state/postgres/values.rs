//! How keys, times and counts travel: sixteen bytes as uuid, milliseconds as timestamptz, unsigned as bigint.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::event::Millis;

type ValueError = Box<dyn Error + Sync + Send>;

/// A hash, stored as uuid. It sorts as its number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u128);

impl Key {
    /// From the bytes of a key type.
    pub(super) const fn of(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// For a key type.
    pub(super) const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl ToSql for Key {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, ValueError> {
        out.put_slice(&self.bytes());
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Key {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, ValueError> {
        Ok(Self::of(raw.try_into()?))
    }

    accepts!(UUID);
}

/// A moment, stored as timestamptz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamptz(pub(super) Millis);

/// Postgres counts from 2000-01-01.
const POSTGRES_EPOCH_MILLIS: i64 = 946_684_800_000;

/// About the years 4700 BC and 290000: what timestamptz can hold.
const STAMP_RANGE: (i64, i64) = (-210_000_000_000_000, 9_000_000_000_000_000);

impl ToSql for Timestamptz {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, ValueError> {
        let millis = self.0.0.clamp(STAMP_RANGE.0, STAMP_RANGE.1);
        out.put_i64((millis - POSTGRES_EPOCH_MILLIS) * 1_000);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamptz {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, ValueError> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Millis(
            micros.div_euclid(1_000) + POSTGRES_EPOCH_MILLIS,
        )))
    }

    accepts!(TIMESTAMPTZ);
}

/// Where a version of a row lies (its ctid). It holds as long as the row is locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TupleId([u8; 6]);

impl ToSql for TupleId {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, ValueError> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(TID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for TupleId {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, ValueError> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(TID);
}

/// A count as Postgres stores it.
pub(super) fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as Postgres stored it.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}

/// A moment that is always there.
pub(super) fn moment(row: &Row, column: usize) -> Result<Millis, tokio_postgres::Error> {
    Ok(row.try_get::<_, Timestamptz>(column)?.0)
}

/// A moment that may be missing.
pub(super) fn moment_if(row: &Row, column: usize) -> Result<Option<Millis>, tokio_postgres::Error> {
    Ok(row
        .try_get::<_, Option<Timestamptz>>(column)?
        .map(|at| at.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_travel_exactly_and_absurd_ones_are_clamped() {
        for millis in [0, -1, 1_767_225_600_123, i64::MAX, i64::MIN] {
            let mut out = BytesMut::new();
            Timestamptz(Millis(millis))
                .to_sql(&Type::TIMESTAMPTZ, &mut out)
                .unwrap();
            let back = Timestamptz::from_sql(&Type::TIMESTAMPTZ, &out).unwrap();
            assert_eq!(back.0.0, millis.clamp(STAMP_RANGE.0, STAMP_RANGE.1));
        }
    }

    #[test]
    fn keys_travel_in_the_order_in_which_they_sort() {
        let mut out = BytesMut::new();
        Key(1 << 120).to_sql(&Type::UUID, &mut out).unwrap();
        assert_eq!(out[..2], [1, 0]);
        assert_eq!(Key::from_sql(&Type::UUID, &out).unwrap(), Key(1 << 120));
    }
}
