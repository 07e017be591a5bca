//! Parses the values of options: times, numbers, rates.

use crate::config::parse_count;
use crate::event::Millis;
use crate::runtime::Rate;

/// RFC 3339, or a day (its beginning in UTC).
pub fn time(text: &str) -> Result<Millis, String> {
    Millis::parse_rfc3339(text)
        .or_else(|| Millis::parse_rfc3339(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "a time is 2026-03-02T09:00:00Z, or a day: 2026-03-02".to_owned())
}

/// A whole number from 1 up, digits may be grouped.
pub fn count(text: &str) -> Result<u64, String> {
    parse_count(text)
        .and_then(|count| u64::try_from(count.get()).ok())
        .ok_or_else(|| "a whole number from 1 up, such as 1_000_000".to_owned())
}

/// `max`, or deliveries a second.
pub fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "max" => Ok(Rate::Max),
        number => count(number)
            .map(Rate::PerSecond)
            .map_err(|_| "max, or deliveries a second, such as 20_000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        assert_eq!(time("2026-03-02"), time("2026-03-02T01:00:00+01:00"));
        assert!(time("yesterday").is_err());
        assert_eq!(count("1_000_000"), Ok(1_000_000));
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("20_000"), Ok(Rate::PerSecond(20_000)));
        assert!(rate("0").is_err() && rate("fast").is_err());
    }
}
