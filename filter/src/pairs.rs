//! Names and values in a property's bytes: how many there are, the lengths of each, then each with a zero
//! byte behind it (proxy-wasm ABI 0.2.1, "serialized map"). No pairs are no bytes. The SDK reads them out
//! of header maps only.

/// Reads them without copying; `None` if the bytes are something else, or a name is not text.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (count, mut lengths) = number(bytes)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    let mut text = |length: usize| {
        let (text, rest) = texts.split_at_checked(length)?;
        texts = rest.get(1..)?;
        Some(text)
    };
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, rest) = number(lengths)?;
        let (value, rest) = number(rest)?;
        lengths = rest;
        pairs.push((str::from_utf8(text(name)?).ok()?, text(value)?));
    }
    Some(pairs)
}

/// The number that bytes begin with, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*first)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:path` with `/`, `x` with two bytes that are not text, and `e` with nothing.
    const WHOLE: &[u8] = b"\x03\0\0\0\x05\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\
        :path\0/\0x\0\xff\xfe\0e\0\0";

    #[test]
    fn names_and_values_are_read() {
        let pairs: [(&str, &[u8]); 3] = [(":path", b"/"), ("x", b"\xff\xfe"), ("e", b"")];
        assert_eq!(read(WHOLE).as_deref(), Some(&pairs[..]));
        assert_eq!(read(b"").as_deref(), Some(&[][..]));
    }

    #[test]
    fn bytes_that_are_no_pairs_are_none() {
        for end in 1..WHOLE.len() {
            assert!(read(&WHOLE[..end]).is_none(), "{end} bytes");
        }
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0"] {
            assert!(read(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_text_is_none() {
        assert!(read(b"\x01\0\0\0\x01\0\0\0\0\0\0\0\xff\0\0").is_none());
    }
}
