//! What `$ref` stands for, in the same file or in another one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;

use crate::document::{self, Document};

/// A value of a document, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'d> {
    pub(super) file: &'d Path,
    /// As a JSON pointer.
    pub(super) pointer: String,
    pub(super) value: &'d Document,
}

/// The files that were read.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<PathBuf, Rc<Document>>);

/// What a reference stands for.
#[derive(Debug)]
pub(super) struct Referred {
    file: PathBuf,
    pointer: String,
    document: Rc<Document>,
}

impl Referred {
    pub(super) fn node(&self) -> Node<'_> {
        let value = self.document.pointer(&self.pointer).unwrap_or(&Document::Null);
        Node { file: &self.file, pointer: self.pointer.clone(), value }
    }
}

/// So many references may lead from one to the next.
const HOPS: usize = 32;

impl Files {
    pub(super) fn load(&mut self, file: &Path) -> Result<Rc<Document>> {
        if let Some(document) = self.0.get(file) {
            return Ok(Rc::clone(document));
        }
        let document = Rc::new(document::load(file)?);
        self.0.insert(file.to_owned(), Rc::clone(&document));
        Ok(document)
    }

    /// What a value refers to; `None` if that is nothing.
    pub(super) fn resolve(&mut self, node: &Node<'_>) -> Result<Option<Referred>> {
        let mut found: Option<Referred> = None;
        for _ in 0..HOPS {
            let next = {
                let last = found.as_ref().map(Referred::node);
                let last = last.as_ref().unwrap_or(node);
                match last.value.field("$ref") {
                    None => None,
                    Some(reference) => Some(self.follow(last, reference)?),
                }
            };
            match next {
                None => return Ok(found),
                next => found = next,
            }
        }
        bail!(node.wrong("`$ref` leads in a circle"))
    }

    fn follow(&mut self, node: &Node<'_>, reference: &Document) -> Result<Referred> {
        let Some(reference) = reference.as_str() else {
            bail!(node.wrong("`$ref` must be a text"))
        };
        let (other, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if other.contains("://") {
            bail!(
                node.wrong("`$ref` names a URL, which is not fetched: bundle the document first")
            );
        }
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|_| node.wrong("`$ref` is not UTF-8"))
        };
        let file = match other {
            "" => node.file.to_owned(),
            other => node.file.parent().unwrap_or_else(|| Path::new("")).join(decoded(other)?),
        };
        let document =
            self.load(&file).with_context(|| node.wrong("`$ref` leads nowhere").to_string())?;
        let pointer = decoded(fragment)?;
        if !(pointer.is_empty() || pointer.starts_with('/')) || document.pointer(&pointer).is_none()
        {
            bail!(node.wrong(&format!("`$ref` leads nowhere: `{}`", reference.escape_debug())));
        }
        Ok(Referred { file, pointer, document })
    }
}
