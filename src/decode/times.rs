//! Times as providers write them, truncated to milliseconds from their decimal text and never through a float.

use compact_str::CompactString;

use crate::event::Millis;

/// From here on a number counts milliseconds, below it seconds: 1e11 s is the year 5138, 1e11 ms the year 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Reads Unix seconds (with any fraction), Unix milliseconds, or ISO 8601 with any offset; without one it is UTC.
pub(super) fn parse(text: &[u8]) -> Option<Millis> {
    match text.get(4) {
        Some(b'-') => iso(text),
        _ => epoch(text),
    }
}

/// Reads Unix seconds or milliseconds.
pub(super) fn epoch(text: &[u8]) -> Option<Millis> {
    let (mantissa, shift) = scientific(text)?;
    let (whole, fraction) = split_at_byte(mantissa, b'.');
    if whole.is_empty() || whole.len() + fraction.len() > 40 {
        return None;
    }
    let digits = whole.iter().chain(fraction);
    let point = i32::try_from(whole.len()).ok()? + shift;
    let seconds = take_digits(digits.clone(), point)?;
    if seconds >= MILLISECONDS_FROM {
        return Some(Millis(seconds));
    }
    Some(Millis(take_digits(digits, point + 3)?))
}

/// Splits off the exponent of `1.7e9`.
fn scientific(text: &[u8]) -> Option<(&[u8], i32)> {
    let Some(at) = memchr::memchr2(b'e', b'E', text) else {
        return Some((text, 0));
    };
    let exponent: i32 = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
    (-30..=30)
        .contains(&exponent)
        .then_some((&text[..at], exponent))
}

/// The number that the first `count` digits make, filled up with zeros; none for what is no digit or too large.
fn take_digits<'a>(digits: impl Iterator<Item = &'a u8>, count: i32) -> Option<i64> {
    let mut number = 0i64;
    let mut left = count;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        if left > 0 {
            number = number
                .checked_mul(10)?
                .checked_add(i64::from(digit - b'0'))?;
        }
        left -= 1;
    }
    for _ in 0..left.clamp(0, 30) {
        number = number.checked_mul(10)?;
    }
    Some(number)
}

fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(byte, text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Reads `YYYY-MM-DD`, `T` or a blank, `hh:mm:ss`, a fraction and an offset (`Z`, `+hh:mm`, `+hhmm`, ` +hhmm`, none).
fn iso(text: &[u8]) -> Option<Millis> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.split_at_checked(9)?;
    let days = days(
        number(date, 0, 4)?,
        number(date, 5, 2)?,
        number(date, 8, 2)?,
    )?;
    let (hour, minute) = (number(clock, 1, 2)?, number(clock, 4, 2)?);
    let second = number(clock, 7, 2)?;
    let punctuated = date[4] == b'-' && date[7] == b'-' && clock[3] == b':' && clock[6] == b':';
    let divided = matches!(clock[0], b'T' | b't' | b' ');
    if !punctuated || !divided || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
    Some(Millis((seconds - offset(rest)?) * 1_000 + fraction))
}

/// The milliseconds of a fraction, cut off, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return Some((0, text));
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = digits.split_at(length);
    (length > 0).then_some((take_digits(digits.iter(), 3)?, rest))
}

/// The seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, clock) = match text.trim_ascii() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', clock @ ..] => (1, clock),
        [b'-', clock @ ..] => (-1, clock),
        _ => return None,
    };
    let minutes_at = match clock {
        [_, _, b':', _, _] => 3,
        [_, _, _, _] => 2,
        _ => return None,
    };
    let (hours, minutes) = (number(clock, 0, 2)?, number(clock, minutes_at, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn number(text: &[u8], from: usize, length: usize) -> Option<i64> {
    take_digits(text.get(from..from + length)?.iter(), length as i32)
}

/// Days since 1970-01-01 of a date that exists (the civil calendar in eras of 400 years that begin in March).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The UTC date `YYYY-MM-DD` of a time; empty for one whose year has not four digits.
pub(super) fn date(at: Option<Millis>) -> CompactString {
    let Some(at) = at.filter(|at| (0..YEAR_10000).contains(&at.0)) else {
        return CompactString::default();
    };
    let (year, month, day) = civil(at.0 / 86_400_000);
    compact_str::format_compact!("{year:04}-{month:02}-{day:02}")
}

const YEAR_10000: i64 = 253_402_300_800_000;

/// The date of a day since 1970-01-01; the inverse of [`days`].
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + (month >= 10) as i64;
    (year, (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        parse(text.as_bytes()).map(|at| at.to_string())
    }

    #[test]
    fn numbers_are_cut_not_rounded() {
        let cut = Some("2018-03-16T20:46:35.375Z".to_owned());
        assert_eq!(shown("1521233195.375624999"), cut);
        assert_eq!(shown("1521233195.3759999999999999999999"), cut);
        assert_eq!(shown("1521233195375"), cut);
        assert_eq!(shown("1.521233195375e9"), cut);
        assert_eq!(shown("1521233195"), Some("2018-03-16T20:46:35.000Z".into()));
        assert_eq!(
            shown("1521233195.3"),
            Some("2018-03-16T20:46:35.300Z".into())
        );
    }

    #[test]
    fn dates_are_read_with_any_offset() {
        let at = Some("2026-03-02T14:00:05.123Z".to_owned());
        for text in [
            "2026-03-02T14:00:05.1239999Z",
            "2026-03-02T09:00:05.123-05:00",
            "2026-03-02 14:00:05.123",
            "2026-03-02T16:00:05.123 +0200",
        ] {
            assert_eq!(shown(text), at, "{text}");
        }
        assert_eq!(
            shown("2026-03-02T14:00:05 +0000").as_deref(),
            Some("2026-03-02T14:00:05.000Z")
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-1",
            "soon",
            "1e99",
            "1..2",
            ".5",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-02",
            "2026-03-02T24:00:00Z",
            "2026-03-02T14:00:05.Z",
            "2026-03-02T14:00:05x",
            "99999999999999999999",
            "٢٠٢٦-03-02T14:00:05Z",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_the_library(at in Millis::EARLIEST.0..Millis::LATEST.0) {
            let text = Millis(at).to_string();
            prop_assert_eq!(parse(text.as_bytes()), Some(Millis(at)));
            prop_assert_eq!(&date(Some(Millis(at)))[..], &text[..10]);
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }
    }
}
