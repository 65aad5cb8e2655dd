//! What other gateways keep their keys in: YAML or JSON, also several documents in one file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Entry, Found, Id, KeyFields, Secret, text};
use crate::document::{self, Document, Fields, Malformed};
use crate::{place, time};

/// How one gateway's file is read.
pub(super) struct Gateway {
    read: fn(&Document, &mut Reader),
    /// What is missing where no key was found.
    nothing: &'static str,
}

/// Kong's declarative configuration: <https://developer.konghq.com/gateway/db-less-mode/>.
pub(super) const KONG: Gateway = Gateway {
    read: kong,
    nothing: "no consumer has `keyauth_credentials` (a declarative file has them, as `deck gateway dump` makes it)",
};

/// Envoy's filter `envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth`.
pub(super) const ENVOY: Gateway =
    Gateway { read: envoy, nothing: "there are no `credentials` with `key` and `client`" };

/// Envoy Gateway's `SecurityPolicy`, `apiKeyAuth.credentialRefs`: each key of a Secret is a client's id.
pub(super) const ENVOY_GATEWAY: Gateway =
    Gateway { read: secret, nothing: "there is no Secret of type `Opaque` with data" };

/// APISIX's consumers and credentials with the plugin `key-auth`.
pub(super) const APISIX: Gateway =
    Gateway { read: apisix, nothing: "no consumer has the plugin `key-auth`" };

/// What a document says; places are JSON pointers into it.
#[derive(Default)]
struct Reader {
    keys: Vec<Key>,
    mistakes: Vec<(String, String)>,
    /// How many consumers, or Secrets, have no key.
    without: usize,
}

/// One key, or what is wrong with its token.
struct Key {
    pointer: String,
    id: Id,
    secret: Result<Secret, String>,
    fields: KeyFields,
}

impl Reader {
    fn key(&mut self, pointer: String, id: Id, token: Option<&Document>, fields: KeyFields) {
        let secret = match token.and_then(Document::as_str) {
            None => Err("the key is not a text".to_owned()),
            Some(token) if is_reference(token) => {
                Err("the key is a reference to another store, not a token".to_owned())
            }
            Some(token) => Secret::token(token),
        };
        self.keys.push(Key { pointer, id, secret, fields });
    }
}

/// Whether a text stands for a secret that is elsewhere: Kong's `{vault://…}` and decK's `${{ env … }}`,
/// APISIX's `$secret://…`, `$env://…` and `${{NAME}}`.
fn is_reference(text: &str) -> bool {
    ["{vault://", "${{", "$secret://", "$env://"].iter().any(|start| text.starts_with(start))
        || text.contains("://") && text.starts_with('$')
}

pub(super) fn read(file: &Path, text: &str, gateway: &Gateway) -> Result<Found> {
    let mut found = Found::default();
    let mut without = 0;
    for (first, part) in parts(file, text) {
        let is_nothing = |line: &str| line.trim().is_empty() || line.starts_with('#');
        if part.lines().all(is_nothing) {
            continue;
        }
        let document = document::parse(file, part).map_err(|error| lower(error, first))?;
        let mut reader = Reader::default();
        (gateway.read)(&document, &mut reader);
        without += reader.without;
        let pointers = reader.keys.iter().map(|key| &key.pointer);
        let pointers = pointers.chain(reader.mistakes.iter().map(|(pointer, _)| pointer));
        let places = place::find(file, part, pointers.map(String::as_str));
        let line = |pointer: &str| first + places.get(pointer).map_or(0, |place| place.line - 1);
        for (pointer, message) in &reader.mistakes {
            found.mistake(line(pointer), message);
        }
        let lines: Vec<usize> = reader.keys.iter().map(|key| line(&key.pointer)).collect();
        for (Key { id, secret, fields, .. }, line) in reader.keys.into_iter().zip(lines) {
            match secret {
                Ok(secret) => found.entries.push(Entry { line, id, secret, fields }),
                Err(message) => found.mistake(line, message),
            }
        }
    }
    if found.entries.is_empty() && found.mistakes.is_empty() {
        bail!("{}: {}", file.display(), gateway.nothing);
    }
    if without > 0 {
        found.notes.push(format!("{without} without a key left out"));
    }
    found.mistakes.sort_by_key(|mistake| mistake.line);
    Ok(found)
}

/// The documents of a file, each with its first line.
fn parts<'t>(file: &Path, text: &'t str) -> Vec<(usize, &'t str)> {
    if document::is_json(file, text) {
        return vec![(1, text)];
    }
    let mut parts = Vec::new();
    let (mut start, mut first) = (0, 1);
    let mut place = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // At a line's start that ends a document, whatever it stands in.
        let bare = line.trim_end();
        if bare == "---" || line.starts_with("--- ") || bare == "..." {
            parts.push((first, text.get(start..place).unwrap_or("")));
            // What stands behind the dashes is a comment.
            start = place + line.len();
            first = index + 2;
        }
        place += line.len();
    }
    parts.push((first, text.get(start..).unwrap_or("")));
    parts
}

