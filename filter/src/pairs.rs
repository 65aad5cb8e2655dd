//! Names and values as they cross the border: how many there are, the lengths of each, then each with
//! a zero byte behind it (proxy-wasm ABI 0.2.1, "serialized map"). No pairs are no bytes.

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

/// Writes them.
pub(crate) fn write(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    // Nothing is longer than the memory of a VM, 4 GiB.
    let length = |text: &[u8]| (text.len() as u32).to_le_bytes();
    let size = |(name, value): &(&str, &[u8])| 4 + 4 + name.len() + 1 + value.len() + 1;
    let mut bytes = Vec::with_capacity(4 + pairs.iter().map(size).sum::<usize>());
    bytes.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        bytes.extend_from_slice(&length(name.as_bytes()));
        bytes.extend_from_slice(&length(value));
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// The number that bytes begin with, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*first)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(&str, &[u8]); 3] = [(":path", b"/"), ("x-raw", b"\xff\0\xfe"), ("x-empty", b"")];

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&write(&PAIRS)).as_deref(), Some(&PAIRS[..]));
        assert_eq!(write(&[]), b"");
        assert_eq!(read(b"").as_deref(), Some(&[][..]));
    }

    #[test]
    fn bytes_that_are_no_pairs_are_none() {
        let whole = write(&PAIRS);
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).is_none(), "{end} bytes");
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
