//! A message's headers in one piece of memory: as the broker's client read them, or, as far as they are ours, packed.
//!
//! The thread that reads a broker copies hundreds of thousands of headers a second: they share one growing buffer, so a
//! message costs a copy and no allocation of its own, and its headers stay slices of that buffer to the end.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr;

/// A header that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// Whose format the body is in.
    Provider,
    /// The tenant.
    User,
    /// The HTTP method of the original request.
    Method,
    /// Its URL.
    Url,
    /// When the edge received it, RFC 3339.
    ReceivedAt,
    /// Its headers, as one JSON object.
    Headers,
    /// How the body is compressed.
    ContentEncoding,
}

impl Field {
    /// All of them, in the order of their numbers.
    pub const ALL: [Field; 7] = [
        Field::Provider,
        Field::User,
        Field::Method,
        Field::Url,
        Field::ReceivedAt,
        Field::Headers,
        Field::ContentEncoding,
    ];

    /// The header's name; it is compared without regard to case.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Provider => "Hookflow-Provider",
            Field::User => "Hookflow-User",
            Field::Method => "Hookflow-Method",
            Field::Url => "Hookflow-Url",
            Field::ReceivedAt => "Hookflow-Received-At",
            Field::Headers => "Hookflow-Headers",
            Field::ContentEncoding => "Content-Encoding",
        }
    }

    /// The field of a header's name; none if it means nothing here.
    pub fn of(name: &[u8]) -> Option<Field> {
        Self::ALL
            .into_iter()
            .find(|field| field.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The headers of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// Those that are ours: number, length and value of each, one behind the other.
    Packed(Bytes),
    /// All of them as the broker writes them: a line of its own, then `name: value` in a line each.
    Lines(Bytes),
}

impl Default for Fields {
    fn default() -> Self {
        Self::Packed(Bytes::new())
    }
}

impl Fields {
    /// How many bytes they hold.
    pub const fn len(&self) -> usize {
        match self {
            Self::Packed(bytes) | Self::Lines(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first header of each field.
    pub fn values(&self) -> Values<'_> {
        let mut first = [&[][..]; Field::ALL.len()];
        match self {
            Self::Packed(bytes) => {
                let mut rest = &bytes[..];
                while let Some((number, value)) = next(&mut rest) {
                    set(&mut first, usize::from(number), value);
                }
            }
            Self::Lines(block) => {
                for (name, value) in header_lines(block) {
                    if let Some(field) = Field::of(name) {
                        set(&mut first, field as usize, value);
                    }
                }
            }
        }
        Values {
            fields: self,
            first,
        }
    }
}

/// The values of one message's headers, as slices of them: empty where there is none.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    fields: &'a Fields,
    first: [&'a [u8]; Field::ALL.len()],
}

impl<'a> Values<'a> {
    /// The value of a field.
    pub fn get(&self, field: Field) -> &'a [u8] {
        self.first.get(field as usize).copied().unwrap_or_default()
    }

    /// The same, to be kept: shares the message's memory.
    pub fn keep(&self, field: Field) -> Bytes {
        let (Fields::Packed(block) | Fields::Lines(block)) = self.fields;
        block.slice_ref(self.get(field))
    }
}

fn set<'a>(values: &mut [&'a [u8]], field: usize, value: &'a [u8]) {
    match values.get_mut(field) {
        Some(slot) if slot.is_empty() => *slot = value,
        _ => {}
    }
}

/// The names and values of a block of headers, blanks around values left out. What is no header is passed over; a line that
/// begins with a blank belongs to the header before it, and is left out.
pub fn header_lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = block;
    let mut lines = std::iter::from_fn(move || {
        let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    });
    lines.next();
    lines.filter_map(|line| {
        let colon = memchr(b':', line).filter(|_| !matches!(line.first(), Some(b' ' | b'\t')))?;
        let (name, value) = line.split_at(colon);
        Some((name, value.get(1..)?.trim_ascii()))
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (head, behind) = rest.split_first_chunk::<5>()?;
    let [number, length @ ..] = *head;
    let (value, after) = behind.split_at_checked(u32::from_le_bytes(length) as usize)?;
    *rest = after;
    Some((number, value))
}

/// Packs the headers of one message after the other.
#[derive(Debug, Default)]
pub struct FieldsWriter(BytesMut);

/// What the shared buffer grows by. One message that is still held keeps as much memory alive.
const CHUNK: usize = 64 * 1024;

impl FieldsWriter {
    /// Takes one header of the message at hand; one that means nothing here is left out.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let (Some(field), Ok(length)) = (Field::of(name), u32::try_from(value.len())) else {
            return;
        };
        self.room_for(value.len() + 5);
        self.0.put_u8(field as u8);
        self.0.put_u32_le(length);
        self.0.put_slice(value);
    }

    /// Copies text that is no header, such as a subject; to be called between two messages.
    pub fn keep(&mut self, text: &[u8]) -> Bytes {
        self.room_for(text.len());
        self.0.put_slice(text);
        self.0.split().freeze()
    }

    fn room_for(&mut self, bytes: usize) {
        if self.0.capacity() - self.0.len() < bytes {
            self.0.reserve(CHUNK.max(bytes));
        }
    }

    /// Ends the message at hand and gives its headers.
    pub fn take(&mut self) -> Fields {
        Fields::Packed(self.0.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_whatever_their_case_and_the_first_counts() {
        let mut writer = FieldsWriter::default();
        writer.add(b"hookflow-PROVIDER", b"ses");
        writer.add(b"Hookflow-Provider", b"resend");
        writer.add(b"Nats-Msg-Id", b"1");
        writer.add(b"content-encoding", b"gzip");
        let fields = writer.take();
        assert!(writer.take().is_empty());
        let values = fields.values();
        assert_eq!(values.get(Field::Provider), b"ses");
        assert_eq!(values.keep(Field::ContentEncoding), "gzip");
        assert!(values.keep(Field::User).is_empty());
    }

    #[test]
    fn lines_are_read_like_packed_headers() {
        let block = Bytes::from_static(
            b"NATS/1.0\r\nHookflow-Provider:ses\r\nhookflow-provider: resend\r\nNats-Msg-Id: 1\r\nCONTENT-ENCODING:  gzip \r\n\r\n",
        );
        let fields = Fields::Lines(block.clone());
        let values = fields.values();
        assert_eq!(values.get(Field::Provider), b"ses");
        assert_eq!(values.keep(Field::ContentEncoding), "gzip");
        assert!(values.keep(Field::User).is_empty());
        let place = values.keep(Field::ContentEncoding).as_ptr();
        assert!(block.as_ptr_range().contains(&place));
    }

    #[test]
    fn numbers_are_places() {
        for (place, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, place);
            assert_eq!(Field::of(field.name().as_bytes()), Some(field));
        }
    }
}
