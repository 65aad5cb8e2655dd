//! A request's query, read and cut without re-encoding what stays.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The parameters of a query, in order, as `application/x-www-form-urlencoded` writes them (WHATWG
/// URL section 5.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'a>(Vec<Parameter<'a>>);

#[derive(Clone, Debug)]
struct Parameter<'a> {
    /// As it was sent.
    raw: &'a [u8],
    name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
}

impl<'a> Query<'a> {
    pub(crate) fn parse(raw: &'a [u8]) -> Query<'a> {
        let parameter = |raw: &'a [u8]| {
            let mut sides = raw.splitn(2, |byte| *byte == b'=');
            let mut side = || decode(sides.next().unwrap_or_default());
            Parameter { raw, name: side(), value: side() }
        };
        Query(
            raw.split(|byte| *byte == b'&').filter(|raw| !raw.is_empty()).map(parameter).collect(),
        )
    }

    /// The decoded values of every occurrence of a parameter; an occurrence without `=` is empty.
    ///
    /// A name that ends in `[]` stands for every index, as it does for the upstreams that read it so:
    /// `type[0]` and `type[x]` are occurrences of `type[]`.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let list = name.strip_suffix("[]").filter(|list| !list.is_empty());
        let is_item = move |own: &[u8], list: &str| {
            own.strip_prefix(list.as_bytes()).is_some_and(|rest| rest.starts_with(b"["))
        };
        self.0
            .iter()
            .filter(move |parameter| match list {
                Some(list) => is_item(&parameter.name, list),
                None => *parameter.name == *name.as_bytes(),
            })
            .map(|parameter| &*parameter.value)
    }

    /// The query without the parameters whose name `is_cut` names, or `None` if it has none of them.
    pub(crate) fn without(&self, is_cut: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let kept: Vec<&[u8]> = self
            .0
            .iter()
            .filter(|parameter| !is_cut(&parameter.name))
            .map(|parameter| parameter.raw)
            .collect();
        (kept.len() < self.0.len()).then(|| kept.join(&b'&'))
    }
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
        let query = Query::parse(b"type[]=a&type[0]=b&type%5Bx%5D=c&type[=d&type=e&types[]=f");
        let values: Vec<_> = query.values("type[]").collect();
        assert_eq!(values, [b"a", b"b", b"c", b"d"]);
    }

    #[test]
    fn what_stays_keeps_its_spelling() {
        let query = Query::parse(b"a=%7e+b&auth%5Ftoken=k&&c&auth_token");
        let cut = query.without(|name| name == b"auth_token");
        assert_eq!(cut.as_deref(), Some(&b"a=%7e+b&c"[..]));
        assert_eq!(query.without(|name| name == b"other"), None);
    }
}
