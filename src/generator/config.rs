//! What a generated world is made of.

/// The config of a world. The same config give the same bytes on every machine.
///
/// Shares are between 0 and 1. The defaults are those of the sample in the README.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorConfig {
    /// Chooses one world out of many.
    pub seed: u64,
    /// At least so many deliveries, copies included (whole batches are made, so a few more).
    pub deliveries: u64,
    /// How many tenants there are: each gets one small batch first, then their shares fall like 1/n (Zipf).
    pub users: u32,
    /// The numbers of batches begin after this one; worlds that follow each other share none.
    pub batches_before: u32,
    /// Fewest recipients of a batch.
    pub batch_recipients_min: u32,
    /// Most recipients of a batch; sizes are spread evenly over the powers of two between.
    pub batch_recipients_max: u32,
    /// Provider name and weight; a name that is unknown is left out.
    pub providers: Vec<(String, u32)>,
    /// When the first batch is sent, in milliseconds since 1970.
    pub start_ms: i64,
    /// Over how long batches start.
    pub span_ms: i64,
    /// Deliveries sent twice within two minutes.
    pub duplicates: f64,
    /// Deliveries sent again by the provider's retry, minutes to hours later.
    pub retries: f64,
    /// A delivery may move so far from its place in the order of arrival.
    pub disorder_ms: i64,
    /// Deliveries that arrive hours after what they report.
    pub late_events: f64,
    /// Recipients that are in no snapshot ever.
    pub unknown_recipients: f64,
    /// Recipients that are only in the second snapshot.
    pub late_recipients: f64,
    /// Recipients whose payloads carry recipient and batch id; at most 0.5 is used.
    pub payload_ids: f64,
    /// Recipients of transactional mail: state, but no batch.
    pub transactional: f64,
    /// Recipients that get a second message, maybe through another provider.
    pub second_messages: f64,
    /// SES messages with a second address in their destination, whose opens name no recipient.
    pub shared_messages: f64,
    /// Extra deliveries with a body that cannot be decoded, as a share of all.
    pub malformed_bodies: f64,
    /// Extra lines that are no delivery.
    pub malformed_lines: f64,
    /// Arrays in which one more element, a bad one, is put.
    pub bad_elements: f64,
    /// Extra deliveries without events: confirmations and pings.
    pub control_messages: f64,
    /// Batches that have a row in `batches`; one whose snapshot is not whole at first has one in any case.
    pub sealed_batches: f64,
    /// Batches with such a row that also have a deadline.
    pub deadlines: f64,
    /// Most events in one request of a provider that batches them; 1 for one event a message of a broker.
    pub array_events_max: u64,
    /// What happens to messages.
    pub rates: Rates,
}

/// How often things happen to a message; each a share of the messages that get so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Deferred before anything else.
    pub deferred: f64,
    /// Bounced hard.
    pub bounced_hard: f64,
    /// Bounced soft.
    pub bounced_soft: f64,
    /// Dropped by the provider.
    pub dropped: f64,
    /// Failed.
    pub failed: f64,
    /// No event follows after it was sent.
    pub silent: f64,
    /// Of the delivered: opened.
    pub opened: f64,
    /// Of the delivered: opened by a machine that the provider names as one.
    pub machine_opened: f64,
    /// Of the opened: clicked.
    pub clicked: f64,
    /// Of the delivered: complained.
    pub complained: f64,
    /// Of the delivered: unsubscribed.
    pub unsubscribed: f64,
    /// Of the delivered: bounced afterwards.
    pub bounced_late: f64,
    /// An event of a kind that counts for nothing.
    pub other: f64,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            seed: 42,
            deliveries: 100_000,
            users: 1_000,
            batches_before: 0,
            batch_recipients_min: 4,
            batch_recipients_max: 1_024,
            providers: usual_providers(),
            start_ms: 1_772_460_000_000,
            span_ms: 6 * 3_600_000,
            duplicates: 0.05,
            retries: 0.02,
            disorder_ms: 30_000,
            late_events: 0.01,
            unknown_recipients: 0.01,
            late_recipients: 0.03,
            payload_ids: 0.35,
            transactional: 0.1,
            second_messages: 0.02,
            shared_messages: 0.04,
            malformed_bodies: 0.001,
            malformed_lines: 0.0005,
            bad_elements: 0.005,
            control_messages: 0.000_5,
            sealed_batches: 0.4,
            deadlines: 0.2,
            array_events_max: 8,
            rates: Rates::default(),
        }
    }
}

fn usual_providers() -> Vec<(String, u32)> {
    let weights = [
        ("ses", 20),
        ("sendgrid", 20),
        ("mailgun", 10),
        ("postmark", 8),
        ("resend", 8),
        ("sparkpost", 8),
        ("mandrill", 6),
        ("brevo", 6),
        ("mailersend", 5),
        ("twilio", 5),
        ("vonage", 4),
    ];
    weights
        .map(|(name, weight)| (name.to_owned(), weight))
        .into()
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            deferred: 0.05,
            bounced_hard: 0.03,
            bounced_soft: 0.025,
            dropped: 0.015,
            failed: 0.005,
            silent: 0.01,
            opened: 0.35,
            machine_opened: 0.08,
            clicked: 0.25,
            complained: 0.003,
            unsubscribed: 0.006,
            bounced_late: 0.002,
            other: 0.01,
        }
    }
}