/// An error of a document that begins on line `first`.
fn lower(error: anyhow::Error, first: usize) -> anyhow::Error {
    match error.downcast::<Malformed>() {
        Ok(mut malformed) => {
            if let Some(place) = &mut malformed.place {
                place.line += first - 1;
            }
            malformed.into()
        }
        Err(error) => error,
    }
}

fn items<'d>(document: &'d Document, name: &str) -> &'d [Document] {
    match document.field(name) {
        Some(Document::Array(items)) => items,
        _ => &[],
    }
}

fn word<'d>(document: &'d Document, name: &str) -> Option<&'d str> {
    document.field(name)?.as_str().filter(|text| !text.is_empty())
}

/// The account of a consumer, and its name where the id cannot have it.
fn of_consumer(name: &str) -> KeyFields {
    let mut fields = client_name(name);
    fields.push(("account", text(name)));
    fields
}

fn kong(document: &Document, reader: &mut Reader) {
    // Credentials and groups stand in their consumer, or by themselves and name it.
    let mut groups: HashMap<&str, Vec<&str>> = HashMap::new();
    for acl in items(document, "acls") {
        if let (Some(consumer), Some(group)) = (consumer_of(acl), word(acl, "group")) {
            groups.entry(consumer).or_default().push(group);
        }
    }
    let mut named: HashMap<&str, (&str, KeyFields)> = HashMap::new();
    let mut with_key: Vec<&str> = Vec::new();
    for (index, consumer) in items(document, "consumers").iter().enumerate() {
        let names = ["username", "custom_id", "id"].map(|name| word(consumer, name));
        let Some(name) = names.into_iter().flatten().next() else {
            let message = "a consumer has neither `username` nor `custom_id`";
            reader.mistakes.push((format!("/consumers/{index}"), message.to_owned()));
            continue;
        };
        let mut scopes: Vec<&str> =
            items(consumer, "acls").iter().filter_map(|acl| word(acl, "group")).collect();
        scopes.extend(names.iter().flatten().filter_map(|name| groups.get(name)).flatten());
        let mut seen = std::collections::HashSet::new();
        scopes.retain(|scope| seen.insert(*scope));
        let mut fields = of_consumer(name);
        if !scopes.is_empty() {
            fields.push(("scopes", Document::Array(scopes.into_iter().map(text).collect())));
        }
        if let Some(id) = word(consumer, "custom_id") {
            let attribute = ("custom_id".to_owned(), text(id));
            fields.push(("attributes", Document::Object(Fields(vec![attribute]))));
        }
        for (number, credential) in items(consumer, "keyauth_credentials").iter().enumerate() {
            let pointer = format!("/consumers/{index}/keyauth_credentials/{number}");
            kong_key(pointer, credential, name, fields.clone(), reader);
            with_key.push(name);
        }
        for reference in names.into_iter().flatten() {
            named.insert(reference, (name, fields.clone()));
        }
    }
    for (number, credential) in items(document, "keyauth_credentials").iter().enumerate() {
        let pointer = format!("/keyauth_credentials/{number}");
        let consumer = consumer_of(credential);
        match consumer.and_then(|consumer| named.get(consumer)) {
            Some((name, fields)) => {
                kong_key(pointer, credential, name, fields.clone(), reader);
                with_key.push(name);
            }
            None => reader.mistakes.push((pointer, "the file has no such `consumer`".to_owned())),
        }
    }
    with_key.sort_unstable();
    with_key.dedup();
    reader.without += items(document, "consumers").len().saturating_sub(with_key.len());
}

/// The consumer that something names: by a text, or by an object of one field.
fn consumer_of(document: &Document) -> Option<&str> {
    let consumer = document.field("consumer")?;
    consumer.as_str().or_else(|| {
        ["username", "id", "custom_id"].into_iter().find_map(|name| word(consumer, name))
    })
}

fn kong_key(
    pointer: String,
    credential: &Document,
    name: &str,
    mut fields: KeyFields,
    reader: &mut Reader,
) {
    // What is left of the credential's life, in seconds.
    if let Some(Document::Number(ttl)) = credential.field("ttl")
        && let Some(ttl) = ttl.as_i64().filter(|ttl| *ttl > 0)
    {
        fields.push(("expires_at", text(&time::display(time::now().saturating_add(ttl)))));
    }
    let created = credential.field("created_at").filter(|time| time.instant().is_some());
    fields.extend(created.map(|time| ("created", time.clone())));
    reader.key(pointer, Id::Like(name.to_owned()), credential.field("key"), fields);
}

/// Looks for `credentials` wherever they stand, since filters stand deep in a configuration.
fn envoy(document: &Document, reader: &mut Reader) {
    let mut seen = std::collections::HashSet::new();
    look(document, String::new(), &mut seen, reader);
}

