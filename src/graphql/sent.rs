//! The documents of a request: in its URL, and in its body (GraphQL over HTTP).

use hex::ToHex;
use sha2::{Digest, Sha256};

use super::MalformedGraphQl;
use crate::config::Json;
use crate::limits;
use crate::reading::Reading;
use crate::spelling::is_same_member;

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

/// The members and parameters by which a request asks for something else than its `query`: a document that
/// the upstream keeps (`operationId`: GraphQL-Ruby Pro), of Rails the items of a batch, or of Hot Chocolate
/// the schema.
const OTHERS: [&str; 7] = ["_json", "doc_id", "documentId", "id", "operationId", "queryId", "sdl"];

/// The parameters that decide.
pub(crate) const PARAMETERS: [&[&str]; 2] = [&OTHERS, &["extensions", "operationName", "query"]];

pub(super) fn documents_of_url(reading: &Reading<'_>) -> Result<Url, MalformedGraphQl> {
    let parameters = reading.query();
    let texts = |name: &str| -> Result<Vec<String>, MalformedGraphQl> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).map_err(|_| MalformedGraphQl);
        parameters.values(name).map(text).collect()
    };
    let names = texts("operationName")?;
    let name = match names.as_slice() {
        [name] if !name.is_empty() && parameters.shows("operationName") => Some(name.clone()),
        _ => None,
    };
    if OTHERS.iter().any(|name| parameters.has(name)) {
        return Err(MalformedGraphQl);
    }
    let document = |text| Document { text, operation: name.clone() };
    let documents: Vec<Document> = texts("query")?.into_iter().map(document).collect();
    let extensions = texts("extensions")?;
    match extensions.as_slice() {
        [] => {}
        [text] if text.is_empty() => {}
        [text] => {
            let extensions = serde_json::from_str(text).map_err(|_| MalformedGraphQl)?;
            for document in documents.iter().filter(|_| extensions != Json::Null) {
                check_extensions(&extensions, &document.text)?;
            }
        }
        _ => return Err(MalformedGraphQl),
    }
    Ok(Url { documents, names: names.len(), has_extensions: !extensions.is_empty() })
}

/// The documents of the body: JSON, a batch of it, or GraphQL itself.
pub(super) fn documents_of_body(
    reading: &Reading<'_>,
    body: &[u8],
) -> Result<Vec<Document>, MalformedGraphQl> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if body.len() > limits::GRAPHQL_BYTES
        || !reading.values_of_any_spelling("content-encoding").all(is_plain)
    {
        return Err(MalformedGraphQl);
    }
    let body = std::str::from_utf8(body).map_err(|_| MalformedGraphQl)?;
    match media_type(reading)? {
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
fn media_type(reading: &Reading<'_>) -> Result<MediaType, MalformedGraphQl> {
    if reading.names_another_charset() {
        return Err(MalformedGraphQl);
    }
    let spellings = reading.values_of_any_spelling("content-type").count();
    let (Some(value), 1) = (reading.value("content-type"), spellings) else {
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

/// A member of a JSON object that is not `null`. Upstreams read names in other spellings, too, so a name may
/// stand in its own only.
fn member<'j>(json: &'j Json, name: &str) -> Result<Option<&'j Json>, MalformedGraphQl> {
    let Json::Object(entries) = json else { return Err(MalformedGraphQl) };
    let mut found = entries.iter().filter(|(member, _)| is_same_member(member, name));
    match (found.next(), found.next()) {
        (None, _) | (Some((_, Json::Null)), None) => Ok(None),
        (Some((member, value)), None) if member == name => Ok(Some(value)),
        _ => Err(MalformedGraphQl),
    }
}

/// Whether a JSON object asks for another document.
fn asks_for_another(json: &Json) -> bool {
    let Json::Object(entries) = json else { return false };
    let is_other = |name: &str| OTHERS.iter().any(|other| is_same_member(name, other));
    entries.iter().any(|(name, value)| *value != Json::Null && is_other(name))
}

/// Refuses extensions that ask for another document than this text. The hash of a persisted query is looked
/// up as it stands (Grafserv, PostGraphile), so it must be the text's own, and in the one form that clients
/// send it: with urql's `miss`, which says that the hash alone was refused.
fn check_extensions(extensions: &Json, text: &str) -> Result<(), MalformedGraphQl> {
    const NAME: &str = "persistedQuery";
    let Json::Object(entries) = extensions else { return Err(MalformedGraphQl) };
    if asks_for_another(extensions) {
        return Err(MalformedGraphQl);
    }
    let mut found = entries.iter().filter(|(name, _)| is_same_member(name, NAME));
    let persisted = match (found.next(), found.next()) {
        (None, _) => return Ok(()),
        (Some((name, Json::Object(members))), None) if name == NAME => members,
        _ => return Err(MalformedGraphQl),
    };
    let (mut has_version, mut has_hash) = (false, false);
    for (name, value) in persisted {
        match (name.as_str(), value) {
            ("version", Json::Integer(1)) => has_version = true,
            ("sha256Hash", Json::String(hash)) => {
                has_hash = *hash == Sha256::digest(text).encode_hex::<String>();
            }
            ("miss", Json::Bool(_)) => {}
            _ => return Err(MalformedGraphQl),
        }
    }
    if has_version && has_hash { Ok(()) } else { Err(MalformedGraphQl) }
}

/// A document of a JSON object. A persisted query's name or hash without its text is none.
fn document(json: &Json) -> Result<Document, MalformedGraphQl> {
    let member = |name| member(json, name);
    let Some(Json::String(text)) = member("query")? else { return Err(MalformedGraphQl) };
    if asks_for_another(json) {
        return Err(MalformedGraphQl);
    }
    if let Some(extensions) = member("extensions")? {
        check_extensions(extensions, text)?;
    }
    let operation = match member("operationName")? {
        None => None,
        Some(Json::String(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        Some(_) => return Err(MalformedGraphQl),
    };
    Ok(Document { text: text.clone(), operation })
}
