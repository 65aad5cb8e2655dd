//! What a GraphQL request asks for (GraphQL October 2021; GraphQL over HTTP).
//!
//! Servers differ in where they look for the document: the body, the URL's `query` parameter, or
//! both. Whatever one of them could execute is judged here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use apollo_parser::cst::{self, CstNode};
use apollo_parser::{Parser, SyntaxTree};

use crate::config::Json;
use crate::limits;
use crate::request::{Body, Request};

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
    /// Below another field, with fields of its own. What has none tells of its parent only.
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

/// The request cannot be read, or goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedGraphQl;

/// Deepest nesting that is followed at all, of selections, values, types and fragments alike: what
/// the module's stack bears many times over.
const NESTING: usize = 128;

/// What a request asks for in GraphQL, by all that is known of it: its URL, and its body once that
/// has been read.
pub(crate) struct Reading {
    fields: Fields,
    /// How deep its deepest operation nests.
    depth: usize,
    /// The length of its longest part, a document or the body.
    bytes: usize,
    is_in_url: bool,
    has_extensions: bool,
}

impl Reading {
    pub(crate) fn new(request: Request<'_>) -> Result<Reading, MalformedGraphQl> {
        let url = documents_of_url(request)?;
        let (body, is_whole) = match request.body {
            Body::TooLarge => return Err(MalformedGraphQl),
            Body::Unread => (&b""[..], false),
            Body::Whole(body) => (body, true),
        };
        let documents = documents_of_body(request, body)?;
        let is_in_url = !url.documents.is_empty();
        // A name of the URL may pick an operation of the body's document, and the other way round.
        let is_paired = if documents.is_empty() {
            url.documents.len() == 1 && url.names == 1
        } else {
            !is_in_url && url.names == 0
        };
        let count = url.documents.len() + documents.len();
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
        Ok(Reading { fields, depth, bytes, is_in_url, has_extensions: url.has_extensions })
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

/// A document as it was sent.
struct Document {
    text: String,
    /// The `operationName` that picks one of its operations.
    operation: Option<String>,
}

/// What stands in the URL.
struct Url {
    /// Each `query` parameter is one.
    documents: Vec<Document>,
    /// How many `operationName` parameters there are.
    names: usize,
    has_extensions: bool,
}

/// The members and parameters by which a request asks for another document than its `query`: one that
/// the upstream keeps or, of Rails, the items of a batch.
const OTHERS: [&str; 5] = ["_json", "doc_id", "documentId", "id", "queryId"];

/// The parameters that decide.
pub(crate) const PARAMETERS: [&[&str]; 2] = [&OTHERS, &["extensions", "operationName", "query"]];

fn documents_of_url(request: Request<'_>) -> Result<Url, MalformedGraphQl> {
    let parameters = request.parameters();
    let texts = |name: &str| -> Result<Vec<String>, MalformedGraphQl> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).map_err(|_| MalformedGraphQl);
        parameters.values(name).map(text).collect()
    };
    let names = texts("operationName")?;
    let name = match names.as_slice() {
        [name] if !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    let document = |text| Document { text, operation: name.clone() };
    let documents = texts("query")?.into_iter().map(document).collect();
    if OTHERS.iter().any(|name| parameters.has(name)) {
        return Err(MalformedGraphQl);
    }
    Ok(Url { documents, names: names.len(), has_extensions: parameters.has("extensions") })
}

/// The documents of the body: JSON, a batch of it, or GraphQL itself.
fn documents_of_body(request: Request<'_>, body: &[u8]) -> Result<Vec<Document>, MalformedGraphQl> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if body.len() > limits::GRAPHQL_BYTES || !request.values("content-encoding").all(is_plain) {
        return Err(MalformedGraphQl);
    }
    let body = std::str::from_utf8(body).map_err(|_| MalformedGraphQl)?;
    match media_type(request)? {
        MediaType::GraphQl => {
            let text = body.to_owned();
            Ok(vec![Document { text, operation: None }])
        }
        MediaType::Json => match serde_json::from_str(body).map_err(|_| MalformedGraphQl)? {
            Json::Array(items) if items.is_empty() => Err(MalformedGraphQl),
            Json::Array(items) => items.iter().map(document).collect(),
            item => Ok(vec![document(&item)?]),
        },
    }
}

enum MediaType {
    GraphQl,
    Json,
}

