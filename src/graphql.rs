//! What a GraphQL request asks for (GraphQL October 2021; GraphQL over HTTP).
//!
//! Servers differ in where they look for the document: the body, the URL's `query` parameter, or
//! both. Whatever one of them could execute is judged here.

mod document;
mod sent;
mod text;

use std::collections::BTreeSet;

use crate::limits;
use crate::reading::Reading;
use crate::request::Body;

use document::Executable;
pub(crate) use sent::PARAMETERS;
use sent::{documents_of_body, documents_of_url};

/// What a rule says of GraphQL requests, beside what it requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Deepest nesting of selections, fragments followed; the root's is 1.
    pub(crate) depth: usize,
    /// Largest body or document, in bytes.
    pub(crate) bytes: usize,
}

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the root of a query or of a subscription.
    Query,
    /// At the root of a mutation.
    Mutation,
    /// Below another field, with fields of its own, or for the schema. What else has none tells of its parent
    /// only.
    Nested,
}

impl Position {
    /// The action of a scope that stands for what is done to a field here.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Position::Mutation => "write",
            Position::Query | Position::Nested => "read",
        }
    }
}

/// Fields by their own names, each once at each position: aliases are seen through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    queried: BTreeSet<Box<str>>,
    mutated: BTreeSet<Box<str>>,
    nested: BTreeSet<Box<str>>,
}

impl Fields {
    /// Those of each position.
    pub(crate) fn positions(&self) -> [(Position, &BTreeSet<Box<str>>); 3] {
        [
            (Position::Query, &self.queried),
            (Position::Mutation, &self.mutated),
            (Position::Nested, &self.nested),
        ]
    }

    /// Adds one, and says whether it is new there.
    fn insert(&mut self, position: Position, name: &str) -> bool {
        let names = match position {
            Position::Query => &mut self.queried,
            Position::Mutation => &mut self.mutated,
            Position::Nested => &mut self.nested,
        };
        names.insert(name.into())
    }
}

/// Whether a field asks for the schema: the specification keeps `__` for those that do. The name of a type,
/// which clients ask for at every place, tells nothing of the data.
pub(crate) fn is_introspection(field: &str) -> bool {
    field.starts_with("__") && field != "__typename"
}

/// The request cannot be read, or goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedGraphQl;

/// What a request asks for in GraphQL, by all that is known of it: its URL, and its body once that
/// has been read.
pub(crate) struct Asked {
    fields: Fields,
    /// How deep its deepest operation nests.
    depth: usize,
    /// The length of its longest part, a document or the body.
    bytes: usize,
    is_in_url: bool,
    has_extensions: bool,
}

impl Asked {
    pub(crate) fn new(reading: &Reading<'_>) -> Result<Asked, MalformedGraphQl> {
        let url = documents_of_url(reading)?;
        let (body, is_whole) = match reading.body() {
            Body::TooLarge => return Err(MalformedGraphQl),
            Body::Unread => (&b""[..], false),
            Body::Whole(body) => (body, true),
        };
        let documents = documents_of_body(reading, body)?;
        let is_in_url = !url.documents.is_empty();
        // A name of the URL may pick an operation of the body's document, and the other way round.
        let is_paired = if documents.is_empty() {
            url.documents.len() == 1 && url.names == 1
        } else {
            !is_in_url && url.names == 0
        };
        let count = url.documents.len().saturating_add(documents.len());
        if count > limits::GRAPHQL_DOCUMENTS || (count == 0 && is_whole) {
            return Err(MalformedGraphQl);
        }
        let mut tokens = limits::GRAPHQL_TOKENS;
        let (mut depth, mut bytes, mut fields) = (0, body.len(), Fields::default());
        for document in url.documents.iter().chain(&documents) {
            let name = document.operation.as_deref().filter(|_| is_paired);
            let executable = Executable::parse(&document.text, &mut tokens)?;
            depth = depth.max(executable.depth()?);
            bytes = bytes.max(document.text.len());
            executable.collect_operations(name, &mut fields)?;
        }
        let count: usize = fields.positions().into_iter().map(|(_, names)| names.len()).sum();
        if count > limits::GRAPHQL_FIELDS {
            return Err(MalformedGraphQl);
        }
        Ok(Asked { fields, depth, bytes, is_in_url, has_extensions: url.has_extensions })
    }

