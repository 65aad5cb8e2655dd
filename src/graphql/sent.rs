//! The documents of a request: in its URL, and in its body (GraphQL over HTTP).

use super::MalformedGraphQl;
use crate::charset;
use crate::config::Json;
use crate::limits;
use crate::request::Request;

/// A document as it was sent.
pub(super) struct Document {
    pub(super) text: String,
    /// The `operationName` that picks one of its operations.
    pub(super) operation: Option<String>,
}

/// What stands in the URL.
pub(super) struct Url {
    /// Each `query` parameter is one.
    pub(super) documents: Vec<Document>,
    /// How many `operationName` parameters there are.
    pub(super) names: usize,
    pub(super) has_extensions: bool,
}

/// The members and parameters by which a request asks for another document than its `query`: one that
/// the upstream keeps or, of Rails, the items of a batch.
const OTHERS: [&str; 5] = ["_json", "doc_id", "documentId", "id", "queryId"];

/// The parameters that decide.
pub(crate) const PARAMETERS: [&[&str]; 2] = [&OTHERS, &["extensions", "operationName", "query"]];

pub(super) fn documents_of_url(request: Request<'_>) -> Result<Url, MalformedGraphQl> {
    let parameters = request.parameters();
    let texts = |name: &str| -> Result<Vec<String>, MalformedGraphQl> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).map_err(|_| MalformedGraphQl);
        parameters.values(name).map(text).collect()
    };
    let names = texts("operationName")?;
    let name = match names.as_slice() {
        [name] if !name.is_empty() && parameters.shows("operationName") => Some(name.clone()),
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
pub(super) fn documents_of_body(
    request: Request<'_>,
    body: &[u8],
) -> Result<Vec<Document>, MalformedGraphQl> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if body.len() > limits::GRAPHQL_BYTES
        || !request.values_of_any_spelling("content-encoding").all(is_plain)
    {
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
    if charset::is_another(request) {
        return Err(MalformedGraphQl);
    }
    let spellings = request.values_of_any_spelling("content-type").count();
    let (Some(value), 1) = (request.value("content-type"), spellings) else {
        return Err(MalformedGraphQl);
    };
    let value = std::str::from_utf8(value).map_err(|_| MalformedGraphQl)?.to_ascii_lowercase();
    if value.contains(',') {
        return Err(MalformedGraphQl);
    }
    match value.split(';').next().unwrap_or_default().trim() {
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