/// What the body is said to be, in UTF-8.
fn media_type(request: Request<'_>) -> Result<MediaType, MalformedGraphQl> {
    let mut values = request.values("content-type");
    let (Some(value), None) = (values.next(), values.next()) else { return Err(MalformedGraphQl) };
    let value = std::str::from_utf8(value).map_err(|_| MalformedGraphQl)?.to_ascii_lowercase();
    if value.contains(',') {
        return Err(MalformedGraphQl);
    }
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // Some upstreams trim blanks around the `=`.
    let is_utf8 = |parameter: &str| {
        !parameter.starts_with("charset")
            || matches!(parameter, "charset=utf-8" | "charset=utf8" | "charset=\"utf-8\"")
    };
    if !parts.all(is_utf8) {
        return Err(MalformedGraphQl);
    }
    match essence {
        "application/graphql" => Ok(MediaType::GraphQl),
        "application/json" => Ok(MediaType::Json),
        _ => Err(MalformedGraphQl),
    }
}

/// A member of a JSON object that is not `null`. Some upstreams read names in any letter case, so a name
/// may stand in one spelling only.
fn member<'j>(json: &'j Json, name: &str) -> Result<Option<&'j Json>, MalformedGraphQl> {
    let Json::Object(entries) = json else { return Err(MalformedGraphQl) };
    let mut found = entries.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (None, _) | (Some((_, Json::Null)), None) => Ok(None),
        (Some((own, value)), None) if own == name => Ok(Some(value)),
        _ => Err(MalformedGraphQl),
    }
}