    /// The fields of every operation that the upstream could execute of a request of that method; `None`
    /// where it has none that can be told, or goes beyond a limit.
    pub(crate) fn fields(&self, method: &str, most: Limits) -> Option<&Fields> {
        // Upstreams read a GET's URL only, and there a hash in `extensions` could name a kept document.
        let is_misplaced = !self.is_in_url && (method != "POST" || self.has_extensions);
        let is_within = self.depth <= most.depth && self.bytes <= most.bytes;
        (is_within && !is_misplaced).then_some(&self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    const LIMITS: Limits = Limits { depth: 5, bytes: 4096 };

    fn fields_of(
        target: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> Result<Vec<String>, MalformedGraphQl> {
        let mut headers = vec![(":path", target.as_bytes())];
        headers.extend(content_type.map(|value| ("content-type", value.as_bytes())));
        let method = if body.is_empty() { "GET" } else { "POST" };
        let body = Body::Whole(body.as_bytes());
        let request = Request { body, ..Request::new(&headers, &|| None) };
        let asked = Asked::new(&Reading::new(&request, Some(&|_| true)))?;
        let fields = asked.fields(method, LIMITS).ok_or(MalformedGraphQl)?;
        let texts = fields.positions().into_iter().flat_map(|(position, names)| {
            let text = move |name: &str| match position {
                Position::Nested => format!("below: {name}"),
                _ => format!("{name}:{}", position.action()),
            };
            names.iter().map(move |name| text(name))
        });
        Ok(texts.collect())
    }

    fn fields_of_json(body: &str) -> Result<Vec<String>, MalformedGraphQl> {
        fields_of("/graphql", Some("application/json"), body)
    }

    fn fields_of_text(document: &str) -> Result<Vec<String>, MalformedGraphQl> {
        fields_of("/graphql", Some("application/graphql"), document)
    }

    #[test]
    fn an_alias_is_seen_through() {
        assert_eq!(fields_of_text("{ allowed: secret { id } }").unwrap(), ["secret:read"]);
    }

    #[test]
    fn fragments_are_followed() {
        let document = "query { ...A ... on Query { c } ... @include(if: false) { d } }
            fragment A on Query { a ...B } fragment B on Query { b @skip(if: true) ...C }
            fragment C on Query { e }";
        let fields = fields_of_text(document).unwrap();
        assert_eq!(fields, ["a:read", "b:read", "c:read", "d:read", "e:read"]);
    }

    #[test]
    fn fragments_that_spread_each_other_are_refused() {
        let document = "{ ...A } fragment A on Q { a ...B } fragment B on Q { b ...A }";
        assert_eq!(fields_of_text(document), Err(MalformedGraphQl));
        assert_eq!(fields_of_text("{ ...Missing }"), Err(MalformedGraphQl));
        let twice = "{ ...A } fragment A on Q { a } fragment A on Q { b }";
        assert_eq!(fields_of_text(twice), Err(MalformedGraphQl));
    }

    #[test]
    fn every_operation_counts_unless_one_is_picked() {
        let document = "query A { a } mutation B { b } subscription C { c }";
        assert_eq!(fields_of_text(document).unwrap(), ["a:read", "c:read", "b:write"]);
        let picked = |name: &str| {
            fields_of_json(&format!(r#"{{"query": "{document}", "operationName": {name}}}"#))
        };
        assert_eq!(picked("\"A\"").unwrap(), ["a:read"]);
        assert_eq!(picked("\"B\"").unwrap(), ["b:write"]);
        assert_eq!(picked("null").unwrap().len(), 3);
        assert_eq!(picked("\"\"").unwrap().len(), 3);
        assert_eq!(picked("\"D\""), Err(MalformedGraphQl));
        assert_eq!(picked("1"), Err(MalformedGraphQl));
    }

    #[test]
    fn a_batch_is_all_of_its_documents() {
        let batch =
            r#"[{"query": "{a}"}, {"query": "query X {b} mutation Y {c}", "operationName": "X"}]"#;
        assert_eq!(fields_of_json(batch).unwrap(), ["a:read", "b:read"]);
        for batch in ["[]", "[[]]", r#"[{"query": "{a}"}, {}]"#, r#"[{"query": "{a}"}, null]"#] {
            assert_eq!(fields_of_json(batch), Err(MalformedGraphQl), "{batch}");
        }
    }

    #[test]
    fn url_and_body_are_both_judged() {
        let json = Some("application/json");
        let url = "/graphql?query=%7Ba%7D&operationName=X";
        assert_eq!(fields_of("/graphql?query=%7Ba%7D", None, "").unwrap(), ["a:read"]);
        assert_eq!(
            fields_of("/graphql?qu%65ry={a}&query={b}", json, r#"{"query":"{c}"}"#).unwrap(),
            ["a:read", "b:read", "c:read"]
        );
        // The URL's name could pick an operation of the body's document, so none is picked.
        let body = r#"{"query": "query X {x} mutation Y {y}", "operationName": "X"}"#;
        assert_eq!(fields_of(url, json, body).unwrap(), ["a:read", "x:read", "y:write"]);
        let url = "/graphql?operationName=Y";
        assert_eq!(fields_of(url, json, body).unwrap(), ["x:read", "y:write"]);
        let url = "/graphql?query=query%20X%7Bx%7D%20mutation%20Y%7By%7D&operationName=X";
        assert_eq!(fields_of(url, None, "").unwrap(), ["x:read"]);
        assert_eq!(fields_of("/graphql", None, ""), Err(MalformedGraphQl));
    }

    #[test]
    fn what_two_upstreams_could_read_differently_is_refused() {
        for body in [
            r#"{"query": "{a}", "query": "{b}"}"#,
            r#"{"query": "{a}", "Query": "{b}"}"#,
            r#"{"QUERY": "{a}"}"#,
            r#"{"query": "{a}", "operationname": "b"}"#,
            r#"{"extensions": {"persistedQuery": {"sha256Hash": "00"}}}"#,
            r#"{"query": ["{a}"]}"#,
            r#"{"query": "{a}"} {}"#,
            r#""{a}""#,
            "{a}",
        ] {
            assert_eq!(fields_of_json(body), Err(MalformedGraphQl), "{body}");
        }
    }

    #[test]
    fn a_body_of_another_kind_is_refused() {
        let body = r#"{"query": "{a}"}"#;
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;a=b"]
        {
            assert!(fields_of("/graphql", Some(good), body).is_ok(), "{good}");
        }
        for bad in [
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert_eq!(fields_of("/graphql", Some(bad), body), Err(MalformedGraphQl), "{bad}");
        }
        assert_eq!(fields_of("/graphql", None, body), Err(MalformedGraphQl));
    }

    #[test]
    fn limits_hold() {
        let nested = |levels: usize| "{a".repeat(levels) + &"}".repeat(levels);
        assert!(fields_of_text(&nested(5)).is_ok());
        assert_eq!(fields_of_text(&nested(6)), Err(MalformedGraphQl));
        assert_eq!(fields_of_text(&nested(1000)), Err(MalformedGraphQl));
        let in_fragments =
            "{ a { ...A } } fragment A on Q { b { ...B } } fragment B on Q { c { d { e } } }";
        assert!(fields_of_text(in_fragments).is_ok());
        let deeper = in_fragments.replace("{ e }", "{ e { f } }");
        assert_eq!(fields_of_text(&deeper), Err(MalformedGraphQl));
        let long = format!("{{ a }} #{}", "x".repeat(LIMITS.bytes));
        assert_eq!(fields_of_text(&long), Err(MalformedGraphQl));
        let chain: String =
            (0..200).map(|n| format!("fragment f{n} on Q{{...f{}}}", n + 1)).collect();
        assert_eq!(
            fields_of_text(&format!("{{...f0}}{chain}fragment f200 on Q{{a}}")),
            Err(MalformedGraphQl)
        );
    }

    #[test]
    fn what_is_no_executable_document_is_refused() {
        for document in
            ["", "{", "{}", "type Query { a: Int }", "fragment A on Q { a }", "query", "{ a } }"]
        {
            assert_eq!(fields_of_text(document), Err(MalformedGraphQl), "{document}");
        }
    }
}
