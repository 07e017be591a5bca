//! The headers of a message, whatever their names are made of.
//!
//! The driver's own view of them takes every name for UTF-8, and panics where it is none: whoever may publish could end the process
//! with one message, as often as it is read. The client beneath it hands out names as bytes. This is the one place of the program
//! that asks it without the driver.
#![allow(unsafe_code, reason = "the driver has no other way; see the proofs")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t};
use rdkafka::error::IsError as _;
use rdkafka::message::{BorrowedHeaders, Headers as _};

/// Name and value of each header that has a value, in order. A name that holds a zero byte ends there.
pub(super) fn each(headers: &BorrowedHeaders) -> impl Iterator<Item = (&[u8], &[u8])> {
    (0..headers.count()).filter_map(|at| one(headers, at))
}

fn one(headers: &BorrowedHeaders, at: usize) -> Option<(&[u8], &[u8])> {
    let (mut name, mut value) = (ptr::null::<c_char>(), ptr::null::<c_void>());
    let mut size = 0;
    let native = ptr::from_ref(headers).cast::<rd_kafka_headers_t>();
    // SAFETY: a `BorrowedHeaders` has no fields of its own: the driver makes a reference to one by a cast from the address of the
    // client's headers, and casts it back for each of its own calls (`BorrowedHeaders::as_native_ptr` of rdkafka 0.39.0, the version
    // that Cargo.toml names, and a test below would see it changed). They live and stay as they are for as long as what lent
    // them, which is the lifetime of `headers`. The call writes to the three places given, which outlive it, and to nothing else.
    let answer = unsafe {
        rd_kafka_header_get_all(native, at, &raw mut name, &raw mut value, &raw mut size)
    };
    if answer.is_error() || name.is_null() || value.is_null() {
        return None;
    }
    // SAFETY: the call succeeded, so `name` points to a string that ends with a zero byte and `value` to `size` bytes, both owned by
    // the headers, which nobody changes while they are borrowed.
    let (name, value) = unsafe {
        let value = std::slice::from_raw_parts(value.cast::<u8>(), size);
        (CStr::from_ptr(name), value)
    };
    Some((name.to_bytes(), value))
}

#[cfg(test)]
mod tests {
    use rdkafka::bindings::rd_kafka_header_add;
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    #[test]
    fn they_are_what_the_driver_says_they_are() {
        let mut all = OwnedHeaders::new();
        for (key, value) in [
            ("a", Some("1")),
            ("none", None),
            ("ä", Some("")),
            ("a", Some("2")),
        ] {
            all = all.insert(Header { key, value });
        }
        let known = all.as_borrowed();
        let said: Vec<_> = known
            .iter()
            .filter_map(|header| Some((header.key.as_bytes(), header.value?)))
            .collect();
        assert_eq!(each(known).collect::<Vec<_>>(), said);
        assert_eq!(said.len(), 3);
        assert_eq!(each(OwnedHeaders::new().as_borrowed()).count(), 0);
    }

    #[test]
    fn a_name_that_is_no_text_is_one_like_any_other() {
        let all = OwnedHeaders::new().insert(Header {
            key: "before",
            value: Some("1"),
        });
        let native = ptr::from_ref(all.as_borrowed())
            .cast_mut()
            .cast::<rd_kafka_headers_t>();
        let (name, value) = (b"\xff\xfe", b"2");
        // SAFETY: as above; name and value are as long as is said, and the client copies them.
        let added = unsafe {
            rd_kafka_header_add(native, name.as_ptr().cast(), 2, value.as_ptr().cast(), 1)
        };
        assert!(!added.is_error());
        let all: Vec<_> = each(all.as_borrowed()).collect();
        assert_eq!(all, [(&b"before"[..], &b"1"[..]), (&name[..], &value[..])]);
    }
}
