//! The names of people and batches: addresses, phone numbers and ids, made of numbers.

use super::text::{Padded, WriteText};
use super::world::{Person, PlannedBatch};

const FIRST: [&str; 16] = [
    "ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "ines", "jon", "kim", "lea", "max",
    "noor", "ole", "pia",
];
const HOSTS: [&str; 4] = [
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
];

/// How an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As events have it: one in eight begins with a capital.
    Event,
    /// As the sender's table has it: lower case.
    Sender,
}

/// Somebody's mail address.
pub struct Mail<'a>(pub &'a Person, pub Style);

impl WriteText for Mail<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let number = self.0.number;
        let start = out.len();
        FIRST[number as usize % FIRST.len()].put(out);
        out.push(b'.');
        number.put(out);
        out.push(b'@');
        HOSTS[(number / 16) as usize % HOSTS.len()].put(out);
        if self.1 == Style::Event && number.is_multiple_of(8) {
            out[start].make_ascii_uppercase();
        }
    }
}

/// The domain of somebody's mail address.
pub struct Host<'a>(pub &'a Person);

impl WriteText for Host<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        HOSTS[(self.0.number / 16) as usize % HOSTS.len()].put(out);
    }
}

/// Somebody's phone number, without the plus sign.
pub struct Phone<'a>(pub &'a Person);

impl WriteText for Phone<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"44770");
        Padded(self.0.number % 1_000_000_000, 9).put(out);
    }
}

/// An archive's address, which is in no snapshot.
pub const ARCHIVE: &str = "archive@sender.example.com";

/// A batch's id; empty for transactional mail.
pub struct BatchId<'a>(pub &'a PlannedBatch);

impl WriteText for BatchId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        if let Some(number) = self.0.number {
            out.extend_from_slice(b"b-");
            u64::from(number).put(out);
        }
    }
}

/// A recipient's id.
pub struct RecipientId<'a>(pub &'a Person);

impl WriteText for RecipientId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"r-");
        self.0.number.put(out);
    }
}
