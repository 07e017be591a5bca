//! The journal: what is true of a generated world, as JSON lines, so that an oracle can fold it without a decoder.
//!
//! Every line is an object with a `type`:
//!
//! | type | members |
//! |---|---|
//! | `event` | one logical event: `provider`, `user`, `kind`, `bounce_class` (or null), `machine`, `message_id` (normalised), `event_key`, `recipient` (or null), `occurred_at` (RFC 3339 with milliseconds, or null), `time_fixed`, `row` (`{"batch_id", "recipient_id"}`: the state row it belongs to once every snapshot is loaded, or null), `late` (that row is only in the second snapshot), `copies` (the `received_at` of each copy, in no order) |
//! | `reject` | one expected dead letter: `provider` and `user` (empty if the line did not tell), `stage`, `index`, `reason` (the code), `sha256` (of the whole body, or of the line without its end), `copies` |
//! | `row` | one state row: `user`, `batch_id` (empty: transactional), `recipient_id`, `late` |
//! | `batch` | one batch: `user`, `batch_id`, `rows` (distinct state rows of the first snapshot), `late_rows` (more in the second), `total` (of its row in `batches`, or null), `deadline` (or null) |
//! | `totals` | last line: `deliveries` (lines), `events`, `rejects`, `control` (lines without events), `rows`, `batches` |
//!
//! `kind`, `bounce_class`, `stage` and `reason` use the names of the public enums. Copies of a `reject` of stage `source`
//! list when the line would have been received: such lines carry no time themselves.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::format::{self, Target, targets};
use super::names::{BatchId, RecipientId};
use super::render::{self, Request};
use super::rows::row_counts;
use super::text::{Piece, put};
use super::time::Iso;
use super::world::{Act, Content, Known, Shipment, View, World};
use crate::event::{Kind, ReasonCode, Stage};

