//! For people: a captured request in, normalised events out, as JSON.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::event::{Delivery, Event, Headers, Provider, Reason, ReasonCode};

/// The events in the shape in which the samples state what is expected of them; absent values are `null` or left out.
pub fn to_json(events: &[Event]) -> Value {
    events.iter().map(event).collect()
}

fn event(event: &Event) -> Value {
    let mut shown = json!({
        "provider": event.delivery.provider.as_str(),
        "kind": event.kind.name(),
        "message_id": Some(event.message_id.as_str()).filter(|id| !id.is_empty()),
        "event_key": event.event_key.as_str(),
        "recipient": event.recipient.as_deref(),
        "occurred_at": event.occurred_at.map(|at| at.to_string()),
    });
    if let Some(class) = event.bounce_class {
        shown["bounce_class"] = class.name().into();
    }
    if event.machine {
        shown["machine"] = true.into();
    }
    shown
}

/// A delivery of `body` by the request that a JSON object (`method`, `url`, `headers`; all may be missing) describes.
pub fn request_from_json(
    provider: &str,
    request_json: &str,
    body: Bytes,
) -> Result<Delivery, Reason> {
    let request: Map<String, Value> = serde_json::from_str(request_json)
        .map_err(|_| Reason::new(ReasonCode::BadDelivery, "the request is not a JSON object"))?;
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let headers = request.get("headers").map(Value::to_string);
    Ok(Delivery {
        provider: Provider::new(provider),
        method: text("method").unwrap_or("POST").into(),
        url: text("url").unwrap_or_default().into(),
        headers: Headers::from_json(headers.unwrap_or_default().into()),
        body,
        ..Delivery::default()
    })
}
