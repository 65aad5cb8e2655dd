//! Tokens: how a new one is made, and what of it may be kept.
//!
//! A token is a prefix, 30 characters of base62 from the operating system's randomness (178 bits)
//! and a checksum: the CRC-32 of those 30 characters as 6 characters of base62, most significant
//! first, filled up with zeros. That is the shape of GitHub's tokens, whose checksum leaves the
//! prefix out, too; scanners that know it tell a leaked token from a text that looks like one.
//! Where a key type says what follows the prefix, that is drawn at random instead.

use std::fmt;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use latchkey::{Charset, Format, limits};
use sha2::{Digest, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64URL: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Random characters of a token whose key type says nothing of them.
const RANDOM: usize = 30;
/// Characters of the checksum behind them.
const CHECKSUM: usize = 6;
/// What stands in a hint for the part of the token that is not told.
const HIDDEN: &str = "...";
/// Characters of a token's end that a hint tells.
const TAIL: usize = 4;
/// A token of fewer random characters than this has none of them in its hint.
const LONG_ENOUGH_FOR_A_TAIL: usize = 16;

/// Longest prefix that a hint tells, in bytes.
pub(crate) const PREFIX_BYTES: usize = limits::HINT_BYTES - HIDDEN.len() - TAIL;

/// What tokens look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What every token starts with; may be empty.
    pub(crate) prefix: String,
    /// What follows the prefix; none: random base62 and its checksum.
    pub(crate) format: Option<Format>,
}

impl Shape {
    /// How much randomness a token has, in bits.
    pub(crate) fn bits(&self) -> f64 {
        let (characters, length) = match self.format {
            None => (BASE62.len(), RANDOM),
            Some(format) => (characters(format.charset).len(), format.length),
        };
        f64::from(u32::try_from(characters).unwrap_or(u32::MAX)).log2()
            * f64::from(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// A new token.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub(crate) fn mint(&self) -> Result<Token> {
        let mut text = self.prefix.clone();
        match self.format {
            None => {
                let random = random(BASE62, RANDOM)?;
                text.push_str(&random);
                text.push_str(&checksum(&random));
            }
            Some(format) => text.push_str(&random(characters(format.charset), format.length)?),
        }
        Ok(Token { text, prefix: self.prefix.len() })
    }
}

/// The characters that a new token draws from.
fn characters(charset: Charset) -> &'static [u8] {
    match charset {
        Charset::Alphanumeric => BASE62,
        Charset::Base64url => BASE64URL,
        Charset::Hex => HEX,
    }
}

/// A token: a secret, told by [`Token::reveal`] alone.
pub(crate) struct Token {
    text: String,
    /// Length of the prefix in bytes.
    prefix: usize,
}

impl Token {
    /// A token that is in use already, and what it starts with, if it does.
    pub(crate) fn of(text: &str, prefix: &str) -> Token {
        let prefix = if text.starts_with(prefix) { prefix.len() } else { 0 };
        Token { text: text.to_owned(), prefix }
    }

    /// The token itself, to be printed once.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// What a policy keeps of the token: its SHA-256, or with a pepper its HMAC-SHA-256.
    pub(crate) fn hash(&self, pepper: Option<&[u8]>) -> Result<String> {
        let Some(pepper) = pepper else {
            return Ok(format!("sha256:{}", hex::encode(Sha256::digest(&self.text))));
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper)
            .ok()
            .context("LATCHKEY_PEPPER cannot be used as a key")?;
        mac.update(self.text.as_bytes());
        Ok(format!("hmac-sha256:{}", hex::encode(mac.finalize().into_bytes())))
    }

