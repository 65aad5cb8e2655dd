//! Base64 (RFC 4648 section 4), of which only the strict reading is needed here: the crate `base64` would take
//! 2.7 KB of the module.

/// Decodes a text, which is padded, has no other characters, and no bits behind its end.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut decoded = Vec::new();
    for group in unpadded.chunks(4) {
        let mut bits: u32 = 0;
        for place in 0..4 {
            bits = bits << 6 | group.get(place).map_or(Some(0), value)?;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        decoded.extend(bytes);
    }
    // What stands for the padding is nothing.
    for _ in unpadded.len()..text.len() {
        decoded.pop().filter(|byte| *byte == 0)?;
    }
    Some(decoded)
}

/// The six bits that a character stands for.
fn value(character: &u8) -> Option<u32> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ALPHABET.iter().position(|known| known == character).and_then(|place| u32::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;

    #[test]
    fn it_decodes_what_another_decoder_does() {
        let characters = b"AQZaz09+/=-_ \n";
        let mut texts = vec![Vec::new()];
        let mut taken = 0;
        for _ in 0..5 {
            for text in &texts {
                let expected = BASE64_STANDARD.decode(text).ok();
                taken += usize::from(expected.is_some());
                assert_eq!(decode(text), expected, "{}", text.escape_ascii());
            }
            let longer =
                |text: Vec<u8>| characters.map(|character| [&text[..], &[character]].concat());
            texts = texts.into_iter().flat_map(longer).collect();
        }
        assert!(taken > 1_000, "{taken}");
        for text in
            [&b"AAAAAA=="[..], b"AAAAA===", b"AAAAAAA=", b"AAAA====", b"AA==AAAA", b"Zm9vYmFy"]
        {
            assert_eq!(decode(text), BASE64_STANDARD.decode(text).ok(), "{}", text.escape_ascii());
        }
        let all: Vec<u8> = (0..=255).collect();
        for length in 250..=256 {
            let bytes = &all[..length];
            assert_eq!(decode(BASE64_STANDARD.encode(bytes).as_bytes()).as_deref(), Some(bytes));
        }
    }
}
