//! An OpenAPI document (3.0, 3.1, 3.2), as far as it tells who may call what.
//!
//! It is read as any document is here, so that what is wrong has a place. The crates that read OpenAPI read 3.0 or 3.1,
//! not both, and forget places.

mod reference;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use self::reference::{Files, Node};
use self::server::Served;
pub(crate) use self::server::Server;
use crate::document::{Document, Fields, Malformed};
use crate::place::escaped;

/// One operation: a method of a path.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The file that it stands in, and its place there, as a JSON pointer.
    pub(crate) file: PathBuf,
    pub(crate) pointer: String,
    /// The `operationId`, if it has one, in one line.
    pub(crate) id: Option<String>,
    /// In upper case, but for a method that is not one of OpenAPI's own.
    pub(crate) method: String,
    /// As it is written, without the base path.
    pub(crate) path: String,
    /// The first of its tags.
    pub(crate) tag: Option<String>,
    /// Where it is served; at least one.
    pub(crate) servers: Vec<Server>,
    /// What it asks for: any of some alternatives. An alternative is the schemes that it asks for together, none if it
    /// lets everybody in. `None` where the document does not say.
    pub(crate) security: Option<Vec<Vec<Scheme>>>,
}

impl Operation {
    /// `GET /users/{id}`, in one line.
    pub(crate) fn title(&self) -> String {
        one_line(&format!("{} {}", self.method, self.path))
    }
}

/// A text as a rule's name and a comment may have it: without line ends and other control characters, and without spaces
/// around it.
fn one_line(text: &str) -> String {
    let is_space =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    text.replace(is_space, " ").trim().to_owned()
}

/// A security scheme, as an operation asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
}

/// The operations of the document `file`, in its order, those of the files that it refers to included. If `servers` has
/// any, they stand in place of the document's own, which are not read then.
///
/// # Errors
/// A file cannot be read, or is not such a document: one line with its place.
pub(crate) fn load(file: &Path, servers: &[Server]) -> Result<Vec<Operation>> {
    let mut files = Files::default();
    let document = files.load(file)?;
    let root = Node::root(file, &document);
    check_version(&root)?;
    let Some(paths) = root.field("paths") else {
        // A document of 3.1 may have webhooks or components only.
        return Ok(Vec::new());
    };
    let servers = if servers.is_empty() {
        Served::Read(vec![Server::default()]).within(root.field("servers"))?
    } else {
        Served::Given(servers.to_vec())
    };
    let defaults = Defaults { servers, security: security(&root)? };
    let mut operations = Vec::new();
    for (path, item) in paths.fields("`paths` must be an object")? {
        if path.starts_with("x-") {
            continue;
        }
        if !path.starts_with('/') {
            bail!(item.wrong(&format!("the path `{path}` must begin with `/`")));
        }
        path_item(path, &item, &mut files, &defaults, &mut operations)?;
    }
    Ok(operations)
}

/// What holds where an operation says nothing of its own.
struct Defaults {
    servers: Served,
    security: Option<Vec<Vec<Scheme>>>,
}

fn check_version(root: &Node<'_>) -> Result<()> {
    let field = |name| root.field(name);
    if let Some(version) = field("swagger") {
        bail!(version.wrong("this is Swagger 2.0: convert it to OpenAPI 3"));
    }
    let Some(version) = field("openapi") else {
        bail!(root.wrong("this is not an OpenAPI document: there is no field `openapi`"));
    };
    match version.value {
        Document::String(text)
            if ["3.0.", "3.1.", "3.2."].iter().any(|prefix| text.starts_with(prefix)) =>
        {
            Ok(())
        }
        _ => bail!(version.wrong("only OpenAPI 3.0, 3.1 and 3.2 are known here, such as `3.1.0`")),
    }
}

const METHODS: [&str; 9] =
    ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

