//! The class of a bounce by what the receiving server answered.
//!
//! Used where the provider itself gives no class: its own word always wins.

use crate::event::BounceClass;

/// Reads an enhanced status (`5.1.1`, RFC 3463) or an SMTP code (`550`), alone or at the start of an answer
/// (`550 5.1.1 no such user`, `smtp; 550 …`): 5 is hard, 4 is soft. None for anything else.
pub(super) fn bounce_class(answer: &[u8]) -> Option<BounceClass> {
    let answer = without_protocol(answer).trim_ascii_start();
    let class = match answer.first()? {
        b'5' => BounceClass::Hard,
        b'4' => BounceClass::Soft,
        _ => return None,
    };
    let is_status = matches!(answer, [_, b'.', b'0'..=b'9', ..]);
    let is_code =
        matches!(answer, [_, b'0'..=b'9', b'0'..=b'9', rest @ ..] if !starts_with_digit(rest));
    (is_status || is_code).then_some(class)
}

/// The class that the first answer with a class gives, else undetermined.
pub(super) fn first_class<'a>(answers: impl IntoIterator<Item = &'a [u8]>) -> BounceClass {
    let mut classes = answers.into_iter().filter_map(bounce_class);
    classes.next().unwrap_or(BounceClass::Undetermined)
}

/// A diagnostic code (RFC 3464) names its protocol first.
fn without_protocol(answer: &[u8]) -> &[u8] {
    match answer.split_at_checked(5) {
        Some((protocol, rest)) if protocol.eq_ignore_ascii_case(b"smtp;") => rest,
        _ => answer,
    }
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_code_give_the_class() {
        let (hard, soft) = (Some(BounceClass::Hard), Some(BounceClass::Soft));
        let cases: [(&str, _); 12] = [
            ("5.1.1", hard),
            ("4.2.2", soft),
            ("550", hard),
            ("452 4.2.2 mailbox full", soft),
            ("550-5.1.1 no such user", hard),
            ("SMTP; 550 no", hard),
            ("", None),
            ("2.0.0", None),
            ("605", None),
            ("5", None),
            ("5000", None),
            ("5 recipients", None),
        ];
        for (answer, class) in cases {
            assert_eq!(bounce_class(answer.as_bytes()), class, "{answer}");
        }
    }

    #[test]
    fn first_answer_with_a_class_counts() {
        let answers = [b"".as_slice(), b"soon", b"4.0.0", b"550"];
        assert_eq!(first_class(answers), BounceClass::Soft);
        assert_eq!(first_class([]), BounceClass::Undetermined);
    }
}
