//! From a planned copy to the request that carries it, and to the line of JSON that describes the request.

use bytes::Bytes;

use super::format::{self, BodyFormat};
use super::names::{BatchId, RecipientId};
use super::text::{Escaped, FormEncoded, put};
use super::time::Iso;
use super::world::{DeliveryContent, DeliveryPlan, World};
use crate::event::{Delivery, Headers, Millis, Origin, Provider, User};

/// The element that makes an array's one bad element.
pub const BAD_ELEMENT: &str = "17";

/// The parts of one request; the buffers are used again and again.
#[derive(Debug, Default)]
pub struct RenderedRequest {
    /// The URL that was called.
    pub url: Vec<u8>,
    /// The headers, a JSON object.
    pub headers: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    array: Vec<u8>,
}

/// Renders the request of a plan as it is for the copy received then; not for lines that are no delivery.
pub fn request(
    world: &World,
    plan: &DeliveryPlan,
    number: u32,
    received_at: i64,
    out: &mut RenderedRequest,
) {
    out.url.clear();
    out.headers.clear();
    out.body.clear();
    let format = format::of(plan.provider);
    put!(&mut out.url; "https://hooks.example.com/in/", format.name());
    match plan.content {
        DeliveryContent::Events { bad, .. } => events(world, plan, bad, received_at, out),
        DeliveryContent::Control => control(plan, number, out),
        DeliveryContent::BadBody | DeliveryContent::BadLine => bad_body(number, out),
    }
}

fn events(
    world: &World,
    plan: &DeliveryPlan,
    bad: Option<u16>,
    received_at: i64,
    out: &mut RenderedRequest,
) {
    let format = format::of(plan.provider);
    let mut views = world.views(plan);
    let Some(first) = views.next() else { return };
    format.headers(&first, received_at, &mut out.headers);
    if format.sms() && first.ids() {
        put!(&mut out.url; "?recipient_id=", RecipientId(first.person), "&batch_id=", BatchId(first.batch));
    }
    match format.body_format() {
        BodyFormat::Single | BodyFormat::Form => format.event(&first, &mut out.body),
        BodyFormat::Array => array(world, plan, bad, &mut out.body),
        BodyFormat::FormArray => {
            out.array.clear();
            array(world, plan, bad, &mut out.array);
            put!(&mut out.body; "mandrill_events=", FormEncoded(&out.array));
        }
    }
}

fn array(world: &World, plan: &DeliveryPlan, bad: Option<u16>, out: &mut Vec<u8>) {
    let format = format::of(plan.provider);
    let mut place = 0;
    out.push(b'[');
    for view in world.views(plan) {
        if bad == Some(place) {
            put!(out; BAD_ELEMENT, ",");
        }
        format.event(&view, out);
        out.push(b',');
        place += 1;
    }
    if bad == Some(place) {
        put!(out; BAD_ELEMENT, ",");
    }
    out.pop();
    out.push(b']');
}

/// A confirmation or ping.
fn control(plan: &DeliveryPlan, number: u32, out: &mut RenderedRequest) {
    let format = format::of(plan.provider);
    format.control(u64::from(number), &mut out.body);
    let form = format.body_format() == BodyFormat::FormArray;
    let content_type = if form {
        "application/x-www-form-urlencoded"
    } else {
        "application/json"
    };
    put!(&mut out.headers; "{\"content-type\":\"", content_type, "\"}");
}

/// Cut off in the middle, or whole but of no provider's shape.
fn bad_body(number: u32, out: &mut RenderedRequest) {
    put!(&mut out.headers; "{\"content-type\":\"application/json\"}");
    if cut_off(number) {
        put!(&mut out.body; "{\"cut\":\"", u64::from(number), "\",\"off\":\"in the mid");
    } else {
        put!(&mut out.body; u64::from(number));
    }
}

/// Whether a body that cannot be decoded is no JSON at all.
pub const fn cut_off(number: u32) -> bool {
    number.is_multiple_of(2)
}

/// Whether a line that is no delivery names an unknown provider.
pub const fn unknown_provider(number: u32) -> bool {
    number % 3 == 2
}

/// A line that is no delivery: cut off, without a provider, or with one that nobody knows.
pub fn bad_line(world: &World, plan: &DeliveryPlan, number: u32, out: &mut Vec<u8>) {
    let user = user_of(world, plan);
    match number % 3 {
        0 => {
            put!(out; "{\"provider\":\"ses\",\"user\":\"", user, "\",\"body\":\"cut off ", u64::from(number))
        }
        1 => {
            put!(out; "{\"user\":\"", user, "\",\"body\":\"from nobody ", u64::from(number), "\"}")
        }
        _ => {
            put!(out; "{\"provider\":\"carrierpigeon\",\"user\":\"", user, "\",\"body\":\"coo ", u64::from(number), "\"}")
        }
    }
}

/// The tenant of a plan.
pub fn user_of<'a>(world: &'a World, plan: &DeliveryPlan) -> &'a str {
    let batch = &world.batches[plan.batch as usize];
    &world.users[batch.user as usize]
}

/// The line of JSON that describes a copy, with its line end.
pub fn line(world: &World, copy: u32, request_buffer: &mut RenderedRequest, out: &mut Vec<u8>) {
    let copy = world.copies[copy as usize];
    let plan = &world.plans[copy.plan as usize];
    if plan.content == DeliveryContent::BadLine {
        bad_line(world, plan, copy.plan, out);
        out.push(b'\n');
        return;
    }
    request(world, plan, copy.plan, copy.received_at, request_buffer);
    put!(out;
        "{\"provider\":\"", format::of(plan.provider).name(),
        "\",\"user\":\"", user_of(world, plan),
        "\",\"method\":\"POST\",\"url\":\"", request_buffer.url.as_slice(),
        "\",\"received_at\":\"", Iso(copy.received_at),
        "\",\"headers\":", request_buffer.headers.as_slice(),
        ",\"body\":\"", Escaped(&request_buffer.body), "\"}\n");
}

/// The same as a delivery; none for a line that is no delivery.
pub fn delivery(
    world: &World,
    copy: u32,
    place: u64,
    buffer: &mut RenderedRequest,
) -> Option<Delivery> {
    let copy = world.copies[copy as usize];
    let plan = &world.plans[copy.plan as usize];
    if plan.content == DeliveryContent::BadLine {
        return None;
    }
    request(world, plan, copy.plan, copy.received_at, buffer);
    Some(Delivery {
        origin: Origin {
            partition: 0,
            offset: place,
        },
        provider: Provider::new(format::of(plan.provider).name()),
        user: User::new(user_of(world, plan)),
        method: "POST".into(),
        url: String::from_utf8_lossy(&buffer.url).into(),
        headers: Headers::from_json(Bytes::copy_from_slice(&buffer.headers)),
        body: Bytes::copy_from_slice(&buffer.body),
        received_at: Millis(copy.received_at),
    })
}