fn path_item(
    path: &str,
    item: &Node<'_>,
    files: &mut Files,
    defaults: &Defaults,
    operations: &mut Vec<Operation>,
) -> Result<()> {
    let mut fields = item.fields("a path item must be an object")?;
    let referred = files.resolve(item)?;
    if let Some(referred) = &referred {
        // What stands beside a `$ref` wins over what that holds.
        let referred = referred.node().fields("a path item must be an object")?;
        let is_new = |name: &str| fields.iter().all(|(known, _)| *known != name);
        let added: Vec<_> = referred.into_iter().filter(|(name, _)| is_new(name)).collect();
        fields.extend(added);
    }
    let servers = fields.iter().find(|(name, _)| *name == "servers").map(|(_, node)| node);
    let defaults = Defaults {
        servers: defaults.servers.within(servers.cloned())?,
        security: defaults.security.clone(),
    };
    for (name, node) in fields {
        let mut add = |method: &str, node: &Node<'_>| -> Result<()> {
            operations.push(operation(path, method, node, &defaults)?);
            Ok(())
        };
        if METHODS.contains(&name) {
            add(&name.to_ascii_uppercase(), &node)?;
        } else if name == "additionalOperations" {
            for (method, node) in node.fields("`additionalOperations` must be an object")? {
                add(method, &node)?;
            }
        }
    }
    Ok(())
}

fn operation(path: &str, method: &str, node: &Node<'_>, defaults: &Defaults) -> Result<Operation> {
    if !matches!(node.value, Document::Object(_)) {
        bail!(node.wrong("an operation must be an object"));
    }
    let tag = match node.value.field("tags") {
        Some(Document::Array(tags)) => tags.first().and_then(Document::as_str).map(str::to_owned),
        _ => None,
    };
    let id = node.value.field("operationId").and_then(Document::as_str);
    Ok(Operation {
        file: node.file.to_owned(),
        pointer: node.pointer.clone(),
        id: id.map(one_line).filter(|id| !id.is_empty()),
        method: method.to_owned(),
        path: path.to_owned(),
        tag,
        servers: defaults.servers.within(node.field("servers"))?.into_vec(),
        security: security(node)?.or_else(|| defaults.security.clone()),
    })
}

/// The `security` of an operation or of a document.
fn security(node: &Node<'_>) -> Result<Option<Vec<Vec<Scheme>>>> {
    let Some(list) = node.field("security") else { return Ok(None) };
    let alternatives = list.items("`security` must be a list")?;
    let alternative = |node: &Node<'_>| {
        let schemes = node.fields("an alternative of `security` must be an object")?;
        let scheme = |(name, node): &(&str, Node<'_>)| {
            let scopes = node.items("the scopes of a scheme must be a list")?;
            let scope = |node: &Node<'_>| match node.value {
                Document::String(text) => Ok(text.clone()),
                _ => bail!(node.wrong("a scope must be a text")),
            };
            let scopes = scopes.iter().map(scope).collect::<Result<_>>()?;
            Ok(Scheme { name: (*name).to_owned(), scopes })
        };
        schemes.iter().map(scheme).collect::<Result<Vec<Scheme>>>()
    };
    alternatives.iter().map(alternative).collect::<Result<_>>().map(Some)
}

impl<'d> Node<'d> {
    /// A whole document.
    fn root(file: &'d Path, value: &'d Document) -> Node<'d> {
        Node { file, pointer: String::new(), value }
    }

    fn field(&self, name: &str) -> Option<Node<'d>> {
        self.value.field(name).map(|value| self.inner(name, value))
    }

    fn fields(&self, otherwise: &str) -> Result<Vec<(&'d str, Node<'d>)>> {
        let Document::Object(Fields(fields)) = self.value else { bail!(self.wrong(otherwise)) };
        Ok(fields.iter().map(|(name, value)| (name.as_str(), self.inner(name, value))).collect())
    }

    fn items(&self, otherwise: &str) -> Result<Vec<Node<'d>>> {
        let Document::Array(items) = self.value else { bail!(self.wrong(otherwise)) };
        let items = items.iter().enumerate();
        Ok(items.map(|(index, value)| self.inner(&index.to_string(), value)).collect())
    }

    fn inner(&self, name: &str, value: &'d Document) -> Node<'d> {
        Node { file: self.file, pointer: format!("{}/{}", self.pointer, escaped(name)), value }
    }

    /// What is wrong with it, with its place.
    fn wrong(&self, message: &str) -> Malformed {
        Malformed::wrong_type(self.file, &self.pointer, message)
    }
}
