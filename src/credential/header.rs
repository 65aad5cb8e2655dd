//! Headers that may carry a token.

use std::borrow::Cow;

use super::{Candidates, Token};
use crate::base64;
use crate::source::{BasicPart, Source};
use crate::spelling::has_spellings;

/// A header that may carry a token.
#[derive(Clone, Debug)]
pub(crate) struct HeaderSource {
    /// In lower case.
    pub(crate) name: Box<str>,
    /// Whether some upstream takes another name for it.
    pub(super) has_spellings: bool,
    pub(crate) form: Form,
}

/// What of a header's value may be a token.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// What follows one of these prefixes in an item of a list.
    Items(Vec<Box<str>>),
    /// What follows an authentication scheme (RFC 9110 section 11.1).
    Schemes {
        schemes: Vec<Scheme>,
        /// Whether one word without a scheme is a token as well.
        or_bare: bool,
    },
    /// All of it.
    Whole,
}

/// An authentication scheme, and what of its credentials is the token.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    name: Box<str>,
    /// The part of what `Basic` carries; `None` for all that follows the scheme.
    part: Option<BasicPart>,
}

impl HeaderSource {
    /// The header of a source that stands in one.
    pub(super) fn new(name: &str, source: &Source) -> HeaderSource {
        let form = match source {
            Source::WebSocketProtocol(prefix) => Form::Items(vec![prefix.clone()]),
            source => match Scheme::of(source) {
                Some(scheme) => Form::Schemes { schemes: vec![scheme], or_bare: false },
                None => Form::Whole,
            },
        };
        HeaderSource { name: name.into(), has_spellings: has_spellings(name), form }
    }

    /// Adds another source of the same header, of which no text is a credential already.
    pub(super) fn add(&mut self, source: &Source) {
        let scheme = Scheme::of(source);
        match (&mut self.form, source) {
            (Form::Items(prefixes), Source::WebSocketProtocol(prefix)) => {
                prefixes.push(prefix.clone());
            }
            (Form::Items(_), _) => {}
            (Form::Schemes { schemes, or_bare }, _) => {
                *or_bare |= scheme.is_none();
                schemes.extend(scheme);
            }
            (form @ Form::Whole, _) => {
                *form = Form::Schemes { schemes: Vec::from_iter(scheme), or_bare: true };
            }
        }
    }

    /// Adds what a header's value presents.
    ///
    /// A comma parts credentials, since proxies join repeated headers with one (RFC 9110 section
    /// 5.3). So a value of several elements, one of them ours, presents several credentials.
    pub(super) fn candidates<'a>(&self, value: &'a [u8], candidates: &mut Candidates<'a>) {
        let value = value.trim_ascii();
        // As most do: one credential with nothing else beside it.
        if let Form::Schemes { schemes, .. } = &self.form
            && let Some((scheme, rest)) = behind_scheme(value, schemes)
            && !rest.is_empty()
            && !value.contains(&b',')
        {
            scheme.add_token(rest, candidates);
        } else if !value.is_empty() {
            self.all_candidates(value, candidates);
        }
    }

    #[inline(never)]
    fn all_candidates<'a>(&self, value: &'a [u8], candidates: &mut Candidates<'a>) {
        match &self.form {
            Form::Items(prefixes) => {
                let tokens = elements(value).filter_map(|item| behind_prefix(item, prefixes));
                tokens.for_each(|token| candidates.add(Cow::Borrowed(token)));
            }
            Form::Schemes { schemes, or_bare } => {
                if let Some((_, [])) = behind_scheme(value, schemes) {
                    candidates.has_scheme_alone = true;
                    return;
                }
                let is_ours = |element| behind_scheme(element, schemes).is_some();
                if elements(value).any(is_ours) || (*or_bare && has_bare_element(value)) {
                    for element in elements(value) {
                        match behind_scheme(element, schemes) {
                            Some((scheme, rest)) => scheme.add_token(rest, candidates),
                            None if *or_bare => candidates.add_token(Token::new(element.into())),
                            None => candidates.add_token(None),
                        }
                    }
                } else if is_one_word(value) {
                    candidates.add_token(None);
                }
            }
            Form::Whole => {
                elements(value).for_each(|item| candidates.add_token(Token::new(item.into())));
            }
        }
    }

    /// Whether a value holds a credential of ours, or something that was meant to be one, so that all of it goes.
    pub(super) fn carries(&self, value: &[u8]) -> bool {
        match &self.form {
            Form::Items(_) => false,
            Form::Schemes { schemes, or_bare } => {
                // As most do, which is told without a look at the rest.
                behind_scheme(value.trim_ascii(), schemes).is_some()
                    || holds_any(value, schemes, *or_bare)
            }
            Form::Whole => true,
        }
    }

    /// A list's value without the items that are credentials, or `None` if none is.
    #[inline(never)]
    pub(super) fn items_without<'v>(
        &self,
        values: impl Iterator<Item = &'v [u8]>,
    ) -> Option<Vec<u8>> {
        let Form::Items(prefixes) = &self.form else { return None };
        let all: Vec<&[u8]> = values.flat_map(elements).filter(|item| !item.is_empty()).collect();
        let is_kept = |item: &&[u8]| behind_prefix(item, prefixes).is_none();
        let kept: Vec<&[u8]> = all.iter().copied().filter(is_kept).collect();
        (kept.len() < all.len()).then(|| kept.join(&b", "[..]))
    }
}

