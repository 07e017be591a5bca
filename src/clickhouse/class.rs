//! What an error of ClickHouse asks for: the one place that decides, and the only one that words it.
//!
//! Texts name no values: of a server's answer only the code and its name are kept.

use clickhouse::error::Error;

use crate::error::{Class, SinkError};

/// The class of an error. Where the server was not reached, or its answer was cut, that is an outage.
pub fn class(error: &Error) -> Class {
    match error {
        Error::BadResponse(answer) => code(answer).map_or(Class::Outage, class_of_code),
        Error::Network(_) | Error::TimedOut | Error::Compression(_) | Error::Decompression(_) => {
            Class::Outage
        }
        _ => Class::Bug,
    }
}

/// The number that the server gave its refusal: `Code: 60. DB::Exception: …`.
pub fn code(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("Code: ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest.get(..end)?.parse().ok()
}

const fn class_of_code(code: u32) -> Class {
    match code {
        // Timeouts, too many queries or parts, memory for the moment.
        159 | 202 | 241 | 252 | 285 | 394 => Class::Retry,
        // Values that do not fit their columns.
        6 | 26 | 27 | 33 | 38 | 41 | 53 | 69 | 72 | 117 | 131 | 321 | 349 => Class::Data,
        // Unknown tables, columns, functions and settings, wrong syntax, types, rights and passwords.
        16 | 36 | 43 | 46 | 47 | 60 | 62 | 81 | 115 | 192 | 193 | 194 | 497 | 516 => Class::Bug,
        _ => Class::Outage,
    }
}

/// What happened, for a person, without values.
pub fn text(error: &Error) -> String {
    match error {
        Error::BadResponse(answer) => match (code(answer), name(answer)) {
            (Some(code), Some(name)) => format!("the server refused: {name} (code {code})"),
            (Some(code), None) => format!("the server refused (code {code})"),
            (None, _) => "the server's answer is not ClickHouse's".to_owned(),
        },
        Error::Network(_) => "the server cannot be reached, or the connection broke".to_owned(),
        Error::TimedOut => "no answer within the time limit".to_owned(),
        Error::InvalidParams(_) => "the url is no address of a ClickHouse server".to_owned(),
        _ => "the answer cannot be read".to_owned(),
    }
}

/// The name of the refusal: the last capitals in brackets, such as `(UNKNOWN_TABLE)`.
fn name(answer: &str) -> Option<&str> {
    let is_name = |word: &&str| {
        word.len() > 3
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '0'..='9'))
    };
    answer.split(['(', ')']).rfind(is_name)
}

/// The error as a sink's.
pub fn failed(error: &Error) -> SinkError {
    SinkError::new("clickhouse", class(error), text(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Code: 60. DB::Exception: Table hookflow.sent does not exist. (UNKNOWN_TABLE) (version 26.7.2.1 (official build))";

    #[test]
    fn codes_are_found_and_have_their_classes() {
        let refused = |answer: &str| Error::BadResponse(answer.to_owned());
        assert_eq!(class(&refused(ANSWER)), Class::Bug);
        assert_eq!(
            class(&refused("Code: 241. DB::Exception: full")),
            Class::Retry
        );
        assert_eq!(
            class(&refused("Code: 210. DB::NetException: x")),
            Class::Outage
        );
        assert_eq!(class(&refused("<html>502</html>")), Class::Outage);
        assert_eq!(class(&Error::TimedOut), Class::Outage);
    }

    #[test]
    fn texts_name_the_refusal_and_nothing_of_the_query() {
        let text = text(&Error::BadResponse(ANSWER.to_owned()));
        assert_eq!(text, "the server refused: UNKNOWN_TABLE (code 60)");
    }
}
