//! What a failed call means to the writer: one function.
//!
//! The server's messages quote rows and addresses, so only the number and the name of its error are kept.

use clickhouse::error::Error;

use crate::error::{Class, SinkError};

/// What an error code of the server asks for. Codes: `errorCodeToName(number)` of the server, or its `ErrorCodes.cpp`.
const fn class_of(code: u32) -> Class {
    match code {
        // Timeouts, failures between servers, damaged data, queries cancelled, tables and parts busy, overload.
        40 | 159 | 160 | 202 | 209 | 210 | 236 | 271 | 279 | 319 | 364 | 384 | 394 | 439 | 473
        | 677 | 733 | 735 | 738 | 745 | 749 | 762 | 777 | 778 | 999 => Class::Retry,
        // What cannot be parsed or stored of a row.
        6 | 25 | 26 | 27 | 33 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 128 | 131 | 321 | 349 | 395
        | 441 | 469 | 691 => Class::Data,
        // Files and disks of the server.
        74..=77 | 87 | 88 | 172 | 204 | 243 | 294 | 425 | 586 | 641 => Class::Outage,
        // Too many parts, memory, quotas, read-only, no coordination service.
        164 | 173 | 201 | 225 | 241 | 242 | 252 | 290 | 415 | 472 | 495 | 700 | 774 | 776 => {
            Class::Outage
        }
        // Sockets and names; credentials and rights that were taken away.
        95 | 96 | 198 | 192..=194 | 291 | 497 | 516 | 673 => Class::Outage,
        // What libraries threw: a disk that is full, for one.
        1000..=1002 => Class::Outage,
        _ => Class::Bug,
    }
}

/// The code and the name in a message such as `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`.
///
/// Only what stands where the server puts the name is taken for it: all before may quote rows.
pub fn code_and_name(text: &str) -> Option<(u32, &str)> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let code = digits.get(..end)?.parse().ok()?;
    Some((code, name(text).unwrap_or("unnamed")))
}

fn name(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once(" (version ")?;
    let name = before.trim_end().strip_suffix(')')?.rsplit_once('(')?.1;
    let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    name.bytes().all(is_name).then_some(name)
}

/// An error as the writer sees it.
pub fn sink_error(error: &Error) -> SinkError {
    let outage = |message: &str| SinkError::new("clickhouse", Class::Outage, message);
    match error {
        Error::BadResponse(text) => match code_and_name(text) {
            Some((code, name)) => SinkError::new(
                "clickhouse",
                class_of(code),
                format!("the server answers with code {code} ({name})"),
            ),
            None => outage("the server's answer cannot be understood"),
        },
        Error::Network(_) => outage("the server cannot be reached, or the connection broke"),
        Error::TimedOut => outage("the server did not answer in time"),
        Error::Decompression(_) | Error::NotEnoughData => outage("the server's answer broke off"),
        Error::InvalidParams(_) => {
            SinkError::new("clickhouse", Class::Bug, "the url is no HTTP address")
        }
        _ => SinkError::new("clickhouse", Class::Bug, "the client refused the call"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_asks_for_what_it_should() {
        for (code, class) in [
            (159, Class::Retry),
            (210, Class::Retry),
            (27, Class::Data),
            (117, Class::Data),
            (33, Class::Data),
            (252, Class::Outage),
            (241, Class::Outage),
            (242, Class::Outage),
            (243, Class::Outage),
            (516, Class::Outage),
            (774, Class::Outage),
            (1000, Class::Outage),
            (47, Class::Bug),
            (62, Class::Bug),
            (115, Class::Bug),
        ] {
            let text = format!(
                "Code: {code}. DB::Exception: value 'ada@example.org' (SOME_NAME) (version 26.7)"
            );
            let error = sink_error(&Error::BadResponse(text));
            assert_eq!(error.class, class, "{code}");
            assert!(error.message.contains("SOME_NAME") && !error.message.contains("ada"));
        }
    }

    #[test]
    fn only_the_servers_own_name_is_repeated() {
        for (text, expected) in [
            (
                "Code: 60. DB::Exception: no (X) (UNKNOWN_TABLE) (version 26.7 (official))",
                "UNKNOWN_TABLE",
            ),
            ("Code: 27. DB::Exception: at (ADA) of the row", "unnamed"),
            (
                "Code: 27. DB::Exception: at (ADA) of (version 1)",
                "unnamed",
            ),
            ("Code: 27", "unnamed"),
        ] {
            assert_eq!(code_and_name(text).unwrap().1, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_outage() {
        assert_eq!(sink_error(&Error::TimedOut).class, Class::Outage);
        let broken = Error::BadResponse("<html>502</html>".into());
        assert_eq!(sink_error(&broken).class, Class::Outage);
    }
}
