//! What a delivered message's reply subject says of it.
//!
//! `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<nanoseconds>.<pending>`, with a domain and an account
//! before the stream in the later form (ADR-15), which may have more tokens at its end.

use crate::event::Millis;

/// A delivery's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The number behind the consumer's last hyphen.
    pub partition: u32,
    /// How often the message has been delivered, this time included.
    pub deliveries: u64,
    /// Its sequence in the stream: what it is, for ever.
    pub sequence: u64,
    /// Its sequence among the consumer's deliveries, which has no gaps.
    pub delivery: u64,
    /// When the stream took it.
    pub at: Millis,
    /// How many messages waited for the consumer when it was delivered.
    pub pending: u64,
}

impl Token {
    /// Reads a reply subject; none if it is no delivery's.
    pub fn parse(reply: &str) -> Option<Token> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let mut tokens = rest.split('.');
        if rest.bytes().filter(|byte| *byte == b'.').count() > 6 {
            tokens.by_ref().take(2).for_each(drop);
        }
        let consumer = tokens.nth(1)?;
        let mut number = || tokens.next()?.parse::<u64>().ok();
        Some(Token {
            partition: consumer.rsplit_once('-')?.1.parse().ok()?,
            deliveries: number()?,
            sequence: number()?,
            delivery: number()?,
            at: Millis(i64::try_from(number()? / 1_000_000).ok()?),
            pending: number()?,
        })
    }

    /// A delivery's reply subject with another number among the consumer's deliveries.
    pub fn renumbered(reply: &str, delivery: u64) -> Option<String> {
        let mut tokens: Vec<&str> = reply.split('.').collect();
        let place = if tokens.len() > 9 { 8 } else { 6 };
        let number = delivery.to_string();
        *tokens.get_mut(place)? = &number;
        Some(tokens.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Token = Token {
        partition: 7,
        deliveries: 2,
        sequence: 30,
        delivery: 41,
        at: Millis(1_700_000_000_123),
        pending: 5,
    };

    #[test]
    fn both_forms_are_read() {
        let numbers = "S.hookflow-7.2.30.41.1700000000123456789.5";
        for reply in [
            format!("$JS.ACK.{numbers}"),
            format!("$JS.ACK._.hash.{numbers}"),
            format!("$JS.ACK.hub.hash.{numbers}.random"),
        ] {
            assert_eq!(Token::parse(&reply), Some(EXPECTED), "{reply}");
            let again = Token::renumbered(&reply, 1_041).unwrap();
            let expected = Token {
                delivery: 1_041,
                ..EXPECTED
            };
            assert_eq!(Token::parse(&again), Some(expected), "{again}");
            assert_eq!(again.replace("1041", "41"), reply);
        }
        for bad in [
            "",
            "$JS.ACK.",
            "_INBOX.1",
            "$JS.ACK.S.c.1.2.3.4.5",
            "$JS.ACK.S.c-1.x.2.3.4.5",
        ] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }
}
