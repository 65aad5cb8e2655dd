//! Policy files: YAML or JSON for people, compact JSON for the core.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use latchkey::{Engine, Environment, Finding, Severity};
use serde::Deserialize;

use crate::document::{self, Document, Fields};

/// A policy as its author wrote it, the keys of a keys file joined to its own.
#[derive(Clone, Debug)]
pub struct Policy {
    file: PathBuf,
    document: Document,
    joined: Option<JoinedKeys>,
}

/// Where the keys from a keys file stand in the policy.
#[derive(Clone, Debug)]
struct JoinedKeys {
    file: PathBuf,
    first: usize,
}

impl Policy {
    /// Loads the policy `file`; the keys of the file `keys`, which holds a list `keys` and
    /// nothing else, come after the policy's own.
    ///
    /// # Errors
    /// A file cannot be read or is neither YAML nor JSON, a field stands twice in an object, or
    /// there is no list to join to: one line with the file and, where there is one, the place.
    pub fn load(file: &Path, keys: Option<&Path>) -> Result<Policy> {
        let mut policy =
            Policy { file: file.to_owned(), document: document::load(file)?, joined: None };
        if let Some(keys) = keys {
            policy.join(keys)?;
        }
        Ok(policy)
    }

    /// The whole policy, in the order in which it was written.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The whole policy as compact JSON, ready for `Engine::compile`.
    ///
    /// # Errors
    /// None that a policy can cause; serializing is fallible by type.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        Ok(self.document.to_json()?.into_bytes())
    }

    /// Everything that the core finds in this policy, errors and warnings; none: it is fine.
    /// The pepper comes from the environment variable `LATCHKEY_PEPPER`.
    ///
    /// # Errors
    /// None that a policy can cause; serializing is fallible by type.
    pub fn findings(&self) -> Result<Vec<LocatedFinding>> {
        let pepper = pepper();
        let environment = Environment { pepper: pepper.as_ref().map(String::as_bytes) };
        let findings = match Engine::compile(&self.to_json()?, &environment) {
            Ok(engine) => engine.warnings().to_vec(),
            Err(findings) => findings,
        };
        Ok(findings.into_iter().map(|finding| self.locate(finding)).collect())
    }

    /// Whether a key's hash is made with the pepper.
    #[must_use]
    pub fn needs_pepper(&self) -> bool {
        let Some(Document::Array(keys)) = self.document.field("keys") else { return false };
        keys.iter()
            .filter_map(|key| key.field("hash").and_then(Document::as_str))
            .any(|hash| hash.starts_with("hmac-sha256:"))
    }

    fn join(&mut self, file: &Path) -> Result<()> {
        let KeysFile { keys } = document::load(file)?;
        let place = self.file.display();
        let Document::Object(Fields(fields)) = &mut self.document else {
            bail!("{place}: a policy must be an object");
        };
        let first = match fields.iter_mut().find(|(name, _)| name == "keys") {
            None => {
                fields.push(("keys".to_owned(), Document::Array(keys)));
                0
            }
            Some((_, Document::Array(own))) => {
                let first = own.len();
                own.extend(keys);
                first
            }
            Some(_) => bail!("{place}: `keys` must be a list"),
        };
        self.joined = Some(JoinedKeys { file: file.to_owned(), first });
        Ok(())
    }

    /// A pointer into the joined keys becomes one into the file that they came from.
    fn locate(&self, mut finding: Finding) -> LocatedFinding {
        if let Some(joined) = &self.joined {
            let (index, rest) = match finding.pointer.strip_prefix("/keys/") {
                None => ("", ""),
                Some(tail) => tail.split_at(tail.find('/').unwrap_or(tail.len())),
            };
            let index = index.parse::<usize>().ok().and_then(|i| i.checked_sub(joined.first));
            if let Some(index) = index {
                finding.pointer = format!("/keys/{index}{rest}");
                return LocatedFinding { file: joined.file.clone(), finding };
            }
        }
        LocatedFinding { file: self.file.clone(), finding }
    }
}

/// A finding and the file that it is about.
#[derive(Clone, Debug)]
pub struct LocatedFinding {
    /// The policy file or the keys file.
    pub file: PathBuf,
    /// The finding; its pointer starts at that file's root.
    pub finding: Finding,
}

impl LocatedFinding {
    /// Whether the finding refuses the policy.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.finding.severity == Severity::Error
    }
}

/// The value of the environment variable `LATCHKEY_PEPPER`, which keys hashed with
/// `hmac-sha256` need.
#[must_use]
pub fn pepper() -> Option<String> {
    std::env::var("LATCHKEY_PEPPER").ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a list `keys`")]
struct KeysFile {
    keys: Vec<Document>,
}
