//! What each message of a broker holds: which events and dead letters must be durable before it may be acknowledged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookflow::decode::{self, Decoded};
use hookflow::event::{Delivery, Origin, Provider, Reject, User};
use hookflow::source::EnvelopeDefaults;
use hookflow::source::envelope::parse_line_of_any_provider;
use hookflow::source::message::publish::headers;

use super::broker::Message;
use super::durable::Letter;
use sha2::{Digest, Sha256};

use crate::world::hex;

/// What one message holds.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub events: Vec<u128>,
    pub letters: Vec<Letter>,
}

/// All that is ever published, by what a message looks like.
pub struct Contents(HashMap<blake3::Hash, Content>);

fn looks<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, body: &[u8]) -> blake3::Hash {
    let mut text = blake3::Hasher::new();
    // The id names a line of a file, and a line without `received_at` gets the time of publishing: neither changes what it holds.
    let is_own = |name: &str| name != "Nats-Msg-Id" && name != "Hookflow-Received-At";
    let own: BTreeMap<&str, &str> = headers.filter(|(name, _)| is_own(name)).collect();
    for (name, value) in own {
        for part in [name, value] {
            text.update(&part.len().to_le_bytes());
            text.update(part.as_bytes());
        }
    }
    text.update(body);
    text.finalize()
}

impl Contents {
    /// Of the lines of a file.
    pub fn of(deliveries: &Path) -> Self {
        let read = lines(deliveries).map(|(line, read)| match read {
            Ok(delivery) => delivered(Arc::new(delivery)),
            Err(reject) => (looks(std::iter::empty(), &line), refused(&reject)),
        });
        Self(read.collect())
    }

    /// What a message holds; it must be one of those.
    pub fn content(&self, message: &Message) -> &Content {
        let headers = message.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        let found = self.0.get(&looks(headers, &message.body));
        found.unwrap_or_else(|| panic!("nobody published {message:?}"))
    }
}

/// The lines of a file as `hookflow publish` reads them.
fn lines(deliveries: &Path) -> impl Iterator<Item = (Bytes, Result<Delivery, Box<Reject>>)> {
    let defaults = EnvelopeDefaults {
        user: User::new("default"),
        provider: None,
        known: decode::providers().map(Provider::new).collect(),
    };
    let text = Bytes::from(std::fs::read(deliveries).unwrap());
    let lines: Vec<Bytes> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| text.slice_ref(line))
        .collect();
    lines.into_iter().map(move |line| {
        let read = parse_line_of_any_provider(Origin::default(), &line, &defaults, 16 << 20);
        (line, read)
    })
}

fn is_known(delivery: &Delivery) -> bool {
    decode::providers().any(|name| name == delivery.provider.as_str())
}

fn source_letter(bytes: &[u8]) -> Letter {
    ("source".to_owned(), 0, hex(&Sha256::digest(bytes)))
}

/// Dead letters of a file's lines as they are once the lines were published: one of an unknown provider holds the body.
pub fn letters_as_published<'a>(
    deliveries: &Path,
    of_lines: impl Iterator<Item = &'a Letter>,
) -> BTreeSet<Letter> {
    let renamed: HashMap<Letter, Letter> = lines(deliveries)
        .filter_map(|(line, read)| Some((line, read.ok().filter(|one| !is_known(one))?)))
        .map(|(line, delivery)| (source_letter(&line), source_letter(&delivery.body)))
        .collect();
    let published = of_lines.map(|letter| renamed.get(letter).unwrap_or(letter));
    published.cloned().collect()
}

fn delivered(delivery: Arc<Delivery>) -> (blake3::Hash, Content) {
    let written = headers(&delivery);
    let written = written.iter().map(|(name, value)| (*name, &**value));
    let looks = looks(written, &delivery.body);
    if !is_known(&delivery) {
        let content = Content {
            events: Vec::new(),
            letters: vec![source_letter(&delivery.body)],
        };
        return (looks, content);
    }
    let mut decoded = Decoded::default();
    decode::decode(&delivery, &decode::DecodeConfig::default(), &mut decoded);
    let events = decoded.events.iter().map(|event| event.identity.0);
    let letters = decoded.rejects.iter().map(letter);
    let content = Content {
        events: events.collect(),
        letters: letters.collect(),
    };
    (looks, content)
}

fn letter(reject: &Reject) -> Letter {
    let stage = reject.stage.name().to_owned();
    (stage, i64::from(reject.index), hex(&reject.body_sha256))
}

fn refused(reject: &Reject) -> Content {
    Content {
        events: Vec::new(),
        letters: vec![letter(reject)],
    }
}
