//! The journal: what is true of a generated world, as JSON lines, so that an oracle can fold it without a decoder.
//!
//! Every line is an object with a `type`:
//!
//! | type | members |
//! |---|---|
//! | `event` | one logical event: `provider`, `user`, `kind`, `bounce_class` (or null), `machine`, `message_id` (normalised), `event_key`, `recipient` (or null), `occurred_at` (RFC 3339 with milliseconds, or null), `time_fixed`, `row` (`{"batch_id", "recipient_id"}`: the state row it belongs to once every snapshot is loaded, or null), `late` (that row is only in the second snapshot), `copies` (the `received_at` of each copy, in no order) |
//! | `reject` | one expected dead letter: `provider` and `user` (empty if the line names none), `stage`, `index`, `reason` (the code), `sha256` (of the whole body, or of the line without its end), `copies` |
//! | `row` | one state row: `user`, `batch_id` (empty: transactional), `recipient_id`, `late` |
//! | `batch` | one batch: `user`, `batch_id`, `rows` (distinct state rows of the first snapshot), `late_rows` (more in the second), `total` (of its row in `batches`, or null), `deadline` (or null) |
//! | `totals` | last line: `deliveries` (lines), `events`, `rejects`, `control` (lines without events), `rows`, `batches` |
//!
//! `kind`, `bounce_class`, `stage` and `reason` use the names of the public enums. Copies of a `reject` of stage `source`
//! list when the line would have been received: such lines carry no time themselves.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::format::{self, EventTarget, targets};
use super::names::{BatchId, RecipientId};
use super::render::{self, RenderedRequest};
use super::rows::row_counts;
use super::text::{WriteText, put};
use super::time::Iso;
use super::world::{Action, DeliveryContent, DeliveryPlan, EventView, KnownSince, World};
use crate::event::{Kind, ReasonCode, Stage};

/// What the last line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTotals {
    /// Lines, copies included.
    pub deliveries: u64,
    /// Logical events.
    pub events: u64,
    /// Dead letters expected.
    pub rejects: u64,
    /// Lines without events, copies included.
    pub control: u64,
    /// State rows.
    pub rows: u64,
    /// Batches (transactional mail is none).
    pub batches: u64,
}

/// Writes the whole journal.
pub fn write(world: &World, file: &mut impl Write) -> io::Result<JournalTotals> {
    let mut totals = JournalTotals {
        deliveries: world.copies.len() as u64,
        ..JournalTotals::default()
    };
    let mut text = Vec::with_capacity(1 << 16);
    let mut request = RenderedRequest::default();
    for (number, plan) in (0..).zip(&world.plans) {
        plan_lines(world, plan, number, &mut request, &mut totals, &mut text);
        if text.len() > 1 << 15 {
            file.write_all(&text)?;
            text.clear();
        }
    }
    rows(world, &mut totals, &mut text);
    batches(world, &mut totals, &mut text);
    last_line(&totals, &mut text);
    file.write_all(&text)?;
    Ok(totals)
}

fn plan_lines(
    world: &World,
    plan: &DeliveryPlan,
    number: u32,
    request: &mut RenderedRequest,
    totals: &mut JournalTotals,
    out: &mut Vec<u8>,
) {
    for view in world.views(plan) {
        for target in targets(&view).into_iter().flatten() {
            event(world, plan, &view, target, out);
            totals.events += 1;
        }
    }
    match plan.content {
        DeliveryContent::Control => totals.control += u64::from(plan.copy_count),
        DeliveryContent::Events { bad: None, .. } => {}
        _ => {
            reject(world, plan, number, request, out);
            totals.rejects += 1;
        }
    }
}

const fn kind(action: Action) -> Kind {
    match action {
        Action::Sent => Kind::Sent,
        Action::Deferred => Kind::Deferred,
        Action::Delivered => Kind::Delivered,
        Action::Opened | Action::MachineOpened => Kind::Opened,
        Action::Clicked => Kind::Clicked,
        Action::BouncedHard | Action::BouncedSoft => Kind::Bounced,
        Action::Dropped => Kind::Dropped,
        Action::Complained => Kind::Complained,
        Action::Unsubscribed => Kind::Unsubscribed,
        Action::Failed => Kind::Failed,
        Action::Other => Kind::Other,
    }
}

const fn bounce_class(action: Action) -> &'static str {
    match action {
        Action::BouncedHard => "\"hard\"",
        Action::BouncedSoft => "\"soft\"",
        _ => "null",
    }
}

const fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn event(
    world: &World,
    plan: &DeliveryPlan,
    v: &EventView<'_>,
    target: EventTarget<'_>,
    out: &mut Vec<u8>,
) {
    let format = format::of(plan.provider);
    let mut address = Vec::with_capacity(48);
    target.address(format.sms(), &mut address);
    put!(out; "{\"type\":\"event\",\"provider\":\"", format.name(), "\",\"user\":\"", v.user,
        "\",\"kind\":\"", kind(v.action).name(), "\",\"bounce_class\":", bounce_class(v.action),
        ",\"machine\":", boolean(v.action == Action::MachineOpened), ",\"message_id\":\"");
    format.message_id(v, out);
    put!(out; "\",\"event_key\":\"");
    format.key(v, &address, out);
    if address.is_empty() {
        put!(out; "\",\"recipient\":null")
    } else {
        put!(out; "\",\"recipient\":\"", address.as_slice(), "\"")
    }
    match format.occurred_at(v) {
        Some(at) => put!(out; ",\"occurred_at\":\"", Iso(at), "\""),
        None => put!(out; ",\"occurred_at\":null"),
    }
    put!(out; ",\"time_fixed\":", boolean(format.time_fixed()));
    let row = target.row(v);
    match row {
        Some(person) => {
            put!(out; ",\"row\":{\"batch_id\":\"", BatchId(v.batch), "\",\"recipient_id\":\"", RecipientId(person), "\"}")
        }
        None => put!(out; ",\"row\":null"),
    }
    let late = row.is_some_and(|person| person.known == KnownSince::Late);
    put!(out; ",\"late\":", boolean(late));
    copies(world, plan, out);
}

/// The copies, and the end of the line.
fn copies(world: &World, plan: &DeliveryPlan, out: &mut Vec<u8>) {
    put!(out; ",\"copies\":[");
    for (at, copy) in world.copies_of(plan).iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        put!(out; comma, "\"", Iso(copy.received_at), "\"");
    }
    put!(out; "]}\n");
}

fn reject(
    world: &World,
    plan: &DeliveryPlan,
    number: u32,
    request: &mut RenderedRequest,
    out: &mut Vec<u8>,
) {
    let (stage, index, code) = expected(plan, number);
    let mut line = Vec::new();
    let known = stage == Stage::Decode;
    let hash = if known {
        render::request(world, plan, number, 0, request);
        Sha256::digest(&request.body)
    } else {
        render::bad_line(world, plan, number, &mut line);
        Sha256::digest(&line)
    };
    let (provider, user) = if known {
        (
            format::of(plan.provider).name(),
            render::user_of(world, plan),
        )
    } else {
        ("", "")
    };
    put!(out; "{\"type\":\"reject\",\"provider\":\"", provider, "\",\"user\":\"", user, "\",\"stage\":\"", stage.name(),
        "\",\"index\":", index, ",\"reason\":\"", code.name(), "\",\"sha256\":\"");
    for byte in hash {
        out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
    }
    put!(out; "\"");
    copies(world, plan, out);
}

fn expected(plan: &DeliveryPlan, number: u32) -> (Stage, u64, ReasonCode) {
    match plan.content {
        DeliveryContent::Events { bad, .. } => (
            Stage::Decode,
            u64::from(bad.unwrap_or(0)),
            ReasonCode::BadShape,
        ),
        DeliveryContent::BadLine if render::unknown_provider(number) => {
            (Stage::Source, 0, ReasonCode::UnknownProvider)
        }
        DeliveryContent::BadLine => (Stage::Source, 0, ReasonCode::BadDelivery),
        _ if render::cut_off(number) => (Stage::Decode, 0, ReasonCode::BadSyntax),
        _ => (Stage::Decode, 0, ReasonCode::BadShape),
    }
}

fn rows(world: &World, totals: &mut JournalTotals, out: &mut Vec<u8>) {
    for person in &world.people {
        if person.known == KnownSince::Never {
            continue;
        }
        let batch = &world.batches[person.batch as usize];
        let user = world.users[batch.user as usize].as_str();
        put!(out; "{\"type\":\"row\",\"user\":\"", user, "\",\"batch_id\":\"", BatchId(batch), "\",\"recipient_id\":\"", RecipientId(person), "\",\"late\":", boolean(person.known == KnownSince::Late), "}\n");
        totals.rows += 1;
    }
}

fn batches(world: &World, totals: &mut JournalTotals, out: &mut Vec<u8>) {
    for batch in world.batches.iter().filter(|batch| batch.number.is_some()) {
        let (early, late) = row_counts(world, batch);
        let user = world.users[batch.user as usize].as_str();
        put!(out; "{\"type\":\"batch\",\"user\":\"", user, "\",\"batch_id\":\"", BatchId(batch), "\",\"rows\":", early, ",\"late_rows\":", late, ",\"total\":");
        match batch.given {
            Some(_) => (early + late).put(out),
            None => put!(out; "null"),
        }
        match batch.given.flatten() {
            Some(at) => put!(out; ",\"deadline\":\"", Iso(at), "\"}\n"),
            None => put!(out; ",\"deadline\":null}\n"),
        }
        totals.batches += 1;
    }
}

fn last_line(totals: &JournalTotals, out: &mut Vec<u8>) {
    put!(out; "{\"type\":\"totals\",\"deliveries\":", totals.deliveries, ",\"events\":", totals.events, ",\"rejects\":", totals.rejects,
        ",\"control\":", totals.control, ",\"rows\":", totals.rows, ",\"batches\":", totals.batches, "}\n");
}
