//! Rows as ClickHouse's `RowBinary`: fields one after the other, texts with a length (LEB128) before them.
//!
//! Written by hand into one buffer because this is done for every event: it costs no allocation a row. Source of the
//! format: <https://clickhouse.com/docs/interfaces/formats/RowBinary>.

use crate::key::Bucket;
use crate::log::LogRow;

/// The columns in the order in which [`row`] writes them.
pub(super) const COLUMNS: &str = "identity, bucket, version, precedence, provider, user, kind, bounce_class, machine, \
                                  message_id, event_key, recipient, occurred_at, received_at, batch_id, recipient_id, raw";

/// Of copies of one event, readers take the higher one: the version decides, then the earlier receipt.
pub(super) fn precedence(row: &LogRow) -> u64 {
    const LATEST: u64 = 1 << 62;
    let received = u64::try_from(row.event.delivery.received_at.0).unwrap_or(0);
    ((row.version as u64) << 63) | (LATEST - received.min(LATEST))
}

/// Appends one row.
pub(super) fn row(row: &LogRow, out: &mut Vec<u8>) {
    let (event, delivery) = (&row.event, &row.event.delivery);
    out.extend_from_slice(&event.identity.to_bytes());
    out.extend_from_slice(&event.bucket.0.to_le_bytes());
    out.push(row.version as u8);
    out.extend_from_slice(&precedence(row).to_le_bytes());
    text(delivery.provider.as_str().as_bytes(), out);
    text(delivery.user.as_str().as_bytes(), out);
    text(event.kind.name().as_bytes(), out);
    if_any(event.bounce_class.map(|class| class.name().as_bytes()), out);
    out.push(u8::from(event.machine));
    text(event.message_id.as_bytes(), out);
    text(event.event_key.as_bytes(), out);
    if_any(event.recipient.as_ref().map(|one| one.as_bytes()), out);
    match event.occurred_at {
        Some(at) => {
            out.push(0);
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        None => out.push(1),
    }
    out.extend_from_slice(&delivery.received_at.0.to_le_bytes());
    text(row.batch_id.as_bytes(), out);
    text(row.recipient_id.as_bytes(), out);
    if_any(event.raw.as_deref(), out);
}

fn if_any(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            out.push(0);
            text(bytes, out);
        }
        None => out.push(1),
    }
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

/// The month in which a row is kept: that of its fixed time; 0 where it has none.
pub(super) fn month(bucket: Bucket) -> i32 {
    if bucket == Bucket::NONE {
        return 0;
    }
    let hour = jiff::Timestamp::from_second(i64::from(bucket.0) * 3_600);
    hour.map_or(0, |hour| {
        let date = jiff::tz::Offset::UTC.to_datetime(hour);
        i32::from(date.year()) * 100 + i32::from(date.month())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Millis;

    #[test]
    fn lengths_are_written_in_groups_of_seven_bits() {
        for (length, head) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
        ] {
            let mut out = Vec::new();
            text(&vec![b'x'; length], &mut out);
            assert_eq!(out.len(), head.len() + length);
            assert_eq!(&out[..head.len()], head);
        }
    }

    #[test]
    fn months_are_those_of_the_fixed_time() {
        assert_eq!(month(Bucket::NONE), 0);
        let march = Bucket::of(Some(Millis(1_772_445_600_000)));
        assert_eq!(month(march), 202_603);
    }
}
