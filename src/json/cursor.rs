//! The place in a JSON text, and the steps from it.

use std::borrow::Cow;

use super::Fault;
use super::scan::string_stop;

/// What bounds reading.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting.
    pub depth: usize,
    /// Most elements of one array.
    pub elements: usize,
    /// Longest string that a field may hold, in bytes of the text.
    pub string: usize,
}

impl Limits {
    /// No bounds, for text that another limit bounds already.
    pub const NONE: Limits = Limits {
        depth: usize::MAX,
        elements: usize::MAX,
        string: usize::MAX,
    };
}

/// Room for an escaped string before it must grow: most that carry escapes are whole documents.
const ESCAPED_CAPACITY: usize = 2_048;

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    limits: Limits,
    wanted: [&'a str; 2],
}

impl<'a> Cursor<'a> {
    /// The start of a text.
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            limits,
            wanted: [""; 2],
        }
    }

    /// Sets the two names, known only at run time, that a [`super::Wanted`] collects.
    pub fn wanting(mut self, names: [&'a str; 2]) -> Self {
        self.wanted = names;
        self
    }

    /// A cursor over another text with the same limits and names.
    pub(super) fn over<'b>(&self, bytes: &'b [u8]) -> Cursor<'b>
    where
        'a: 'b,
    {
        Cursor::new(bytes, self.limits).wanting(self.wanted)
    }

    pub(super) fn wanted(&self) -> [&'a str; 2] {
        self.wanted
    }

    /// The bytes from `start` up to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The next byte that is no white space, and where it stands; it is not consumed.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Where the cursor stands.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Nothing but white space may be left.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax()),
        }
    }

    /// Reads an object, giving each key to `field`, which must read or skip the value. Anything else is skipped.
    #[inline]
    pub fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(b'{') {
            return self.skip();
        }
        self.enter()?;
        if self.peek() == Some(b'}') {
            return self.leave();
        }
        loop {
            let key = self.key()?;
            field(self, &key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.leave(),
                _ => return Err(self.syntax()),
            }
        }
    }

    /// Reads an array, calling `element` at each of its values, which it must read or skip. Anything else is skipped.
    #[inline]
    pub fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(b'[') {
            return self.skip();
        }
        self.enter()?;
        if self.peek() == Some(b']') {
            return self.leave();
        }
        for _ in 0..self.limits.elements {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.leave(),
                _ => return Err(self.syntax()),
            }
        }
        Err(Fault::Elements(self.limits.elements))
    }

    /// Passes over one value, whatever it is.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_nested(self.limits.depth),
            _ => self.literal().map(drop),
        }
    }

    /// Goes back to `start` of a value that could not be read, and passes over it however deep it is.
    pub fn skip_from(&mut self, start: usize, depth: usize) -> Result<(), Fault> {
        self.at = start;
        self.depth = depth;
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested(usize::MAX),
            _ => self.skip(),
        }
    }

    /// How deep the cursor stands.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Reads a string no longer than the limit; its bytes may be no UTF-8 where the text held lone surrogates.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        let text = self.string_unlimited()?;
        if text.len() > self.limits.string {
            return Err(Fault::Long(self.limits.string));
        }
        Ok(text)
    }

    /// Reads a string that carries a document, which only the body's size bounds.
    #[inline]
    pub(super) fn string_unlimited(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = string_stop(self.bytes, start);
        match self.bytes.get(self.at) {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(&self.bytes[start..self.at - 1]))
            }
            Some(b'\\') => self.unescape(start).map(Cow::Owned),
            _ => Err(self.syntax()),
        }
    }

    /// Reads a number, `true`, `false` or `null` as its text.
    #[inline]
    pub(super) fn literal(&mut self) -> Result<&'a [u8], Fault> {
        self.peek();
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|&&byte| in_literal(byte)).count();
        let text = &rest[..length];
        let number = matches!(text.first(), Some(b'-' | b'0'..=b'9')) && text.iter().all(in_number);
        if !number && !matches!(text, b"true" | b"false" | b"null") {
            return Err(self.syntax());
        }
        self.at += length;
        Ok(text)
    }

    #[inline]
    fn key(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        self.peek();
        let key = self.string_unlimited()?;
        self.peek();
        self.expect(b':')?;
        Ok(key)
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Fault> {
        if self.depth >= self.limits.depth {
            return Err(Fault::Depth(self.limits.depth));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn leave(&mut self) -> Result<(), Fault> {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.bytes.get(self.at) != Some(&byte) {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over an object or array by counting brackets outside strings.
    #[inline]
    fn skip_nested(&mut self, depth_max: usize) -> Result<(), Fault> {
        let mut depth = self.depth;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.skip_string()?;
                    continue;
                }
                Some(b'{' | b'[') if depth >= depth_max => return Err(Fault::Depth(depth_max)),
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.syntax()),
            }
            self.at += 1;
            if depth == self.depth {
                return Ok(());
            }
        }
    }

    #[inline]
    fn skip_string(&mut self) -> Result<(), Fault> {
        let mut at = self.at + 1;
        loop {
            at = string_stop(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                _ => return Err(Fault::Syntax(at.min(self.bytes.len()))),
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// Reads on from the first backslash of a string that starts at `start`.
    fn unescape(&mut self, start: usize) -> Result<Vec<u8>, Fault> {
        let rest = self.bytes.len() - start;
        let mut text = Vec::with_capacity(rest.min(ESCAPED_CAPACITY));
        text.extend_from_slice(&self.bytes[start..self.at]);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut text)?,
                _ => return Err(self.syntax()),
            }
            let from = self.at;
            self.at = string_stop(self.bytes, from);
            text.extend_from_slice(&self.bytes[from..self.at]);
        }
        self.at += 1;
        Ok(text)
    }

    #[inline]
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Fault> {
        let byte = match self.bytes.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'u') => return self.escape_unicode(text),
            _ => return Err(self.syntax()),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them that make one character; a lone surrogate becomes the three bytes that no UTF-8 has.
    fn escape_unicode(&mut self, text: &mut Vec<u8>) -> Result<(), Fault> {
        let first = self.unit(self.at).ok_or_else(|| self.syntax())?;
        let second = self.unit(self.at + 6);
        self.at += 6;
        let code = match (first, second) {
            (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                self.at += 6;
                0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => first,
        };
        match char::from_u32(code) {
            Some(character) => {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => text.extend([
                0xe0 | (code >> 12) as u8,
                0x80 | (code >> 6 & 0x3f) as u8,
                0x80 | (code & 0x3f) as u8,
            ]),
        }
        Ok(())
    }

    /// The number of a `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some(unit << 4 | char::from(digit).to_digit(16)?)
        })
    }

    fn syntax(&self) -> Fault {
        Fault::Syntax(self.at.min(self.bytes.len()))
    }
}

const fn in_literal(byte: u8) -> bool {
    !matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')
}

const fn in_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}