/// A document of a JSON object. A persisted query's name or hash without its text is none.
fn document(json: &Json) -> Result<Document, MalformedGraphQl> {
    let member = |name| member(json, name);
    let Some(Json::String(text)) = member("query")? else { return Err(MalformedGraphQl) };
    for name in OTHERS {
        if member(name)?.is_some() {
            return Err(MalformedGraphQl);
        }
    }
    let operation = match member("operationName")? {
        None => None,
        Some(Json::String(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        Some(_) => return Err(MalformedGraphQl),
    };
    Ok(Document { text: text.clone(), operation })
}

/// A parsed document: operations, and the fragments that they use.
struct Executable {
    operations: Vec<cst::OperationDefinition>,
    fragments: BTreeMap<Box<str>, Fragment>,
}

struct Fragment {
    selections: cst::SelectionSet,
    depth: Cell<Depth>,
}

/// How deep a fragment nests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// It is being looked into.
    Awaited,
    Known(usize),
    Unknown,
}

impl Executable {
    /// Parses a document of no more than so many tokens, and takes those it has from them.
    fn parse(text: &str, tokens: &mut usize) -> Result<Executable, MalformedGraphQl> {
        let parser = Parser::new(text).recursion_limit(NESTING).token_limit(*tokens);
        let tree: SyntaxTree = parser.parse();
        if tree.errors().len() > 0 {
            return Err(MalformedGraphQl);
        }
        *tokens = tokens.saturating_sub(tree.token_limit().high);
        let mut executable = Executable { operations: Vec::new(), fragments: BTreeMap::new() };
        for node in tree.document().syntax().children() {
            if let Some(operation) = cst::OperationDefinition::cast(node.clone()) {
                executable.operations.push(operation);
                continue;
            }
            // Whatever else may be defined is for schemas.
            let fragment = cst::FragmentDefinition::cast(node).ok_or(MalformedGraphQl)?;
            let name = fragment.fragment_name().and_then(|name| name.name());
            let name = name.ok_or(MalformedGraphQl)?.text().to_string();
            let selections = fragment.selection_set().ok_or(MalformedGraphQl)?;
            let fragment = Fragment { selections, depth: Cell::new(Depth::Unknown) };
            if executable.fragments.insert(name.into(), fragment).is_some() {
                return Err(MalformedGraphQl);
            }
        }
        Ok(executable)
    }

    /// Collects the fields of the operation of that name, or of every one.
    fn collect_operations(
        &self,
        name: Option<&str>,
        found: &mut Fields,
    ) -> Result<(), MalformedGraphQl> {
        let is_picked = |operation: &&cst::OperationDefinition| match name {
            Some(name) => operation.name().is_some_and(|own| own.text() == name),
            None => true,
        };
        let (mut is_empty, mut seen) = (true, Fields::default());
        for operation in self.operations.iter().filter(is_picked) {
            is_empty = false;
            let is_mutation = operation
                .operation_type()
                .is_some_and(|operation| operation.mutation_token().is_some());
            let position = if is_mutation { Position::Mutation } else { Position::Query };
            let selections = operation.selection_set().ok_or(MalformedGraphQl)?;
            self.collect(&selections, position, 0, &mut seen, found)?;
        }
        // No operation, or none of that name: nothing that could be executed, or judged.
        if is_empty { Err(MalformedGraphQl) } else { Ok(()) }
    }

    /// Collects the fields of a selection set and those below, those of fragments included. A fragment
    /// is looked into once for each position, as `seen` knows; `@skip` and `@include` are not looked at,
    /// since their variables are the client's.
    fn collect(
        &self,
        selections: &cst::SelectionSet,
        position: Position,
        nesting: usize,
        seen: &mut Fields,
        found: &mut Fields,
    ) -> Result<(), MalformedGraphQl> {
        if nesting > NESTING {
            return Err(MalformedGraphQl);
        }
        for selection in selections.selections() {
            match selection {
                cst::Selection::Field(field) => {
                    let name = field.name().ok_or(MalformedGraphQl)?.text().to_string();
                    let inner = field.selection_set();
                    // What stands below these is the schema, and no data.
                    let is_schema = matches!(&*name, "__schema" | "__type");
                    if let Some(below) = inner.as_ref().filter(|_| !is_schema) {
                        self.collect(below, Position::Nested, nesting + 1, seen, found)?;
                    }
                    if position != Position::Nested || inner.is_some() {
                        found.insert(position, &name);
                    }
                }
                cst::Selection::InlineFragment(fragment) => {
                    let inner = fragment.selection_set().ok_or(MalformedGraphQl)?;
                    self.collect(&inner, position, nesting + 1, seen, found)?;
                }
                cst::Selection::FragmentSpread(spread) => {
                    let name = spread_name(&spread)?;
                    let fragment = self.fragments.get(&*name).ok_or(MalformedGraphQl)?;
                    if seen.insert(position, &name) {
                        self.collect(&fragment.selections, position, nesting + 1, seen, found)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How deep the deepest operation or fragment nests. Refuses fragments that do not exist, and
    /// fragments that spread themselves.
    fn depth(&self) -> Result<usize, MalformedGraphQl> {
        let mut deepest = 0;
        for name in self.fragments.keys() {
            deepest = deepest.max(self.fragment_depth(name, 0)?);
        }
        for operation in &self.operations {
            let selections = operation.selection_set().ok_or(MalformedGraphQl)?;
            deepest = deepest.max(self.depth_of(&selections, 0)?);
        }
        Ok(deepest)
    }

    fn fragment_depth(&self, name: &str, nesting: usize) -> Result<usize, MalformedGraphQl> {
        let fragment = self.fragments.get(name).ok_or(MalformedGraphQl)?;
        match fragment.depth.get() {
            Depth::Awaited => Err(MalformedGraphQl),
            Depth::Known(depth) => Ok(depth),
            Depth::Unknown => {
                fragment.depth.set(Depth::Awaited);
                let depth = self.depth_of(&fragment.selections, nesting)?;
                fragment.depth.set(Depth::Known(depth));
                Ok(depth)
            }
        }
    }

    fn depth_of(
        &self,
        selections: &cst::SelectionSet,
        nesting: usize,
    ) -> Result<usize, MalformedGraphQl> {
        if nesting > NESTING {
            return Err(MalformedGraphQl);
        }
        let nesting = nesting + 1;
        let mut deepest = 1;
        for selection in selections.selections() {
            let depth = match selection {
                cst::Selection::Field(field) => match field.selection_set() {
                    Some(inner) => 1 + self.depth_of(&inner, nesting)?,
                    None => 1,
                },
                cst::Selection::InlineFragment(fragment) => {
                    let inner = fragment.selection_set().ok_or(MalformedGraphQl)?;
                    self.depth_of(&inner, nesting)?
                }
                cst::Selection::FragmentSpread(spread) => {
                    self.fragment_depth(&spread_name(&spread)?, nesting)?
                }
            };
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }
}

fn spread_name(spread: &cst::FragmentSpread) -> Result<String, MalformedGraphQl> {
    let name = spread.fragment_name().and_then(|name| name.name()).ok_or(MalformedGraphQl)?;
    Ok(name.text().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let reading = Reading::new(Request { body, ..Request::new(&headers, &|| None) })?;
        let fields = reading.fields(method, LIMITS).ok_or(MalformedGraphQl)?;
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
