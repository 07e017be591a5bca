//! Scalars as text, lists of them, and raw slices.

use std::borrow::Cow;

use super::{Cursor, Fault, Read};

/// A string, number or boolean as its text, borrowed where it can be; absent for `null` and anything else.
///
/// The bytes are UTF-8 unless the input was not, or held lone surrogates; who uses them decides what that means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Option<Cow<'a, [u8]>>);

impl<'a> Text<'a> {
    /// The text of those bytes.
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(Some(bytes.into()))
    }

    /// The bytes; empty if absent.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The bytes as text, if they are UTF-8; empty if absent.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()).ok()
    }

    /// Whether the field was there, even as an empty string.
    pub fn is_present(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it is absent or empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Whether it says `true`, as a boolean or as text.
    pub fn is_true(&self) -> bool {
        self.bytes().eq_ignore_ascii_case(b"true")
    }

    /// This, or `other` if this is absent or empty.
    pub fn or<'b>(&'b self, other: &'b Text<'a>) -> &'b Text<'a> {
        if self.is_empty() { other } else { self }
    }

    /// The bytes, borrowed if they are.
    pub fn into_cow(self) -> Cow<'a, [u8]> {
        self.0.unwrap_or_default()
    }

    /// The same text without a tie to its source.
    pub fn into_owned(self) -> Text<'static> {
        Text(self.0.map(|bytes| Cow::Owned(bytes.into_owned())))
    }
}

impl<'a> Read<'a> for Text<'a> {
    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        match cursor.peek() {
            Some(b'"') => Ok(Self(Some(cursor.string()?))),
            Some(b'{' | b'[') => cursor.skip().map(|()| Self::default()),
            _ => match cursor.literal()? {
                b"null" => Ok(Self::default()),
                text => Ok(Self(Some(Cow::Borrowed(text)))),
            },
        }
    }
}

/// The scalars of an array; a scalar in its place counts as the only one.
#[derive(Clone, Debug, Default)]
pub struct List<'a>(Vec<Text<'a>>);

impl<'a> List<'a> {
    /// The texts that are neither absent nor empty.
    pub fn iter(&self) -> impl Iterator<Item = &Text<'a>> {
        self.0.iter().filter(|text| !text.is_empty())
    }

    /// The only text, if there is exactly one.
    pub fn only(&self) -> Option<&Text<'a>> {
        let mut texts = self.iter();
        texts.next().filter(|_| texts.next().is_none())
    }

    /// Adds a text.
    pub fn push(&mut self, text: Text<'a>) {
        self.0.push(text);
    }
}

impl<'a> Read<'a> for List<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut list = Self::default();
        if cursor.peek() == Some(b'[') {
            cursor.array(|cursor| {
                list.push(Text::read(cursor)?);
                Ok(())
            })?;
        } else {
            list.push(Text::read(cursor)?);
        }
        Ok(list)
    }
}

/// A value as the slice of the text in which it stands; empty if absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> Read<'a> for Raw<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        cursor.peek();
        let start = cursor.at();
        cursor.skip()?;
        Ok(Self(cursor.since(start)))
    }
}

/// A string that carries a whole document: only the body's size bounds it. Absent for anything but a string.
#[derive(Clone, Debug, Default)]
pub struct Document<'a>(pub Text<'a>);

impl<'a> Read<'a> for Document<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        match cursor.peek() {
            Some(b'"') => Ok(Self(Text::new(cursor.string_unlimited()?))),
            _ => cursor.skip().map(|()| Self::default()),
        }
    }
}
