//! JSON read straight from bytes into borrowed fields: one pass, no tree, no recursion.
//!
//! Why not a general library: the decoders read ten fields of forty, need the raw slice of every element, must keep
//! lone surrogates until it is known whether they stand in free text or in an identity, and must know the depth
//! *before* it can hurt. Each of these costs a second pass elsewhere; here all come with the one pass there is.
//!
//! Contract:
//! * what is read is checked (strings, escapes, numbers, punctuation, depth); what is skipped is only balanced, so
//!   errors in parts that nobody reads may pass;
//! * nothing here recurses by the input's nesting, panics or allocates more than it was given;
//! * numbers are their text, exact at any size; a scalar where text is wanted is its text;
//! * of two equal keys the last wins; a value of an unexpected type counts as absent.

mod cursor;
mod scan;
mod text;
mod wanted;

pub use cursor::{Cursor, Limits};
pub use text::{Document, List, Raw, Text};
pub use wanted::Wanted;

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not JSON from this byte on.
    #[error("not valid JSON at byte {0}")]
    Syntax(usize),
    /// Nested too deep.
    #[error("nested deeper than the limit of {0} levels (depth)")]
    Depth(usize),
    /// An array with too many elements.
    #[error("more than the limit of {0} elements (elements)")]
    Elements(usize),
    /// A string that is too long.
    #[error("a string longer than the limit of {0} bytes (string)")]
    Long(usize),
}

/// What can be read from a [`Cursor`]; the default is what an absent field reads as.
pub trait Read<'a>: Default {
    /// Reads one value and leaves the cursor behind it.
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault>;
}

/// Declares a struct of borrowed fields and how it is read from a JSON object; keys that it does not name are skipped.
///
/// With `else name` behind it, the struct also collects the names that the cursor [wants](Wanted) from the same object.
macro_rules! fields {
    ($(#[$meta:meta])* $name:ident<$life:lifetime> { $($field:ident: $type:ty = $key:pat,)* } $(else $wanted:ident)?) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        struct $name<$life> {
            $($field: $type,)*
            $($wanted: $crate::json::Wanted<$life>,)?
        }

        impl<$life> $crate::json::Read<$life> for $name<$life> {
            fn read(cursor: &mut $crate::json::Cursor<$life>) -> Result<Self, $crate::json::Fault> {
                let mut item = Self::default();
                cursor.object(|cursor, key| {
                    match key {
                        $($key => item.$field = $crate::json::Read::read(cursor)?,)*
                        _ => fields!(@unnamed item cursor key $($wanted)?),
                    }
                    Ok(())
                })?;
                Ok(item)
            }
        }
    };
    (@unnamed $item:ident $cursor:ident $key:ident) => { $cursor.skip()? };
    (@unnamed $item:ident $cursor:ident $key:ident $wanted:ident) => { $item.$wanted.take($cursor, $key)? };
}
pub(crate) use fields;

/// The text of one field of an object, found without regard to ASCII case; none if the bytes are no JSON object.
pub fn field_ignoring_case<'a>(object: &'a [u8], name: &str) -> Option<Text<'a>> {
    let mut found = None;
    let mut cursor = Cursor::new(object, Limits::NONE);
    let read = cursor.object(|cursor, key| {
        if found.is_none() && key.eq_ignore_ascii_case(name.as_bytes()) {
            found = Some(Text::read(cursor)?);
            return Ok(());
        }
        cursor.skip()
    });
    read.ok().and(found)
}
