//! The dead letter of a record that kills the process (see [`crate::quarantine`]): its bytes are kept and not read.

use sha2::{Digest, Sha256};

use crate::event::{Delivery, Reason, ReasonCode, Reject, Stage};
use crate::quarantine::{ALONE, NAMED};
use crate::source::{EnvelopeDefaults, Record, envelope, message};

/// The dead letter. Of a line neither the provider nor the tenant is known.
pub fn dead_letter(record: &Record, defaults: &EnvelopeDefaults) -> Reject {
    let text = format!(
        "the process died at least {NAMED} times over this record, at least {ALONE} times while it decoded nothing else"
    );
    let reason = Reason::new(ReasonCode::Poison, text);
    tracing::error!(delivery = %record.origin(), "a record that kills the process becomes a dead letter");
    match record {
        Record::Line(origin, line) => *envelope::dead_letter(*origin, line, reason),
        Record::Message(message) => *message::dead_letter(message, defaults, reason),
        Record::Ready(delivery) => of_delivery(delivery, reason),
    }
}

fn of_delivery(delivery: &Delivery, reason: Reason) -> Reject {
    Reject {
        origin: delivery.origin,
        provider: delivery.provider.clone(),
        user: delivery.user.clone(),
        stage: Stage::Source,
        index: 0,
        reason,
        raw: delivery.body.clone(),
        body_sha256: Sha256::digest(&delivery.body).into(),
        headers: delivery.headers.clone(),
        received_at: delivery.received_at,
    }
}
