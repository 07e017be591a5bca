//! What a failed call means to the writer: one function.
//!
//! The server's messages quote rows and addresses, so only the number and the name of its error are kept.

use clickhouse::error::Error;

use crate::error::{Class, SinkError};

/// What an error code of the server asks for. Codes: `system.errors` of the server, or its `ErrorCodes.cpp`.
const fn class_of(code: u32) -> Class {
    match code {
        // Timeouts, network between servers, queries that were cancelled, tables being changed.
        159 | 164 | 202 | 209 | 210 | 236 | 279 | 319 | 394 | 415 | 439 | 473 | 999 => Class::Retry,
        // What cannot be parsed or stored of a row.
        6 | 26 | 27 | 33 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 131 | 321 | 349 | 395 | 441
        | 469 | 691 => Class::Data,
        // Too many parts, memory, disk, read-only, credentials that were taken away.
        76 | 192 | 193 | 194 | 241 | 242 | 243 | 252 | 497 | 516 | 572 | 774 => Class::Outage,
        _ => Class::Bug,
    }
}

/// The code and the name in a message such as `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`.
pub fn code_and_name(text: &str) -> Option<(u32, &str)> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let code = digits.get(..end)?.parse().ok()?;
    let is_name = |word: &&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
    };
    let words = text
        .rsplit('(')
        .map(|part| part.split(')').next().unwrap_or(""));
    Some((code, words.into_iter().find(is_name).unwrap_or("unnamed")))
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
    fn what_is_no_answer_is_an_outage() {
        assert_eq!(sink_error(&Error::TimedOut).class, Class::Outage);
        let broken = Error::BadResponse("<html>502</html>".into());
        assert_eq!(sink_error(&broken).class, Class::Outage);
    }
}
