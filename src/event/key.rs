//! Keys: fixed-size names for things that are compared, joined and stored millions of times.
//!
//! Contract: every key is a pure function of immutable input, the same on every machine and for ever; the test vectors
//! below are part of the stored format. Input is hostile, so identities and join keys are collision-resistant
//! (BLAKE3, 128 bits, fields length-prefixed so that no two field lists share an encoding, and a domain byte so
//! that no two kinds of key share a value).

use serde::{Deserialize, Serialize};

use super::{Kind, Millis, Provider, Stage, User};

macro_rules! key_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl $name {
            /// The sixteen bytes that stores keep, in the order in which the number sorts.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// Reads what [`Self::to_bytes`] wrote.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }
    };
}

key_type! {
    /// What makes two copies of an event one event: (provider, user, kind, event key).
    Identity
}
key_type! {
    /// The key of the recipient join: (user, provider, join id).
    JoinKey
}
key_type! {
    /// A recipient's address, lower-cased (ASCII).
    AddressKey
}
key_type! {
    /// A state row: (user, batch id, recipient id).
    RowKey
}
key_type! {
    /// A dead letter: (provider, user, body, stage, index).
    RejectKey
}

/// Hashes length-prefixed fields under a domain byte to 128 bits.
fn digest(domain: u8, fields: &[&[u8]]) -> u128 {
    let mut buffer = [0u8; 512];
    let needed = 1 + fields.iter().map(|field| field.len() + 4).sum::<usize>();
    if needed > buffer.len() {
        return digest_long(domain, fields);
    }
    buffer[0] = domain;
    let mut at = 1;
    for field in fields {
        buffer[at..at + 4].copy_from_slice(&(field.len() as u32).to_le_bytes());
        buffer[at + 4..at + 4 + field.len()].copy_from_slice(field);
        at += 4 + field.len();
    }
    truncate(blake3::hash(&buffer[..at]))
}

/// The same bytes as [`digest`], for input that does not fit its buffer.
#[cold]
fn digest_long(domain: u8, fields: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[domain]);
    for field in fields {
        hasher.update(&(field.len() as u32).to_le_bytes());
        hasher.update(field);
    }
    truncate(hasher.finalize())
}

fn truncate(hash: blake3::Hash) -> u128 {
    let mut first = [0u8; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(first)
}

impl Identity {
    /// The identity of an event; `event_key` is the bytes as the provider sent them, text or not.
    pub fn of(provider: &Provider, user: &User, kind: Kind, event_key: impl AsRef<[u8]>) -> Self {
        Self(digest(
            b'e',
            &[
                provider.as_str().as_bytes(),
                user.as_str().as_bytes(),
                kind.name().as_bytes(),
                event_key.as_ref(),
            ],
        ))
    }
}

impl JoinKey {
    /// The join key of a message; `join_id` is the message id as the sender knows it.
    pub fn of(user: &User, provider: &Provider, join_id: &str) -> Self {
        Self(digest(
            b'm',
            &[
                user.as_str().as_bytes(),
                provider.as_str().as_bytes(),
                join_id.as_bytes(),
            ],
        ))
    }
}

impl AddressKey {
    /// The key of an address, compared without regard to ASCII case; its bytes may be no text.
    pub fn of(address: impl AsRef<[u8]>) -> Self {
        let address = address.as_ref();
        if address.len() > 320 {
            return Self(digest(b'a', &[&address.to_ascii_lowercase()]));
        }
        let mut lower = [0u8; 320];
        let lower = &mut lower[..address.len()];
        lower.copy_from_slice(address);
        lower.make_ascii_lowercase();
        Self(digest(b'a', &[lower]))
    }
}

impl RowKey {
    /// The key of a state row.
    pub fn of(user: &User, batch_id: &str, recipient_id: &str) -> Self {
        Self(digest(
            b'r',
            &[
                user.as_str().as_bytes(),
                batch_id.as_bytes(),
                recipient_id.as_bytes(),
            ],
        ))
    }
}

impl RejectKey {
    /// The identity of a dead letter; a repeat raises its attempts and adds no row.
    pub fn of(
        provider: &Provider,
        user: &User,
        body_sha256: &[u8; 32],
        stage: Stage,
        index: u32,
    ) -> Self {
        Self(digest(
            b'd',
            &[
                provider.as_str().as_bytes(),
                user.as_str().as_bytes(),
                body_sha256,
                stage.name().as_bytes(),
                &index.to_le_bytes(),
            ],
        ))
    }
}

/// The whole hours of an event's fixed time since 1970, the local prefix of a ledger key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Bucket(pub u32);

impl Bucket {
    /// The bucket of events whose time is absent, implausible, or could differ between copies.
    pub const NONE: Bucket = Bucket(0);

    /// The hour of a plausible, fixed time.
    pub fn of(time: Option<Millis>) -> Self {
        match time.and_then(Millis::plausible) {
            Some(at) => Self((at.0 / 3_600_000) as u32),
            None => Self::NONE,
        }
    }
}

/// One of 256 logical shards; every event of one (provider, user) lives in the same one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Shard(pub u8);

impl Shard {
    /// The shard of (provider, user): FNV-1a (64 bit) over `provider 0xFF user`, folded to its low byte by xor.
    ///
    /// `0xFF` occurs in no UTF-8 text, so the pair is unambiguous. The eight bytes of the hash are xor-ed together.
    pub fn of(provider: &Provider, user: &User) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let hash = provider.as_str().bytes().fold(OFFSET, step);
        let hash = step(hash, 0xff);
        let hash = user.as_str().bytes().fold(hash, step);
        Self(
            hash.to_le_bytes()
                .into_iter()
                .fold(0, |all, byte| all ^ byte),
        )
    }

    /// The number by which timely routes.
    pub const fn route(self) -> u64 {
        self.0 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_length_prefixed_and_domains_apart() {
        let a = digest(b'x', &[b"ab", b"c"]);
        assert_ne!(a, digest(b'x', &[b"a", b"bc"]));
        assert_ne!(a, digest(b'y', &[b"ab", b"c"]));
    }

    #[test]
    fn long_input_hashes_like_short_input() {
        let long = vec![7u8; 400];
        assert_eq!(digest(b'x', &[&long]), digest_long(b'x', &[&long]));
        assert_ne!(digest(b'x', &[&long, &long]), digest(b'x', &[&long]));
    }

    #[test]
    fn addresses_compare_without_case() {
        assert_eq!(
            AddressKey::of("A@Example.COM"),
            AddressKey::of("a@example.com")
        );
        let long = "A".repeat(400);
        assert_eq!(AddressKey::of(&long), AddressKey::of(long.to_lowercase()));
    }

    #[test]
    fn shards_spread_and_are_stable() {
        let provider = Provider::new("ses");
        let mut seen = std::collections::HashSet::new();
        for n in 0..2_000 {
            seen.insert(Shard::of(&provider, &User::new(format!("u-{n}"))));
        }
        assert!(seen.len() > 250, "only {} shards are used", seen.len());
    }
}
