//! `decode`: the events of one body, without any store.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{Common, DecodeArgs};
use super::environment::{Environment, load};
use super::files;
use super::output::Output;
use crate::decode::{self, Decoded};
use crate::error::{Exit, Fatal};
use crate::event::{BounceClass, Delivery, Event, Headers, Millis, Provider, Reject};

/// Prints the events and rejects of a body as JSON.
pub fn decode(
    common: &Common,
    args: &DecodeArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    let mut delivery = Delivery {
        provider: Provider::new(args.provider.to_ascii_lowercase()),
        user: plan.default_user.clone(),
        method: "POST".into(),
        body: files::read(&args.body)?.into(),
        received_at: Millis::now(),
        ..Delivery::default()
    };
    if let Some(path) = &args.request {
        read_request(path, &args.body, &mut delivery)?;
    }
    let mut decoded = Decoded::default();
    decode::decode(&Arc::new(delivery), &plan.decode_options(), &mut decoded);
    let events: Vec<Value> = decoded.events.iter().map(event).collect();
    let rejects: Vec<Value> = decoded.rejects.iter().map(reject).collect();
    let nothing_good = events.is_empty() && !rejects.is_empty();
    let report = json!({
        "control": events.is_empty() && rejects.is_empty(),
        "events": events,
        "rejects": rejects,
    });
    output.print(&format!("{report:#}\n"))?;
    Ok(if nothing_good {
        Exit::Input
    } else {
        Exit::Done
    })
}

/// Takes method, URL and headers from a file: one request, or a map from file names to requests.
fn read_request(path: &Path, body: &Path, delivery: &mut Delivery) -> Result<(), Fatal> {
    let unreadable = |why: String| {
        let message = format!("{}: {why}", path.display());
        Fatal::new(Exit::Input, message)
    };
    let requests: Value = serde_json::from_slice(&files::read(path)?)
        .map_err(|error| unreadable(format!("this is not JSON: {error}")))?;
    let name = body.file_name().and_then(|name| name.to_str());
    let request = match name.and_then(|name| requests.get(name)) {
        Some(request) => request,
        None if requests.get("headers").is_some() => &requests,
        None => return Err(unreadable("it describes no request for this body".into())),
    };
    if let Some(method) = request["method"].as_str() {
        delivery.method = method.into();
    }
    if let Some(url) = request["url"].as_str() {
        delivery.url = url.into();
    }
    let headers = request["headers"].as_object();
    let pairs = headers.into_iter().flatten();
    delivery.headers = Headers::from_pairs(
        pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))),
    );
    Ok(())
}

fn event(event: &Event) -> Value {
    json!({
        "identity": event.identity.to_string(),
        "provider": event.delivery.provider.as_str(),
        "user": event.delivery.user.as_str(),
        "kind": event.kind.name(),
        "bounce_class": event.bounce_class.map(BounceClass::name),
        "machine": event.machine,
        "message_id": event.message_id.as_str(),
        "event_key": event.event_key.as_str(),
        "recipient": event.recipient.as_deref(),
        "occurred_at": event.occurred_at.map(|at| at.to_string()),
        "batch_id": event.ids.as_ref().map(|ids| ids.batch_id.as_str()),
        "recipient_id": event.ids.as_ref().map(|ids| ids.recipient_id.as_str()),
        "shard": event.shard.0,
    })
}

fn reject(reject: &Reject) -> Value {
    json!({
        "stage": reject.stage.name(),
        "index": reject.index,
        "reason": reject.reason.code.name(),
        "text": reject.reason.text,
        "bytes": reject.raw.len(),
    })
}