    /// What lets people tell tokens apart: the prefix and the last four characters, such as
    /// `flk_live_...x7Qa`. A prefix that is too long for it, and the end of a short token, are
    /// left out.
    pub(crate) fn hint(&self) -> String {
        let (prefix, rest) = self.text.split_at_checked(self.prefix).unwrap_or(("", &self.text));
        let prefix = if prefix.len() > PREFIX_BYTES { "" } else { prefix };
        let tail = rest
            .len()
            .checked_sub(TAIL)
            .filter(|_| rest.len() >= LONG_ENOUGH_FOR_A_TAIL)
            .and_then(|start| rest.get(start..))
            .unwrap_or("");
        format!("{prefix}{HIDDEN}{tail}")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// The prefix that a hint tells; none where it tells none.
pub(crate) fn prefix_of_hint(hint: &str) -> Option<&str> {
    let (prefix, tail) = hint.rsplit_once(HIDDEN)?;
    (!prefix.is_empty() && matches!(tail.len(), 0 | TAIL)).then_some(prefix)
}

/// Whether a text can be a token at all, whoever made it: whether requests with it are looked at.
pub(crate) fn is_possible(text: &str) -> bool {
    (1..=limits::TOKEN_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What stands before the random characters and their checksum that a text ends in; none if it does not.
pub(crate) fn before_checksum(text: &str) -> Option<&str> {
    let start = text.len().checked_sub(RANDOM + CHECKSUM)?;
    let (before, shaped) = text.split_at_checked(start)?;
    let (random, sum) = shaped.split_at_checked(RANDOM)?;
    let fits = random.bytes().all(|byte| BASE62.contains(&byte)) && checksum(random) == sum;
    fits.then_some(before)
}

/// Whether what stands before the random characters ends as a prefix does whose type is not known.
pub(crate) fn ends_prefix(before: &str) -> bool {
    before.ends_with(['_', '-', '.'])
}

/// The CRC-32 of `random` as base62.
fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(rest % 62).ok().and_then(|i| BASE62.get(i)).copied().unwrap_or(0);
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// `length` of `characters`, each as likely as every other.
fn random(characters: &[u8], length: usize) -> Result<String> {
    // Six bits of a byte say which character; where there is none of that number, the byte is
    // dropped. A remainder would make the first characters likelier than the last.
    const SIX_BITS: u8 = 0b11_1111;
    let wanted = if characters.len() == HEX.len() { 0b1111 } else { SIX_BITS };
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).context("the operating system gives no randomness")?;
        let drawn = bytes.iter().filter_map(|byte| characters.get(usize::from(byte & wanted)));
        text.extend(drawn.copied().map(char::from).take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_githubs_tokens() {
        // A token that GitHub gave out and its owner published after it had been revoked:
        // github.com/therootcompany/base62-token.js
        assert_eq!(checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17");
        assert_eq!(checksum(""), "000000");
        // The largest CRC-32 there is fits: 62^6 > 2^32.
        assert!(62_u64.pow(6) > u64::from(u32::MAX));
    }

    #[test]
    fn a_token_is_prefix_randomness_and_checksum() {
        let token = Shape { prefix: "flk_live_".to_owned(), format: None }.mint().unwrap().text;
        let rest = token.strip_prefix("flk_live_").unwrap();
        assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let (random, sum) = rest.split_at(30);
        assert_eq!((checksum(random).as_str(), sum.len()), (sum, 6));
        assert_eq!((before_checksum(rest), before_checksum(&token)), (Some(""), Some("flk_live_")));
        let (_, shorter) = rest.split_at(1);
        for wrong in [shorter, random, "", "é", &rest.replace(random, &"_".repeat(30))] {
            assert_eq!(before_checksum(wrong), None, "{wrong}");
        }
        // CRC-32 tells any two texts apart that differ in one byte.
        let other = if rest.starts_with('a') { "b" } else { "a" };
        assert_eq!(before_checksum(&format!("{other}{shorter}")), None);
    }

    #[test]
    fn a_format_is_followed() {
        let mint = |charset, length| {
            let format = Some(Format { length, charset });
            Shape { prefix: "p_".to_owned(), format }.mint().unwrap().text
        };
        let token = mint(Charset::Hex, 33);
        assert_eq!(token.len(), 35);
        assert!(token.bytes().skip(2).all(|byte| HEX.contains(&byte)));
        assert_eq!(mint(Charset::Alphanumeric, 512).len(), 514);
        assert!(mint(Charset::Base64url, 2000).contains(['-', '_']));
    }

    #[test]
    fn every_character_is_as_likely_as_every_other() {
        for (characters, length) in [(&BASE62[..], 620_000), (BASE64URL, 640_000), (HEX, 160_000)] {
            let mut counts: HashMap<u8, u32> = HashMap::new();
            for byte in random(characters, length).unwrap().bytes() {
                *counts.entry(byte).or_default() += 1;
            }
            assert_eq!(counts.len(), characters.len());
            // Each is expected 10,000 times with a deviation of 100. Seven deviations are met once
            // in ten billion runs; a remainder modulo 62 would be off by more than twenty.
            assert!(counts.values().all(|count| (9_300..=10_700).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn tokens_differ() {
        let shape = Shape::default();
        let mut tokens: Vec<String> = (0..1000).map(|_| shape.mint().unwrap().text).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 1000);
    }

    fn token(prefix: &str, rest: &str) -> Token {
        Token { text: format!("{prefix}{rest}"), prefix: prefix.len() }
    }

    #[test]
    fn a_hash_is_what_the_engine_looks_up() {
        // SHA-256 of `abc` from FIPS 180-2; HMAC by `openssl dgst -sha256 -hmac pepper`.
        assert_eq!(
            token("a", "bc").hash(None).unwrap(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            token("demo-", "token").hash(Some(b"pepper")).unwrap(),
            "hmac-sha256:992c432b0ab6697bc45b6da477d0e146141be216e9d1305f3fe8fb546ff40bcf"
        );
    }

    #[test]
    fn a_hint_tells_little() {
        let long = "0123456789abcdef";
        assert_eq!(token("flk_live_", long).hint(), "flk_live_...cdef");
        assert_eq!(token("", long).hint(), "...cdef");
        assert_eq!(token("p_", "0123456789abcde").hint(), "p_...");
        let longest = "p".repeat(PREFIX_BYTES);
        assert_eq!(token(&longest, long).hint().len(), limits::HINT_BYTES);
        assert_eq!(token(&"p".repeat(PREFIX_BYTES + 1), long).hint(), "...cdef");
        for prefix in ["flk_live_", &longest] {
            assert_eq!(prefix_of_hint(&token(prefix, long).hint()), Some(prefix));
        }
        assert_eq!(prefix_of_hint("...cdef"), None);
        assert_eq!(prefix_of_hint("no hint of ours"), None);
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", token("p_", "secret")), "Token(…)");
    }
}
