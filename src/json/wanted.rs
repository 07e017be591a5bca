//! Two values found by names that are known only at run time.

use super::{Cursor, Fault, Read, Text};

/// The values of the two names that a cursor [wants](Cursor::wanting), from any of the shapes in which senders' own
/// data travels: an object of scalars or of arrays (the first counts), an array of `{name, value}`, or a string that
/// holds one of these as JSON. Anything else holds neither.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The values, in the order of the names.
    pub values: [Text<'a>; 2],
}

impl<'a> Wanted<'a> {
    /// Takes the value at the cursor if its key is wanted, else passes over it.
    #[inline]
    pub fn take(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Fault> {
        match self.place(cursor, key) {
            Some(value) => *value = read_first(cursor)?,
            None => cursor.skip()?,
        }
        Ok(())
    }

    /// Puts in a value under a key that may be wanted.
    pub fn put(&mut self, cursor: &Cursor<'a>, key: &[u8], text: Text<'a>) {
        if let Some(value) = self.place(cursor, key) {
            *value = text;
        }
    }

    /// Whether neither was found.
    pub fn is_empty(&self) -> bool {
        !self.values.iter().any(Text::is_present)
    }

    fn place(&mut self, cursor: &Cursor<'a>, key: &[u8]) -> Option<&mut Text<'a>> {
        let names = cursor.wanted();
        let index = names.iter().position(|name| name.as_bytes() == key)?;
        self.values.get_mut(index)
    }

    fn read_pairs(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut wanted = Self::default();
        cursor.array(|cursor| {
            let (mut name, mut value) = (Text::default(), Text::default());
            cursor.object(|cursor, key| {
                match key {
                    b"name" => name = Text::read(cursor)?,
                    b"value" => value = Text::read(cursor)?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?;
            wanted.put(cursor, name.bytes(), value);
            Ok(())
        })?;
        Ok(wanted)
    }

    /// Text that is no JSON is the sender's own and holds nothing for us.
    fn read_inside(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let text = Text::read(cursor)?;
        let mut inner = cursor.over(text.bytes());
        if !matches!(inner.peek(), Some(b'{' | b'[')) {
            return Ok(Self::default());
        }
        let found = Wanted::read(&mut inner).unwrap_or_default();
        Ok(Self {
            values: found.values.map(Text::into_owned),
        })
    }
}

impl<'a> Read<'a> for Wanted<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        match cursor.peek() {
            Some(b'[') => Self::read_pairs(cursor),
            Some(b'"') => Self::read_inside(cursor),
            _ => {
                let mut wanted = Self::default();
                cursor.object(|cursor, key| wanted.take(cursor, key))?;
                Ok(wanted)
            }
        }
    }
}

/// A scalar, or the first of an array.
fn read_first<'a>(cursor: &mut Cursor<'a>) -> Result<Text<'a>, Fault> {
    if cursor.peek() != Some(b'[') {
        return Text::read(cursor);
    }
    let mut first = None;
    cursor.array(|cursor| {
        let text = Text::read(cursor)?;
        first.get_or_insert(text);
        Ok(())
    })?;
    Ok(first.unwrap_or_default())
}
