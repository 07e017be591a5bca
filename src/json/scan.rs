//! Finding the end of strings, eight bytes at a time.

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
const BLANKS: u64 = u64::from_le_bytes([0x20; 8]);

/// The place of the first quote, backslash or control byte at or after `from`; the length if there is none.
#[inline]
pub(super) fn string_stop(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let stops = stops(u64::from_le_bytes(*chunk));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| !is_stop(byte)).count()
}

/// Marks the stops of eight bytes in their high bits. A borrow can mark bytes wrongly only above a true mark, so the
/// lowest is right.
#[inline]
const fn stops(word: u64) -> u64 {
    let quotes = word ^ QUOTES;
    let backslashes = word ^ BACKSLASHES;
    ((quotes.wrapping_sub(ONES) & !quotes)
        | (backslashes.wrapping_sub(ONES) & !backslashes)
        | (word.wrapping_sub(BLANKS) & !word))
        & HIGHS
}

const fn is_stop(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

#[cfg(test)]
mod tests {
    use super::{is_stop, string_stop};

    #[test]
    fn stops_are_found_wherever_they_stand() {
        for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for place in 0..20 {
                let mut bytes = [b'a', 0xff, b' ', b'!', b'#', b'[', b']', 0x80].repeat(3);
                bytes[place] = stop;
                assert_eq!(string_stop(&bytes, 0), place);
                assert_eq!(string_stop(&bytes, place + 1), bytes.len());
            }
        }
    }

    #[test]
    fn every_byte_is_judged_alike_in_a_word_and_alone() {
        for byte in 0..=255u8 {
            let found = string_stop(&[byte; 8], 0) == 0;
            assert_eq!(found, is_stop(byte), "byte {byte}");
        }
    }
}