fn look<'d>(
    document: &'d Document,
    pointer: String,
    seen: &mut std::collections::HashSet<(&'d str, &'d str)>,
    reader: &mut Reader,
) {
    match document {
        Document::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look(item, format!("{pointer}/{index}"), seen, reader);
            }
        }
        Document::Object(Fields(fields)) => {
            for (name, value) in fields {
                let pointer = format!("{pointer}/{}", place::escaped(name));
                match value {
                    Document::Array(items)
                        if name == "credentials"
                            && items.iter().any(|item| item.field("client").is_some()) =>
                    {
                        for (index, item) in items.iter().enumerate() {
                            let pointer = format!("{pointer}/{index}");
                            let client = word(item, "client").unwrap_or_default();
                            // Listeners and routes repeat each other's credentials.
                            let is_new =
                                word(item, "key").is_none_or(|key| seen.insert((client, key)));
                            if is_new {
                                let (id, fields) =
                                    (Id::Like(client.to_owned()), client_name(client));
                                reader.key(pointer, id, item.field("key"), fields);
                            }
                        }
                    }
                    value => look(value, pointer, seen, reader),
                }
            }
        }
        _ => {}
    }
}

/// The name of a client whose id cannot have it.
fn client_name(client: &str) -> KeyFields {
    match super::plain(client) == client {
        true => Vec::new(),
        false => vec![("name", text(client))],
    }
}

fn secret(document: &Document, reader: &mut Reader) {
    secret_at(document, "", reader);
}

fn secret_at(document: &Document, pointer: &str, reader: &mut Reader) {
    if word(document, "kind").is_some_and(|kind| kind.ends_with("List")) {
        for (index, item) in items(document, "items").iter().enumerate() {
            secret_at(item, &format!("{pointer}/items/{index}"), reader);
        }
    }
    if word(document, "kind") != Some("Secret") {
        return;
    }
    if word(document, "type").is_some_and(|kind| kind != "Opaque") {
        reader.without += 1;
        return;
    }
    for (name, is_encoded) in [("data", true), ("stringData", false)] {
        let Some(Document::Object(Fields(data))) = document.field(name) else { continue };
        for (client, value) in data {
            let pointer = format!("{pointer}/{name}/{}", place::escaped(client));
            let decoded = match value.as_str().filter(|_| is_encoded) {
                None => Some(value.clone()),
                Some(encoded) => STANDARD
                    .decode(encoded.trim())
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .map(Document::String),
            };
            let Some(token) = decoded else {
                reader.mistakes.push((pointer, "the value is not base64 of a text".to_owned()));
                continue;
            };
            reader.key(pointer, Id::Like(client.clone()), Some(&token), client_name(client));
        }
    }
}

fn apisix(document: &Document, reader: &mut Reader) {
    // `apisix.yaml` and ADC have a list of consumers; the Admin API answers `list`, or one `value`.
    for name in ["consumers", "list"] {
        for (index, item) in items(document, name).iter().enumerate() {
            let pointer = format!("/{name}/{index}");
            match item.field("value") {
                Some(value) => {
                    apisix_consumer(value, word(item, "key"), &format!("{pointer}/value"), reader);
                }
                None => apisix_consumer(item, None, &pointer, reader),
            }
        }
    }
    if let Some(value) = document.field("value") {
        apisix_consumer(value, word(document, "key"), "/value", reader);
    }
}

/// One consumer, or one credential, whose `path` `/apisix/consumers/NAME/credentials/ID` names its consumer.
fn apisix_consumer(consumer: &Document, path: Option<&str>, pointer: &str, reader: &mut Reader) {
    let of_path = || path?.split("/consumers/").nth(1)?.split('/').next();
    let Some(name) = word(consumer, "username").or_else(of_path) else {
        reader.mistakes.push((pointer.to_owned(), "a consumer has no `username`".to_owned()));
        return;
    };
    let mut fields = of_consumer(name);
    if let Some(Document::Object(Fields(labels))) = consumer.field("labels") {
        let labels =
            labels.iter().filter(|(name, value)| super::is_id(name) && value.as_str().is_some());
        let labels: Vec<_> = labels.cloned().collect();
        if !labels.is_empty() {
            fields.push(("attributes", Document::Object(Fields(labels))));
        }
    }
    let mut count = 0;
    let mut add = |pointer: String, token: Option<&Document>| {
        count += 1;
        reader.key(pointer, Id::Like(name.to_owned()), token, fields.clone());
    };
    let plugin = |holder: &Document, path: &str| {
        let key_auth = holder.field("plugins")?.field("key-auth")?;
        Some((format!("{path}/plugins/key-auth"), key_auth.field("key").cloned()))
    };
    if let Some((pointer, token)) = plugin(consumer, pointer) {
        add(pointer, token.as_ref());
    }
    for (index, credential) in items(consumer, "credentials").iter().enumerate() {
        let pointer = format!("{pointer}/credentials/{index}");
        if word(credential, "type") == Some("key-auth") {
            add(pointer, credential.field("config").and_then(|config| config.field("key")));
        } else if let Some((pointer, token)) = plugin(credential, &pointer) {
            add(pointer, token.as_ref());
        }
    }
    reader.without += usize::from(count == 0);
}
