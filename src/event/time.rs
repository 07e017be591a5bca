//! Points in time as whole milliseconds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z, always truncated, never rounded.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub i64);

impl Millis {
    /// 2010-01-01: an event said to be older has no trustworthy time.
    pub const EARLIEST: Millis = Millis(1_262_304_000_000);
    /// 2100-01-01: an event said to be at or after it has no trustworthy time.
    pub const LATEST: Millis = Millis(4_102_444_800_000);

    /// This time if it is plausible for an event (2010 up to 2100), else none.
    pub fn plausible(self) -> Option<Millis> {
        (self >= Self::EARLIEST && self < Self::LATEST).then_some(self)
    }

    /// Reads RFC 3339, with any number of fraction digits and any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Millis> {
        let at: Timestamp = text.parse().ok()?;
        Some(Millis(at.as_nanosecond().div_euclid(1_000_000) as i64))
    }

    /// The wall clock now. Only sources (a missing `received_at`) and start-up read it; nothing that decides progress.
    pub fn now() -> Millis {
        Millis(Timestamp::now().as_millisecond())
    }
}

impl std::fmt::Display for Millis {
    /// RFC 3339 in UTC with three fraction digits; what no calendar holds is printed as a number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Millis;

    #[test]
    fn times_are_truncated_and_printed_in_utc() {
        let at = Millis::parse_rfc3339("2026-03-02T09:00:00.1239-05:00").unwrap();
        assert_eq!(at.to_string(), "2026-03-02T14:00:00.123Z");
        let before = Millis::parse_rfc3339("1969-12-31T23:59:59.9999Z").unwrap();
        assert_eq!(before, Millis(-1));
    }

    #[test]
    fn only_this_century_is_plausible() {
        assert_eq!(Millis(0).plausible(), None);
        assert_eq!(Millis::EARLIEST.plausible(), Some(Millis::EARLIEST));
        assert_eq!(Millis::LATEST.plausible(), None);
    }
}
