//! How each provider writes what happened: one file a provider, modelled on its real payloads.
//!
//! Every function is pure: the same happening gives the same bytes, so a copy of a delivery is rendered anew. Event keys
//! and times are written here by the rules of the provider table in the documentation, with no help from the decoder,
//! so that the journal can judge it.

mod brevo;
mod mailersend;
mod mailgun;
mod mandrill;
mod postmark;
mod resend;
mod sendgrid;
mod ses;
mod ses_mail;
mod sparkpost;
mod twilio;
mod vonage;

use super::names::{ARCHIVE, BatchId, Mail, Phone, RecipientId, Style};
use super::text::{Piece, put};
use super::world::{Act, Known, Person, Shared, View};

/// How a request carries its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// One JSON value, one event (or one fan-out).
    Single,
    /// A JSON array of events.
    Array,
    /// A form field that holds a JSON array.
    FormArray,
    /// Form fields.
    Form,
}

/// A provider's way of writing.
pub trait Format: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether it tells of such a thing.
    fn tells(&self, act: Act, message: u32) -> bool;
    /// How requests carry events.
    fn carrier(&self) -> Carrier {
        Carrier::Single
    }
    /// Whether a second such thing would have the same event key.
    fn once(&self, _act: Act) -> bool {
        false
    }
    /// Whether it sends to phones.
    fn sms(&self) -> bool {
        false
    }
    /// How many recipients one API call, and so one message id of the sender, may have.
    fn recipients_a_call(&self) -> u64 {
        1
    }
    /// Whether every copy of an event bears the same time.
    fn time_fixed(&self) -> bool {
        true
    }
    /// Whether payloads can carry the sender's ids.
    fn carries_ids(&self) -> bool {
        true
    }
    /// The message id as events have it, without angle brackets.
    fn message_id(&self, v: &View<'_>, out: &mut Vec<u8>);
    /// The message id as the sender knows it.
    fn sender_id(&self, v: &View<'_>, out: &mut Vec<u8>) {
        self.message_id(v, out);
    }
    /// The event: an element of the array, or the whole body.
    fn event(&self, v: &View<'_>, out: &mut Vec<u8>);
    /// The event key, for the recipient that the event names (empty if none).
    fn key(&self, v: &View<'_>, recipient: &[u8], out: &mut Vec<u8>);
    /// When the payload says that it happened.
    fn occurred_at(&self, v: &View<'_>) -> Option<i64> {
        Some(v.at)
    }
    /// The request's headers as a JSON object, as they are for the copy received then.
    fn headers(&self, v: &View<'_>, received_at: i64, out: &mut Vec<u8>);
    /// A body without events, if there is such a thing.
    fn control(&self, _number: u64, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// All formats, in the order of the indexes that the world uses.
pub static FORMATS: [&dyn Format; 11] = [
    &ses::Ses,
    &sendgrid::SendGrid,
    &mailgun::Mailgun,
    &postmark::Postmark,
    &resend::Resend,
    &sparkpost::SparkPost,
    &mandrill::Mandrill,
    &brevo::Brevo,
    &mailersend::MailerSend,
    &twilio::Twilio,
    &vonage::Vonage,
];

/// The format of a provider index.
pub fn of(provider: u8) -> &'static dyn Format {
    FORMATS[usize::from(provider) % FORMATS.len()]
}

/// A browser, where a payload names one.
const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36";
/// The link that is clicked.
const LINK: &str = "https://www.example.com/offers?id=42";

/// Whom an event names.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A recipient.
    Person(&'a Person),
    /// The archive.
    Archive,
    /// Nobody: the message has several recipients, and the event does not say which.
    Nobody,
}

/// Whom a happening names: one event each.
pub fn targets<'a>(v: &View<'a>) -> [Option<Target<'a>>; 2] {
    let person = Some(Target::Person(v.person));
    let second = match v.second {
        Some(second) => Some(Target::Person(second)),
        None => Some(Target::Archive),
    };
    match (v.message.shared, v.act) {
        (Shared::No, _) => [person, None],
        (_, Act::Sent | Act::Failed) => [person, second],
        (Shared::With(_), Act::Delivered) => [person, second],
        (_, Act::Opened | Act::Clicked) => [Some(Target::Nobody), None],
        _ => [person, None],
    }
}

impl<'a> Target<'a> {
    /// The address as events have it; nothing for nobody.
    pub fn address(&self, sms: bool, out: &mut Vec<u8>) {
        match self {
            Target::Person(person) if sms => put!(out; "+", Phone(person)),
            Target::Person(person) => Mail(person, Style::Event).put(out),
            Target::Archive => ARCHIVE.put(out),
            Target::Nobody => {}
        }
    }

    /// The recipient whose state row the event belongs to, once every snapshot is loaded.
    pub fn row(&self, v: &View<'a>) -> Option<&'a Person> {
        let person = match (self, v.message.shared) {
            (Target::Person(person), _) => Some(*person),
            (Target::Nobody, Shared::Archive) => Some(v.person),
            (Target::Nobody | Target::Archive, _) => None,
        };
        person.filter(|person| person.known != Known::Never)
    }
}

/// The sender's ids as members of a JSON object: user and batch always, the recipient only where both are carried.
struct Ids<'a>(&'a View<'a>);

impl Piece for Ids<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let v = self.0;
        put!(out; "\"user_id\":\"", v.user, "\"");
        if v.batch.number.is_some() {
            put!(out; ",\"batch_id\":\"", BatchId(v.batch), "\"");
        }
        if v.ids() {
            put!(out; ",\"recipient_id\":\"", RecipientId(v.person), "\"");
        }
    }
}

/// The same the other way round: the recipient always, the batch only where both are carried.
struct RecipientIds<'a>(&'a View<'a>);

impl Piece for RecipientIds<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let v = self.0;
        put!(out; "\"user_id\":\"", v.user, "\"");
        if v.ids() {
            put!(out; ",\"recipient_id\":\"", RecipientId(v.person), "\",\"batch_id\":\"", BatchId(v.batch), "\"");
        } else {
            put!(out; ",\"recipient_id\":", v.person.number);
        }
    }
}

/// The tags of a message as members of a JSON array.
struct Tags<'a>(&'a View<'a>);

impl Piece for Tags<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        match self.0.batch.number {
            Some(_) => put!(out; "\"monthly\",\"", BatchId(self.0.batch), "\""),
            None => put!(out; "\"transactional\""),
        }
    }
}
