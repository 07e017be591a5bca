//! The sender's side of a world: recipient rows for the snapshots, and rows of `batches`.
//!
//! Rows of one message follow each other. Message ids are written as the sender knows them: SendGrid's mostly in the
//! short form, Brevo's and some of Mailgun's in angle brackets.

use super::format;
use super::names::{BatchId, Mail, Phone, RecipientId, Style};
use super::text::{WriteText, put};
use super::time::Iso;
use super::world::{EventView, KnownSince, Person, PlannedBatch, World};
use crate::event::{Millis, User};
use crate::recipient::BatchRow;

/// A row of a recipient snapshot, as a file or table of the sender would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The provider's name.
    pub provider: String,
    /// The message id as the sender knows it.
    pub message_id: String,
    /// The address, lower case, or the phone number with its plus sign.
    pub recipient: String,
    /// The tenant.
    pub user_id: String,
    /// The batch; empty for transactional mail.
    pub batch_id: String,
    /// The recipient within the batch.
    pub recipient_id: String,
    /// When it was sent, RFC 3339.
    pub sent_at: String,
}

/// What the sender knows at one moment.
#[derive(Clone, Debug)]
pub struct SenderTables {
    /// Recipients.
    pub recipients: Vec<SnapshotRow>,
    /// The `batches` rows.
    pub batches: Vec<BatchRow>,
    /// All that is known of a world before its first delivery, and not a part that comes later.
    pub is_whole: bool,
}

impl SenderTables {
    /// The first snapshot of a world, and its batches.
    pub fn whole(world: &World) -> Self {
        Self {
            recipients: rows(world, KnownSince::Early),
            batches: world
                .batches
                .iter()
                .filter_map(|batch| batch_row(world, batch))
                .collect(),
            is_whole: true,
        }
    }

    /// The rows of one snapshot.
    pub fn part(world: &World, known: KnownSince) -> Self {
        Self {
            recipients: rows(world, known),
            batches: Vec::new(),
            is_whole: false,
        }
    }
}

/// Calls back for every row of one snapshot: a message, and one of its recipients.
pub fn each_row(world: &World, known: KnownSince, mut row: impl FnMut(&EventView<'_>, &Person)) {
    for number in 0..world.messages.len() as u32 {
        let view = world.message_view(number);
        for person in [Some(view.person), view.second].into_iter().flatten() {
            if person.known == known {
                row(&view, person);
            }
        }
    }
}

fn text(piece: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    piece(&mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

fn address(v: &EventView<'_>, person: &Person, out: &mut Vec<u8>) {
    if format::of(v.message.provider).sms() {
        put!(out; "+", Phone(person));
    } else {
        Mail(person, Style::Sender).put(out);
    }
}

/// The rows of one snapshot.
pub fn rows(world: &World, known: KnownSince) -> Vec<SnapshotRow> {
    let mut rows = Vec::new();
    each_row(world, known, |v, person| {
        let format = format::of(v.message.provider);
        rows.push(SnapshotRow {
            provider: format.name().into(),
            message_id: text(|out| format.sender_id(v, out)),
            recipient: text(|out| address(v, person, out)),
            user_id: v.user.into(),
            batch_id: text(|out| BatchId(v.batch).put(out)),
            recipient_id: text(|out| RecipientId(person).put(out)),
            sent_at: text(|out| Iso(v.message.sent_at).put(out)),
        });
    });
    rows
}

/// What stands before, between and after the fields of a row.
pub struct Layout([&'static str; 8]);

/// One JSON object a line.
pub const JSONL: Layout = Layout([
    "{\"provider\":\"",
    "\",\"message_id\":\"",
    "\",\"recipient\":\"",
    "\",\"user_id\":\"",
    "\",\"batch_id\":\"",
    "\",\"recipient_id\":\"",
    "\",\"sent_at\":\"",
    "\"}\n",
]);

/// Comma-separated values; no field holds a comma or a quote.
pub const CSV: Layout = Layout(["", ",", ",", ",", ",", ",", ",", "\n"]);

/// The header line of [`CSV`].
pub const CSV_HEADER: &str =
    "provider,message_id,recipient,user_id,batch_id,recipient_id,sent_at\n";

/// Writes one row.
pub fn write_row(v: &EventView<'_>, person: &Person, layout: &Layout, out: &mut Vec<u8>) {
    let Layout([a, b, c, d, e, f, g, h]) = *layout;
    let format = format::of(v.message.provider);
    put!(out; a, format.name(), b);
    format.sender_id(v, out);
    put!(out; c);
    address(v, person, out);
    put!(out; d, v.user, e, BatchId(v.batch), f, RecipientId(person), g, Iso(v.message.sent_at), h);
}

/// How many state rows a batch has in the first snapshot, and how many more in the second.
pub fn row_counts(world: &World, batch: &PlannedBatch) -> (u64, u64) {
    let people = &world.people[batch.people.start as usize..batch.people.end as usize];
    let count = |known| people.iter().filter(|person| person.known == known).count() as u64;
    (count(KnownSince::Early), count(KnownSince::Late))
}

/// The row of `batches`, if the batch has one: its total counts both snapshots.
fn batch_row(world: &World, batch: &PlannedBatch) -> Option<BatchRow> {
    let deadline = batch.given?;
    let (early, late) = row_counts(world, batch);
    Some(BatchRow {
        id: text(|out| BatchId(batch).put(out)),
        user: User::new(&world.users[batch.user as usize]),
        total: Some(early + late),
        sealed_at: Some(Millis(batch.starts + SEALED_AFTER)),
        deadline: deadline.map(Millis),
    })
}

/// When the sender knows how large a batch is.
const SEALED_AFTER: i64 = 60_000;

/// Writes a row of `batches`, if the batch has one: its total counts both snapshots.
pub fn write_batch(world: &World, batch: &PlannedBatch, out: &mut Vec<u8>) {
    let Some(deadline) = batch.given else { return };
    let (early, late) = row_counts(world, batch);
    let user = world.users[batch.user as usize].as_str();
    put!(out; "{\"id\":\"", BatchId(batch), "\",\"user\":\"", user, "\",\"total\":", early + late,
        ",\"sealed_at\":\"", Iso(batch.starts + SEALED_AFTER), "\",\"deadline\":");
    match deadline {
        Some(at) => put!(out; "\"", Iso(at), "\"}\n"),
        None => put!(out; "null}\n"),
    }
}
