//! One webhook request as received.

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Millis, Provider, User};

/// Where a delivery came from: a partition of a source (a file, a partition, …) and the place in it.
///
/// Printed as `partition-offset`, it is the correlation id that follows a delivery through the logs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Origin {
    /// The number of the file, partition or partition within this run.
    pub partition: u32,
    /// The place in the partition: for a file the byte (after decompression) at which its line starts.
    pub offset: u64,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

/// One request as received. The raw body is kept to the end: dead letters need it, and signatures are over it.
///
/// Events of one delivery share it behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it came from.
    pub origin: Origin,
    /// Whose format the body is in.
    pub provider: Provider,
    /// The tenant.
    pub user: User,
    /// The HTTP method; `POST` unless said otherwise.
    pub method: CompactString,
    /// The URL that was called; its query may carry ids.
    pub url: CompactString,
    /// The request's headers.
    pub headers: Headers,
    /// The body as received (still in its `Content-Encoding`).
    pub body: Bytes,
    /// When the edge received it.
    pub received_at: Millis,
}

/// A request's headers, kept as the JSON object text in which they travel and read only when asked.
///
/// Most deliveries are decoded without reading them, so parsing them for each would be wasted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers(Bytes);

impl Headers {
    /// Takes the text of a JSON object (`{"name": "value", …}`); empty bytes mean no headers.
    pub fn from_json(object: Bytes) -> Self {
        Self(object)
    }

    /// Writes pairs as a JSON object.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let object: serde_json::Map<String, serde_json::Value> = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        Self(serde_json::Value::Object(object).to_string().into())
    }

    /// The JSON object text; empty if there are none.
    pub fn as_json(&self) -> &[u8] {
        &self.0
    }

    /// The first header of that name, without regard to case; none if the text is no object of strings.
    pub fn get(&self, name: &str) -> Option<String> {
        self.pairs()
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers whose value is text; none at all if the text is no JSON object.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&self.0).unwrap_or_default();
        object
            .into_iter()
            .filter_map(|(name, value)| match value {
                serde_json::Value::String(text) => Some((name, text)),
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[test]
    fn headers_are_found_without_regard_to_case() {
        let headers = Headers::from_pairs([("Svix-Id", "msg_1"), ("x", "y")]);
        assert_eq!(headers.get("svix-id").as_deref(), Some("msg_1"));
        assert_eq!(headers.get("absent"), None);
        assert_eq!(Headers::from_json("nonsense".into()).get("x"), None);
    }
}
