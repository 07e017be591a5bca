//! The JSON reader against a general library: what the library accepts, the reader reads alike.

use std::borrow::Cow;

use hookflow::json::{Cursor, Fault, Limits, Raw, Read, Text, field_ignoring_case};
use proptest::prelude::*;
use serde_json::Value;

fn texts() -> impl Strategy<Value = String> {
    let plain = "[ -~äé😀\u{0}-\u{1f}]{0,24}";
    prop_oneof![plain, Just("\\".repeat(9)), Just("\"".into())]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Rebuilds a value with nothing but the reader's steps.
fn rebuild(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    match cursor.peek() {
        Some(b'{') => {
            let mut map = serde_json::Map::new();
            cursor.object(|cursor, key| {
                let value = rebuild(cursor)?;
                map.insert(String::from_utf8_lossy(key).into_owned(), value);
                Ok(())
            })?;
            Ok(Value::Object(map))
        }
        Some(b'[') => {
            let mut list = Vec::new();
            cursor.array(|cursor| {
                list.push(rebuild(cursor)?);
                Ok(())
            })?;
            Ok(Value::Array(list))
        }
        Some(b'"') => Ok(Text::read(cursor)?.as_str().unwrap().into()),
        _ => Ok(serde_json::from_slice(Raw::read(cursor)?.0).unwrap_or(Value::Null)),
    }
}

proptest! {
    #[test]
    fn values_are_read_as_written(value in values(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let mut cursor = Cursor::new(text.as_bytes(), Limits::NONE);
        prop_assert_eq!(rebuild(&mut cursor), Ok(value));
        prop_assert_eq!(cursor.end(), Ok(()));
        let mut cursor = Cursor::new(text.as_bytes(), Limits::NONE);
        prop_assert_eq!(Raw::read(&mut cursor).unwrap().0, text.as_bytes());
    }

    #[test]
    fn what_the_library_accepts_is_accepted(text in "[\\[\\]{}\",:\\\\u0-9aeE.+ntrlfsd -]{0,24}") {
        if serde_json::from_str::<Value>(&text).is_ok() {
            let mut cursor = Cursor::new(text.as_bytes(), Limits::NONE);
            prop_assert!(cursor.skip().is_ok());
            prop_assert!(cursor.end().is_ok());
        }
    }
}

fn read(text: &str) -> Result<Cow<'_, [u8]>, Fault> {
    Text::read(&mut Cursor::new(text.as_bytes(), Limits::NONE)).map(Text::into_cow)
}

#[test]
fn texts_are_borrowed_where_they_can_be() {
    assert!(matches!(read("\"plain\""), Ok(Cow::Borrowed(b"plain"))));
    assert!(matches!(read("18446744073709551617"), Ok(Cow::Borrowed(_))));
    assert!(matches!(read(r#""a\nb""#), Ok(Cow::Owned(_))));
}

#[test]
fn lone_surrogates_survive_and_pairs_are_joined() {
    assert_eq!(read(r#""\ud83d\ude00""#).unwrap().as_ref(), "😀".as_bytes());
    assert_eq!(read(r#""\ud83d""#).unwrap().as_ref(), b"\xed\xa0\xbd");
    assert_eq!(read(r#""\ude00\ud83d""#).unwrap().len(), 6);
    assert_eq!(read(r#""\ud83dx""#).unwrap().len(), 4);
}

#[test]
fn broken_strings_and_literals_are_faults() {
    for text in [
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "truth",
        "-x",
        "+1",
        "",
    ] {
        assert!(matches!(read(text), Err(Fault::Syntax(_))), "{text}");
    }
}

#[test]
fn keys_match_escaped_and_without_case_where_asked() {
    let found = field_ignoring_case(br#"{"x":1,"\u0041b":"y","ab":"z"}"#, "aB");
    assert_eq!(found.unwrap().bytes(), b"y");
    assert_eq!(field_ignoring_case(b"[]", "a"), None);
    assert_eq!(field_ignoring_case(b"", "a"), None);
}
