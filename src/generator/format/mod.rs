//! How each provider writes what happened: one file a provider, modelled on its real payloads.
//!
//! Every function is pure: the same event gives the same bytes, so a copy of a delivery is rendered anew. Event keys
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
use super::text::{WriteText, put};
use super::world::{Action, EventView, KnownSince, Person, SecondAddress};

/// How a request carries its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
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
pub trait ProviderFormat: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether it reports such an event.
    fn supports(&self, action: Action, message: u32) -> bool;
    /// How requests carry events.
    fn body_format(&self) -> BodyFormat {
        BodyFormat::Single
    }
    /// Whether a second such thing would have the same event key.
    fn has_one_key(&self, _act: Action) -> bool {
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
    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>);
    /// The message id as the sender knows it.
    fn sender_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        self.message_id(v, out);
    }
    /// The event: an element of the array, or the whole body.
    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>);
    /// The event key, for the recipient that the event names (empty if none).
    fn key(&self, v: &EventView<'_>, recipient: &[u8], out: &mut Vec<u8>);
    /// When the payload says that it happened.
    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        Some(v.at)
    }
    /// The request's headers as a JSON object, as they are for the copy received then.
    fn headers(&self, v: &EventView<'_>, received_at: i64, out: &mut Vec<u8>);
    /// A body without events, if there is such a thing.
    fn control(&self, _number: u64, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// All formats, in the order of the indexes that the world uses.
pub static FORMATS: [&dyn ProviderFormat; 11] = [
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
pub fn of(provider: u8) -> &'static dyn ProviderFormat {
    FORMATS[usize::from(provider) % FORMATS.len()]
}

/// A browser, where a payload names one.
const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36";
/// The link that is clicked.
const LINK: &str = "https://www.example.com/offers?id=42";

/// Whom an event names.
#[derive(Clone, Copy)]
pub enum EventTarget<'a> {
    /// A recipient.
    Person(&'a Person),
    /// The archive.
    Archive,
    /// Nobody: the message has several recipients, and the event does not say which.
    Nobody,
}

/// Whom a event names: one event each.
pub fn targets<'a>(v: &EventView<'a>) -> [Option<EventTarget<'a>>; 2] {
    let person = Some(EventTarget::Person(v.person));
    let second = match v.second {
        Some(second) => Some(EventTarget::Person(second)),
        None => Some(EventTarget::Archive),
    };
    match (v.message.second_address, v.action) {
        (SecondAddress::No, _) => [person, None],
        (_, Action::Sent | Action::Failed) => [person, second],
        (SecondAddress::With(_), Action::Delivered) => [person, second],
        (_, Action::Opened | Action::Clicked) => [Some(EventTarget::Nobody), None],
        _ => [person, None],
    }
}

impl<'a> EventTarget<'a> {
    /// The address as events have it; nothing for nobody.
    pub fn address(&self, sms: bool, out: &mut Vec<u8>) {
        match self {
            EventTarget::Person(person) if sms => put!(out; "+", Phone(person)),
            EventTarget::Person(person) => Mail(person, Style::Event).put(out),
            EventTarget::Archive => ARCHIVE.put(out),
            EventTarget::Nobody => {}
        }
    }

    /// The recipient whose state row the event belongs to, once every snapshot is loaded.
    pub fn row(&self, v: &EventView<'a>) -> Option<&'a Person> {
        let person = match (self, v.message.second_address) {
            (EventTarget::Person(person), _) => Some(*person),
            (EventTarget::Nobody, SecondAddress::Archive) => Some(v.person),
            (EventTarget::Nobody | EventTarget::Archive, _) => None,
        };
        person.filter(|person| person.known != KnownSince::Never)
    }
}

/// The sender's ids as members of a JSON object: user and batch always, the recipient only where both are carried.
struct Ids<'a>(&'a EventView<'a>);

impl WriteText for Ids<'_> {
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
struct RecipientIds<'a>(&'a EventView<'a>);

impl WriteText for RecipientIds<'_> {
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
struct Tags<'a>(&'a EventView<'a>);

impl WriteText for Tags<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        match self.0.batch.number {
            Some(_) => put!(out; "\"monthly\",\"", BatchId(self.0.batch), "\""),
            None => put!(out; "\"transactional\""),
        }
    }
}
