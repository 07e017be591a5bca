//! Bytes into frames of the NATS protocol.
//!
//! Contract: pure; no input panics; an incomplete frame is parsed again only when enough more has come; a frame is a slice of
//! what was read. Nothing grows beyond [`Parser::largest`] and one control line.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

use crate::source::message::header_lines;

/// The longest control line; a server's greeting, which lists a whole cluster, is the longest.
const LINE_MAX: usize = 1 << 20;

/// One thing that a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of our subscription.
    Message(Incoming),
    /// It wants an answer.
    Ping,
    /// It answers.
    Pong,
    /// What it is, as JSON.
    Info(Bytes),
    /// It refuses something; the text names no secret, but may name a subject.
    Refused(String),
    /// A confirmation that means nothing here.
    Ok,
}

/// Why bytes are no frame; the connection cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No operation that a server sends.
    #[error("the server sent what is no message")]
    Unknown,
    /// A message's line or header cannot be read.
    #[error("the server sent a message that cannot be read")]
    Message,
    /// Larger than the server said that anything may be.
    #[error("the server sent a message that is larger than it allows")]
    Large,
}

/// A message, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Control line, headers and payload.
    frame: Bytes,
    subject: Range<usize>,
    reply: Range<usize>,
    headers: Range<usize>,
}

impl Incoming {
    /// What it was published to.
    pub fn subject(&self) -> Bytes {
        self.frame.slice(self.subject.clone())
    }

    /// Where an answer goes; empty if nowhere.
    pub fn reply(&self) -> Bytes {
        self.frame.slice(self.reply.clone())
    }

    /// Its headers as they came, with their first line; empty if there are none.
    pub fn headers(&self) -> Bytes {
        self.frame.slice(self.headers.clone())
    }

    /// Its payload.
    pub fn payload(&self) -> Bytes {
        self.frame.slice(self.headers.end..)
    }

    /// The status and its description that the server itself wrote, such as 404 and `No Messages`; none for a message of people.
    pub fn status(&self) -> Option<(u16, &str)> {
        let headers = self.frame.get(self.headers.clone())?;
        let end = memchr(b'\r', headers)?;
        let first = std::str::from_utf8(headers.get(..end)?).ok()?;
        let rest = first.strip_prefix("NATS/1.0")?.trim();
        let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((code.parse().ok()?, text.trim()))
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.frame.get(self.headers.clone())?;
        let mut all = header_lines(headers);
        let (_, value) = all.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok()
    }
}

/// Reads frames from the beginning of a buffer.
#[derive(Debug)]
pub struct Parser {
    /// Most bytes of a message with its headers.
    pub largest: usize,
    /// So many bytes are needed before parsing again is worth it.
    needed: usize,
}

impl Parser {
    /// A parser of what comes before a server said how large a message may be.
    pub const fn new() -> Self {
        Self {
            largest: 0,
            needed: 0,
        }
    }

    /// How many bytes a buffer must hold before there can be another frame.
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The next frame, taken off the buffer; none if it is not complete.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        if buffer.len() < self.needed {
            return Ok(None);
        }
        let Some(end) = memchr(b'\n', buffer) else {
            self.needed = buffer.len() + 1;
            return if buffer.len() < LINE_MAX {
                Ok(None)
            } else {
                Err(Malformed::Unknown)
            };
        };
        let line = buffer.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(arguments) = line.strip_prefix(b"HMSG ") {
            let head = Head::read(arguments, 5, true).ok_or(Malformed::Message)?;
            return self.message(buffer, end + 1, &head);
        }
        if let Some(arguments) = line.strip_prefix(b"MSG ") {
            let head = Head::read(arguments, 4, false).ok_or(Malformed::Message)?;
            return self.message(buffer, end + 1, &head);
        }
        let frame = other(line)?;
        self.needed = 0;
        buffer.advance(end + 1);
        Ok(Some(frame))
    }

    fn message(
        &mut self,
        buffer: &mut BytesMut,
        start: usize,
        head: &Head,
    ) -> Result<Option<Frame>, Malformed> {
        if head.total > self.largest {
            return Err(Malformed::Large);
        }
        if head.headers > head.total {
            return Err(Malformed::Message);
        }
        let end = start + head.total;
        self.needed = end + 2;
        if buffer.len() < self.needed {
            return Ok(None);
        }
        self.needed = 0;
        let frame = buffer.split_to(end).freeze();
        if !buffer.starts_with(b"\r\n") {
            return Err(Malformed::Message);
        }
        buffer.advance(2);
        Ok(Some(Frame::Message(Incoming {
            frame,
            subject: head.subject.clone(),
            reply: head.reply.clone(),
            headers: start..start + head.headers,
        })))
    }
}

fn other(line: &[u8]) -> Result<Frame, Malformed> {
    if line.eq_ignore_ascii_case(b"PING") {
        return Ok(Frame::Ping);
    }
    if line.eq_ignore_ascii_case(b"PONG") {
        return Ok(Frame::Pong);
    }
    if line.starts_with(b"+OK") {
        return Ok(Frame::Ok);
    }
    if let Some(text) = line.strip_prefix(b"-ERR") {
        let text = String::from_utf8_lossy(text);
        return Ok(Frame::Refused(text.trim().trim_matches('\'').to_owned()));
    }
    if let Some(text) = line.strip_prefix(b"INFO ") {
        return Ok(Frame::Info(Bytes::copy_from_slice(text)));
    }
    Err(Malformed::Unknown)
}

/// What stands in a message's control line: `<subject> <sid> [<reply>] [<header bytes>] <total bytes>`.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    subject: Range<usize>,
    reply: Range<usize>,
    headers: usize,
    total: usize,
}

impl Head {
    /// Reads the arguments, which stand `at` bytes behind the beginning of the line.
    fn read(arguments: &[u8], at: usize, has_headers: bool) -> Option<Self> {
        let mut words: [Range<usize>; 5] = Default::default();
        let mut count = 0;
        let mut start = 0;
        for end in memchr_iter(b' ', arguments).chain([arguments.len()]) {
            if end > start {
                *words.get_mut(count)? = start..end;
                count += 1;
            }
            start = end + 1;
        }
        let [subject, _, middle @ .., total] = words.get(..count)? else {
            return None;
        };
        let (reply, headers) = match (middle, has_headers) {
            ([], false) => (None, None),
            ([reply], false) => (Some(reply), None),
            ([headers], true) => (None, Some(headers)),
            ([reply, headers], true) => (Some(reply), Some(headers)),
            _ => return None,
        };
        let within = |word: &Range<usize>| word.start + at..word.end + at;
        let value = |word: &Range<usize>| number(arguments.get(word.clone())?);
        Some(Self {
            subject: within(subject),
            reply: reply.map(within).unwrap_or_default(),
            headers: headers.map_or(Some(0), value)?,
            total: value(total)?,
        })
    }
}

/// Nine digits are more than any message has.
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |value: usize, byte: &u8| value * 10 + usize::from(byte - b'0');
    Some(text.iter().fold(0, digit))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
