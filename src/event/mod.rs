//! The nouns: what arrives, what it means, and what could not be understood.
//!
//! * [`Delivery`]: one webhook request as it was received, raw bytes and all.
//! * [`Event`]: one fact about one message ("delivered", "opened"), normalised from a delivery's body.
//!   A delivery holds 0 to thousands of them.
//! * [`Reject`]: what could not be read, with its raw bytes and a reason for a person.
//! * [`key`]: what each of them is compared, joined and stored by.
//!
//! Contract: everything here is plain data that can be serialised by a non-self-describing format (records cross
//! worker and process boundaries), and nothing here holds a clock, a connection or a lock.

mod delivery;
pub mod key;
mod kind;
mod normalised;
mod reject;
mod time;

pub use delivery::{Delivery, Headers, Origin};
pub use kind::{BounceClass, Kind};
pub use normalised::{Event, PayloadIds};
pub use reject::{Reason, ReasonCode, Reject, Stage};
pub use time::Millis;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The name of a provider in lower case (`ses`, `sendgrid`, …), or empty where it is not known.
///
/// It is a name and not an enum so that adding a provider touches no noun.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Provider(CompactString);

/// The tenant that a delivery belongs to, as the envelope names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct User(CompactString);

macro_rules! name_type {
    ($type:ident) => {
        impl $type {
            /// Takes the name as it is.
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(CompactString::new(name))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(Provider);
name_type!(User);
