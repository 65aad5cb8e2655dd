//! A request's query, read and cut without re-encoding what stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use percent_encoding::percent_decode;

use crate::limits;

/// The parameters of a query, as `application/x-www-form-urlencoded` writes them (WHATWG URL section
/// 5.1).
#[derive(Clone, Default)]
pub(crate) struct Query<'a> {
    raw: &'a [u8],
    /// How many parameters there are.
    count: usize,
    /// By name, those of one name in their order.
    parameters: BTreeMap<Cow<'a, [u8]>, Vec<Cow<'a, [u8]>>>,
}

/// Name and value, decoded.
type Parameter<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Query<'a> {
    pub(crate) fn parse(raw: &'a [u8]) -> Query<'a> {
        let mut query = Query { raw, ..Query::default() };
        for (name, value) in pieces(raw).map(parameter) {
            query.count += 1;
            query.parameters.entry(name).or_default().push(value);
        }
        query
    }

    /// The decoded values of every occurrence of a parameter; an occurrence without `=` is empty.
    ///
    /// A name that ends in `[]` stands for every index, as it does for the upstreams that read it so:
    /// `type[0]` is an occurrence of `type[]`. Others do not see it: see [`Query::has`] and
    /// [`Query::is_ambiguous`].
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let first = list_of(name).unwrap_or(name).as_bytes();
        let rest = self.parameters.range::<[u8], _>((Bound::Included(first), Bound::Unbounded));
        let own = rest.take_while(move |(own, _)| is_named(own, name));
        own.flat_map(|(_, values)| values).map(|value| &**value)
    }

    /// Whether a parameter occurs in this very spelling, which no upstream can miss.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name.as_bytes())
    }

    /// The query without the parameters whose name `is_cut` names, or `None` if it has none of them.
    pub(crate) fn without(&self, is_cut: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        if !self.parameters.keys().any(|name| is_cut(name)) {
            return None;
        }
        let is_kept = |piece: &&[u8]| piece.is_empty() || !is_cut(&parameter(piece).0);
        let kept: Vec<&[u8]> = self.raw.split(is_ampersand).filter(is_kept).collect();
        Some(kept.join(&b'&'))
    }

    /// Whether an upstream could read one of `names` where we do not: from a name of another
    /// spelling, or behind a `;`. Also whether there are more parameters than rules are matched with.
    pub(crate) fn is_ambiguous(&self, names: &QueryNames) -> bool {
        if names.is_empty() {
            return false;
        }
        let may_be_read = |name: &[u8]| {
            let is_own = |name: Vec<u8>| {
                std::str::from_utf8(&name).is_ok_and(|name| names.folded.contains(name))
            };
            let (whole, of_list) = folded(name);
            is_own(whole) || is_own(of_list)
        };
        let is_read = |name: &[u8]| names.exact.iter().any(|own| is_plainly_named(name, own));
        let has_another_spelling =
            self.parameters.keys().any(|name| may_be_read(name) && !is_read(name));
        let is_behind_semicolon = |piece: &[u8]| {
            let mut parts = piece.split(|byte| *byte == b';').skip(1);
            parts.any(|part| may_be_read(&parameter(part).0))
        };
        self.count > limits::PARAMETERS
            || has_another_spelling
            // Some upstream reads `%u0061`, which is no percent-encoding, as `a`.
            || self.raw.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"%u"))
            || pieces(self.raw).any(is_behind_semicolon)
    }
}

/// The names of parameters that decide something.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryNames {
    exact: BTreeSet<Box<str>>,
    /// As [`folded`] has them, without the brackets of a list.
    folded: BTreeSet<Box<str>>,
}

