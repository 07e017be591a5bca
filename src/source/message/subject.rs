//! Subjects `<prefix>.<provider>.<user>` and their tokens.
//!
//! A token may hold anything but dots, wildcards and blanks, so what holds these (or `%`, or control characters) is
//! percent-encoded, and an empty token, which a subject cannot have, is `%00`. Only ASCII is encoded: what is beyond it
//! stands as UTF-8.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::percent_decode;

/// The token of an empty text.
const EMPTY: &str = "%00";

/// Appends a text as one token.
pub fn push_token(subject: &mut String, text: &str) {
    if text.is_empty() {
        subject.push_str(EMPTY);
    }
    for c in text.chars() {
        match c {
            '.' | '*' | '>' | '%' | '\0'..=' ' | '\x7f' => {
                // Writing to a string cannot fail.
                write!(subject, "%{:02X}", c as u32).unwrap_or_default();
            }
            _ => subject.push(c),
        }
    }
}

/// The text of a token; a `%` without two hexadecimal digits behind it stands for itself. None if it is not UTF-8.
pub fn token_text(token: &[u8]) -> Option<Cow<'_, str>> {
    if token == EMPTY.as_bytes() {
        return Some(Cow::Borrowed(""));
    }
    if !token.contains(&b'%') {
        return std::str::from_utf8(token).ok().map(Cow::Borrowed);
    }
    let text: Cow<'_, [u8]> = percent_decode(token).into();
    String::from_utf8(text.into_owned()).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(text: &str) -> String {
        let mut token = String::new();
        push_token(&mut token, text);
        token
    }

    proptest! {
        #[test]
        fn every_text_is_one_token_that_reads_back(text in "[^\0]*") {
            let token = token(&text);
            let special = |c: char| ".*> \t\r\n".contains(c) || c.is_ascii_control();
            prop_assert!(!token.is_empty() && !token.contains(special));
            prop_assert_eq!(token_text(token.as_bytes()).unwrap(), text);
        }

        #[test]
        fn no_token_panics(token in proptest::collection::vec(any::<u8>(), 0..20)) {
            token_text(&token);
        }
    }

    #[test]
    fn tokens_are_as_documented() {
        assert_eq!(token("a.b*c>d e%"), "a%2Eb%2Ac%3Ed%20e%25");
        assert_eq!((token(""), token("é")), ("%00".into(), "é".into()));
        assert_eq!(token_text(b"50%off%2e").unwrap(), "50%off.");
        assert_eq!(token_text(b"%").unwrap(), "%");
        assert_eq!(token_text(b"%ff"), None);
    }
}
