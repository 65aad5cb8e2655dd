//! What is doubtful in a policy that the core accepts, and what the core has no eye for: keys that nobody
//! looks after, secrets that stand where they must not. All of it warns and refuses nothing.

mod conditions;
mod keys;
mod paths;
mod plaintext;
mod scopes;

use latchkey::{Engine, Remark, Severity};

use crate::document::{Document, Fields};
use crate::finding::Finding;
use crate::policy::Policy;

/// Looks through `policy` at the time `now`, in Unix seconds, and through what it was compiled to. What
/// has not the shape that it should have is passed over: the core says so.
#[must_use]
pub(crate) fn findings(policy: &Policy, engine: Option<&Engine>, now: i64) -> Vec<Finding> {
    let document = policy.document();
    let mut remarks = engine.map(latchkey::lint).unwrap_or_default();
    keys::look(document, now, &mut remarks);
    paths::look(document, &mut remarks);
    scopes::look(document, &mut remarks);
    conditions::look(document, &mut remarks);
    plaintext::look(document, &mut remarks);
    let located = |remark: Remark| {
        let (file, pointer) = policy.source(&remark.pointer);
        Finding {
            file: file.to_owned(),
            place: None,
            pointer,
            code: remark.code,
            severity: Severity::Warning,
            message: remark.message,
            help: Some(remark.help.to_owned()),
        }
    };
    remarks.into_iter().map(located).collect()
}

/// Whether the policy says who there is: it has keys, and no sessions, of which a token tells.
fn knows_identities(policy: &Document) -> bool {
    !items(policy, "keys").is_empty() && policy.field("sessions").is_none()
}

/// The items of the list `name`, none where there is no such list.
fn items<'d>(document: &'d Document, name: &str) -> &'d [Document] {
    match document.field(name) {
        Some(Document::Array(items)) => items,
        _ => &[],
    }
}

/// The fields of the object `name`, none where there is no such object.
fn fields<'d>(document: &'d Document, name: &str) -> &'d [(String, Document)] {
    match document.field(name) {
        Some(Document::Object(Fields(fields))) => fields,
        _ => &[],
    }
}

#[cfg(test)]
fn remarks(yaml: &str, look: impl Fn(&Document, &mut Vec<Remark>)) -> Vec<String> {
    let document = crate::document::parse(std::path::Path::new("p.yaml"), yaml).unwrap();
    let mut remarks = Vec::new();
    look(&document, &mut remarks);
    let shown = |remark: Remark| format!("{} {}: {}", remark.pointer, remark.code, remark.message);
    remarks.into_iter().map(shown).collect()
}
