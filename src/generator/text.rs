//! Writing bodies quickly: pieces appended to a buffer, without the formatting machinery.
//!
//! Everything here is a pure function of its input, so that a seed gives the same bytes on every machine.

/// Something that writes itself to the end of a buffer.
pub trait WriteText {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
}

/// Appends pieces one after the other.
macro_rules! put {
    ($out:expr; $($piece:expr),* $(,)?) => {{
        let out: &mut Vec<u8> = $out;
        $($crate::generator::text::WriteText::put(&$piece, out);)*
    }};
}
pub(super) use put;

impl WriteText for &str {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl WriteText for &[u8] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl WriteText for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut left = *self;
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[at..]);
    }
}

impl WriteText for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        if *self < 0 {
            out.push(b'-');
        }
        self.unsigned_abs().put(out);
    }
}

/// A number with leading zeros.
pub struct Padded(pub u64, pub usize);

impl WriteText for Padded {
    fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.1, b'0');
        let mut left = self.0;
        for digit in out[start..].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }
}

/// Up to 32 hexadecimal digits (then they repeat) of that alphabet.
fn hex(value: u128, count: usize, alphabet: &[u8; 16], out: &mut Vec<u8>) {
    for at in 0..count {
        out.push(alphabet[(value >> (4 * (at % 32))) as usize & 15]);
    }
}

/// So many lower-case hexadecimal digits.
pub struct Hex(pub u128, pub usize);

impl WriteText for Hex {
    fn put(&self, out: &mut Vec<u8>) {
        hex(self.0, self.1, b"0123456789abcdef", out);
    }
}

/// So many upper-case hexadecimal digits.
pub struct UpperHex(pub u128, pub usize);

impl WriteText for UpperHex {
    fn put(&self, out: &mut Vec<u8>) {
        hex(self.0, self.1, b"0123456789ABCDEF", out);
    }
}

/// So many letters and digits, `-` and `_`; up to 21 differ.
pub struct Base64(pub u128, pub usize);

impl WriteText for Base64 {
    fn put(&self, out: &mut Vec<u8>) {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for at in 0..self.1 {
            out.push(ALPHABET[(self.0 >> (6 * (at % 21))) as usize & 63]);
        }
    }
}

/// A UUID of random bits, with its dashes.
pub struct Uuid(pub u128);

impl WriteText for Uuid {
    fn put(&self, out: &mut Vec<u8>) {
        for (shift, count) in [(0, 8), (32, 4), (48, 4), (64, 4), (80, 12)] {
            if shift > 0 {
                out.push(b'-');
            }
            Hex(self.0 >> shift, count).put(out);
        }
    }
}

/// Text inside a JSON string.
pub struct Escaped<'a>(pub &'a [u8]);

impl WriteText for Escaped<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, byte) in self.0.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            out.extend_from_slice(&self.0[from..at]);
            from = at + 1;
            escape(*byte, out);
        }
        out.extend_from_slice(&self.0[from..]);
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        other => {
            out.extend_from_slice(b"\\u00");
            out.push(b"0123456789abcdef"[usize::from(other >> 4)]);
            out.push(b"0123456789abcdef"[usize::from(other & 15)]);
        }
    }
}

/// Text as the value of a form field.
pub struct FormEncoded<'a>(pub &'a [u8]);

impl WriteText for FormEncoded<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        for byte in self.0 {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                    out.push(*byte);
                }
                b' ' => out.push(b'+'),
                other => {
                    out.push(b'%');
                    out.push(b"0123456789ABCDEF"[usize::from(other >> 4)]);
                    out.push(b"0123456789ABCDEF"[usize::from(other & 15)]);
                }
            }
        }
    }
}

/// Sixty-four random bits that depend on nothing but these two numbers (the finaliser of SplitMix64).
pub const fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One hundred and twenty-eight such bits.
pub const fn mix_wide(seed: u64, number: u64) -> u128 {
    let low = mix(seed, number);
    (mix(low ^ 0x5851_f42d_4c95_7f2d, number) as u128) << 64 | low as u128
}
