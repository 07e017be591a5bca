//! Points in time as the providers write them. The input is always milliseconds since 1970, UTC.

use super::text::{Padded, WriteText};

/// The parts of a point in time.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u64,
}

/// The Gregorian calendar by arithmetic (days since 0000-03-01, eras of 400 years).
fn civil(ms: i64) -> Civil {
    let (day, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) as u64);
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Civil {
        year: (year_of_era + era * 400 + i64::from(month <= 2)) as u64,
        month: month as u64,
        day: (of_year - (153 * shifted_month + 2) / 5 + 1) as u64,
        hour: rest / 3_600_000,
        minute: rest / 60_000 % 60,
        second: rest / 1_000 % 60,
        millis: rest % 1_000,
    }
}

impl Civil {
    fn date(&self, out: &mut Vec<u8>) {
        Padded(self.year, 4).put(out);
        out.push(b'-');
        Padded(self.month, 2).put(out);
        out.push(b'-');
        Padded(self.day, 2).put(out);
    }

    fn clock(&self, out: &mut Vec<u8>) {
        Padded(self.hour, 2).put(out);
        out.push(b':');
        Padded(self.minute, 2).put(out);
        out.push(b':');
        Padded(self.second, 2).put(out);
    }
}

/// `2026-03-02T14:00:00.012Z`
pub struct Iso(pub i64);

impl WriteText for Iso {
    fn put(&self, out: &mut Vec<u8>) {
        IsoFine(self.0, 0, 0).put(out);
        out.push(b'Z');
    }
}

/// `2026-03-02T14:00:00.012` and so many (second number) digits more of the third; no zone.
pub struct IsoFine(pub i64, pub usize, pub u64);

impl WriteText for IsoFine {
    fn put(&self, out: &mut Vec<u8>) {
        let civil = civil(self.0);
        civil.date(out);
        out.push(b'T');
        civil.clock(out);
        out.push(b'.');
        Padded(civil.millis, 3).put(out);
        Padded(self.2, self.1).put(out);
    }
}

/// `2026-03-02T14:00:07Z`
pub struct IsoSeconds(pub i64);

impl WriteText for IsoSeconds {
    fn put(&self, out: &mut Vec<u8>) {
        let civil = civil(self.0);
        civil.date(out);
        out.push(b'T');
        civil.clock(out);
        out.push(b'Z');
    }
}

/// `2026-03-02 14:00:05`
pub struct Sql(pub i64);

impl WriteText for Sql {
    fn put(&self, out: &mut Vec<u8>) {
        let civil = civil(self.0);
        civil.date(out);
        out.push(b' ');
        civil.clock(out);
    }
}

/// `2026-03-02`
pub struct IsoDate(pub i64);

impl WriteText for IsoDate {
    fn put(&self, out: &mut Vec<u8>) {
        civil(self.0).date(out);
    }
}

/// `2603021400`: two-digit year, month, day, hour, minute.
pub struct Minute(pub i64);

impl WriteText for Minute {
    fn put(&self, out: &mut Vec<u8>) {
        let civil = civil(self.0);
        for part in [
            civil.year % 100,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
        ] {
            Padded(part, 2).put(out);
        }
    }
}

/// `20260302140000`
pub struct CompactTime(pub i64);

impl WriteText for CompactTime {
    fn put(&self, out: &mut Vec<u8>) {
        let civil = civil(self.0);
        Padded(civil.year, 4).put(out);
        for part in [
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
        ] {
            Padded(part, 2).put(out);
        }
    }
}

/// Whole seconds since 1970.
pub struct Seconds(pub i64);

impl WriteText for Seconds {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.div_euclid(1_000).put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Millis;

    #[test]
    fn the_calendar_agrees_with_the_library() {
        for day in 0..60_000 {
            let ms = day * 86_400_000 + day * 7 % 86_400_000;
            let mut text = Vec::new();
            Iso(ms).put(&mut text);
            assert_eq!(String::from_utf8(text).unwrap(), Millis(ms).to_string());
        }
    }
}