impl Scheme {
    /// That of a source; `None` if a header's whole value is the token.
    fn of(source: &Source) -> Option<Scheme> {
        let part = match source {
            Source::Basic(part) => Some(*part),
            _ => None,
        };
        source.scheme().map(|name| Scheme { name: name.into(), part })
    }

    /// Adds the token of what follows the scheme.
    fn add_token<'a>(&self, rest: &'a [u8], candidates: &mut Candidates<'a>) {
        let Some(part) = self.part else {
            candidates.add_token(Token::new(rest.into()));
            return;
        };
        add_basic_token(part, rest, candidates);
    }
}

/// Adds the part that counts of what `Basic` carries.
#[inline(never)]
fn add_basic_token(part: BasicPart, rest: &[u8], candidates: &mut Candidates<'_>) {
    let decoded = base64::decode(rest).unwrap_or_default();
    let mut parts = decoded.splitn(2, |byte| *byte == b':');
    match (parts.next(), parts.next(), part) {
        (Some(username), Some(_), BasicPart::Username) => candidates.add(username.to_vec().into()),
        (_, Some(password), BasicPart::Password) => candidates.add(password.to_vec().into()),
        _ => candidates.add_token(None),
    }
}

/// What commas part.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// What follows one of the prefixes, which are compared as they are.
fn behind_prefix<'a>(item: &'a [u8], prefixes: &[Box<str>]) -> Option<&'a [u8]> {
    prefixes.iter().find_map(|prefix| item.strip_prefix(prefix.as_bytes()))
}

/// The scheme that an element begins with, and what follows it; `None` for another scheme's credential.
#[inline(never)]
fn behind_scheme<'s, 'a>(
    element: &'a [u8],
    schemes: &'s [Scheme],
) -> Option<(&'s Scheme, &'a [u8])> {
    let end = element.iter().position(u8::is_ascii_whitespace).unwrap_or(element.len());
    let (word, rest) = element.split_at_checked(end)?;
    let is_own = |scheme: &&Scheme| scheme.name.as_bytes().eq_ignore_ascii_case(word);
    schemes.iter().find(is_own).map(|scheme| (scheme, rest.trim_ascii()))
}

/// Whether some element of a value is a credential of ours, or was meant to be one.
#[inline(never)]
fn holds_any(value: &[u8], schemes: &[Scheme], or_bare: bool) -> bool {
    is_one_word(value)
        || elements(value).any(|element| behind_scheme(element, schemes).is_some())
        || (or_bare && has_bare_element(value))
}

/// Whether a value is empty or one word: a token without its scheme, or a scheme without its token.
fn is_one_word(value: &[u8]) -> bool {
    !value.trim_ascii().iter().any(u8::is_ascii_whitespace)
}

/// Whether an element of a value is a token without a scheme, and not a parameter of the scheme before it
/// (RFC 9110 section 11.4), which may have commas between quotes.
fn has_bare_element(value: &[u8]) -> bool {
    let is_parameter = |element: &[u8]| {
        let mut sides = element.splitn(2, |byte| *byte == b'=');
        let value = sides.nth(1).unwrap_or_default();
        element.contains(&b'"') || value.first().is_some_and(|first| *first != b'=')
    };
    let is_bare = |(index, element): (usize, &[u8])| {
        !element.is_empty() && is_one_word(element) && (index == 0 || !is_parameter(element))
    };
    elements(value).enumerate().any(is_bare)
}