impl QueryNames {
    pub(crate) fn insert(&mut self, name: &str) {
        let (_, of_list) = folded(name.as_bytes());
        self.folded.extend(String::from_utf8(of_list).ok().map(Into::into));
        self.exact.insert(name.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }
}

/// The names that some upstream takes a parameter's for, in one letter case, as ASP.NET reads them: the
/// whole of it, and the one before its brackets or in them.
///
/// PHP ends a name at a zero byte, trims it, reads `.` and a blank as `_`, `[…]` as an index, and a
/// bracket that nothing closes as `_`. Express' qs takes `[name]` for `name`; some take a second `?`
/// for the first.
fn folded(name: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let fold = |name: &[u8]| {
        let plain = |byte: &u8| match byte {
            b'.' | b' ' | b'+' | b'[' => b'_',
            byte => byte.to_ascii_lowercase(),
        };
        let name = name.trim_ascii();
        name.strip_prefix(b"?").unwrap_or(name).iter().map(plain).collect()
    };
    let mut parts = name.split(|byte| matches!(byte, b'[' | b']'));
    (fold(name), fold(parts.find(|part| !part.is_empty()).unwrap_or_default()))
}

/// Whether a parameter's name is an occurrence of the one that `own` names: of a list, by whatever index.
pub(crate) fn is_named(name: &[u8], own: &str) -> bool {
    match list_of(own) {
        Some(list) => name.starts_with(list.as_bytes()),
        None => name == own.as_bytes(),
    }
}

/// Whether it is one for every upstream that reads it at all: of a list, by no index or by a number.
fn is_plainly_named(name: &[u8], own: &str) -> bool {
    let is_number = |list: &str| {
        let index = name.get(list.len()..).and_then(|rest| rest.strip_suffix(b"]"));
        index.is_some_and(|index| index.iter().all(u8::is_ascii_digit))
    };
    is_named(name, own) && list_of(own).is_none_or(is_number)
}

/// What every index of a list begins with, of a name that stands for a list: `type[` of `type[]`.
fn list_of(name: &str) -> Option<&str> {
    name.strip_suffix(']').filter(|list| list.len() > 1 && list.ends_with('['))
}

fn pieces(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(is_ampersand).filter(|piece| !piece.is_empty())
}

fn is_ampersand(byte: &u8) -> bool {
    *byte == b'&'
}

/// Name and value of a piece.
fn parameter(piece: &[u8]) -> Parameter<'_> {
    let mut sides = piece.splitn(2, |byte| *byte == b'=');
    let mut side = || decode(sides.next().unwrap_or_default());
    (side(), side())
}

fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(raw);
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse(b"content_type%5B%5D=a+b&content_type[]=%63&x&=y");
        let values: Vec<_> = query.values("content_type[]").collect();
        assert_eq!(values, [&b"a b"[..], b"c"]);
        assert_eq!(query.values("x").collect::<Vec<_>>(), [b""]);
        assert_eq!(query.values("missing").count(), 0);
    }

    #[test]
    fn a_list_is_read_at_every_index() {
        let query = Query::parse(b"type[]=a&type%5B0%5D=b&type[x]=c&type[=d&type=e&types[]=f");
        let mut values: Vec<_> = query.values("type[]").collect();
        values.sort_unstable();
        assert_eq!(values, [b"a", b"b", b"c", b"d"]);
        assert!(query.has("type[]"));
        assert!(!Query::parse(b"type[0]=b").has("type[]"));
    }

    #[test]
    fn what_stays_keeps_its_spelling_and_order() {
        let query = Query::parse(b"z=%7e+b&auth%5Ftoken=k&&c&auth_token");
        let cut = query.without(|name| name == b"auth_token");
        assert_eq!(cut.as_deref(), Some(&b"z=%7e+b&&c"[..]));
        assert_eq!(query.without(|name| name == b"other"), None);
    }

    #[test]
    fn what_an_upstream_could_read_as_one_of_the_names_is_ambiguous() {
        let mut names = QueryNames::default();
        names.insert("hydrate");
        names.insert("type[]");
        names.insert("ty_pe");
        for query in [
            "hydrate[]=1",
            "[hydrate]=1",
            "][hydrate=1",
            "[[hydrate]]=1",
            "?hydrate=1",
            "%u0068ydrate=1",
            "type[=a",
            "type[x]=a",
            "type[0][]=a",
            "type[constructor]=a",
            "ty[pe=a",
            "+hydrate=1",
            "hydrate%00=1",
            "x;hydrate=1",
            "Hydrate=1",
            "TYPE[]=a",
            "type=a",
            "type[]=a&type=b",
            "a=b;type[]=c",
            " hydrate=1",
        ] {
            assert!(Query::parse(query.as_bytes()).is_ambiguous(&names), "{query}");
        }
        for query in ["hydrate=1&hydrate=0", "type[]=a&type[0]=b", "x=a;b", "q=1;2&hydrated=1", ""]
        {
            assert!(!Query::parse(query.as_bytes()).is_ambiguous(&names), "{query}");
        }
        let many = "a&".repeat(limits::PARAMETERS + 1);
        assert!(Query::parse(many.as_bytes()).is_ambiguous(&names));
        assert!(!Query::parse(many.as_bytes()).is_ambiguous(&QueryNames::default()));
    }
}