/// What the last line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
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
pub fn write(world: &World, file: &mut impl Write) -> io::Result<Totals> {
    let mut totals = Totals {
        deliveries: world.copies.len() as u64,
        ..Totals::default()
    };
    let mut text = Vec::with_capacity(1 << 16);
    let mut request = Request::default();
    for (number, shipment) in (0..).zip(&world.shipments) {
        shipment_lines(
            world,
            shipment,
            number,
            &mut request,
            &mut totals,
            &mut text,
        );
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

fn shipment_lines(
    world: &World,
    shipment: &Shipment,
    number: u32,
    request: &mut Request,
    totals: &mut Totals,
    out: &mut Vec<u8>,
) {
    for view in world.views(shipment) {
        for target in targets(&view).into_iter().flatten() {
            event(world, shipment, &view, target, out);
            totals.events += 1;
        }
    }
    match shipment.content {
        Content::Control => totals.control += u64::from(shipment.copy_count),
        Content::Events { bad: None, .. } => {}
        _ => {
            reject(world, shipment, number, request, out);
            totals.rejects += 1;
        }
    }
}

const fn kind(act: Act) -> Kind {
    match act {
        Act::Sent => Kind::Sent,
        Act::Deferred => Kind::Deferred,
        Act::Delivered => Kind::Delivered,
        Act::Opened | Act::MachineOpened => Kind::Opened,
        Act::Clicked => Kind::Clicked,
        Act::BouncedHard | Act::BouncedSoft => Kind::Bounced,
        Act::Dropped => Kind::Dropped,
        Act::Complained => Kind::Complained,
        Act::Unsubscribed => Kind::Unsubscribed,
        Act::Failed => Kind::Failed,
        Act::Other => Kind::Other,
    }
}

const fn bounce_class(act: Act) -> &'static str {
    match act {
        Act::BouncedHard => "\"hard\"",
        Act::BouncedSoft => "\"soft\"",
        _ => "null",
    }
}

const fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn event(world: &World, shipment: &Shipment, v: &View<'_>, target: Target<'_>, out: &mut Vec<u8>) {
    let format = format::of(shipment.provider);
    let mut address = Vec::with_capacity(48);
    target.address(format.sms(), &mut address);
    put!(out; "{\"type\":\"event\",\"provider\":\"", format.name(), "\",\"user\":\"", v.user,
        "\",\"kind\":\"", kind(v.act).name(), "\",\"bounce_class\":", bounce_class(v.act),
        ",\"machine\":", boolean(v.act == Act::MachineOpened), ",\"message_id\":\"");
    format.message_id(v, out);
    put!(out; "\",\"event_key\":\"");
    format.key(v, &address, out);
    match address.is_empty() {
        true => put!(out; "\",\"recipient\":null"),
        false => put!(out; "\",\"recipient\":\"", address.as_slice(), "\""),
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
    let late = row.is_some_and(|person| person.known == Known::Late);
    put!(out; ",\"late\":", boolean(late));
    copies(world, shipment, out);
}

/// The copies, and the end of the line.
fn copies(world: &World, shipment: &Shipment, out: &mut Vec<u8>) {
    put!(out; ",\"copies\":[");
    for (at, copy) in world.copies_of(shipment).iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        put!(out; comma, "\"", Iso(copy.received_at), "\"");
    }
    put!(out; "]}\n");
}

fn reject(
    world: &World,
    shipment: &Shipment,
    number: u32,
    request: &mut Request,
    out: &mut Vec<u8>,
) {
    let (stage, index, code) = expected(shipment, number);
    let mut line = Vec::new();
    let known = stage == Stage::Decode;
    let hash = if known {
        render::request(world, shipment, number, 0, request);
        Sha256::digest(&request.body)
    } else {
        render::bad_line(world, shipment, number, &mut line);
        Sha256::digest(&line)
    };
    let (provider, user) = match known {
        true => (
            format::of(shipment.provider).name(),
            render::user_of(world, shipment),
        ),
        false => ("", ""),
    };
    put!(out; "{\"type\":\"reject\",\"provider\":\"", provider, "\",\"user\":\"", user, "\",\"stage\":\"", stage.name(),
        "\",\"index\":", index, ",\"reason\":\"", code.name(), "\",\"sha256\":\"");
    for byte in hash {
        out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
    }
    put!(out; "\"");
    copies(world, shipment, out);
}

fn expected(shipment: &Shipment, number: u32) -> (Stage, u64, ReasonCode) {
    match shipment.content {
        Content::Events { bad, .. } => (
            Stage::Decode,
            u64::from(bad.unwrap_or(0)),
            ReasonCode::BadShape,
        ),
        Content::BadLine if render::unknown_provider(number) => {
            (Stage::Source, 0, ReasonCode::UnknownProvider)
        }
        Content::BadLine => (Stage::Source, 0, ReasonCode::BadDelivery),
        _ if render::cut_off(number) => (Stage::Decode, 0, ReasonCode::BadSyntax),
        _ => (Stage::Decode, 0, ReasonCode::BadShape),
    }
}

fn rows(world: &World, totals: &mut Totals, out: &mut Vec<u8>) {
    for person in &world.people {
        if person.known == Known::Never {
            continue;
        }
        let batch = &world.batches[person.batch as usize];
        let user = world.users[batch.user as usize].as_str();
        put!(out; "{\"type\":\"row\",\"user\":\"", user, "\",\"batch_id\":\"", BatchId(batch), "\",\"recipient_id\":\"", RecipientId(person), "\",\"late\":", boolean(person.known == Known::Late), "}\n");
        totals.rows += 1;
    }
}

fn batches(world: &World, totals: &mut Totals, out: &mut Vec<u8>) {
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

fn last_line(totals: &Totals, out: &mut Vec<u8>) {
    put!(out; "{\"type\":\"totals\",\"deliveries\":", totals.deliveries, ",\"events\":", totals.events, ",\"rejects\":", totals.rejects,
        ",\"control\":", totals.control, ",\"rows\":", totals.rows, ",\"batches\":", totals.batches, "}\n");
}
