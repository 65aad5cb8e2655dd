//! What is doubtful in a policy that the core accepts: keys that nobody looks after, rules that
//! never match, secrets that stand where they must not. All of it warns and refuses nothing.

mod conditions;
mod keys;
mod plaintext;
mod rules;
mod scopes;

use latchkey::Severity;

use crate::document::{Document, Fields};
use crate::finding::Finding;
use crate::policy::Policy;

/// Looks through `policy` at the time `now`, in Unix seconds. What has not the shape that it
/// should have is passed over: the core says so.
#[must_use]
pub(crate) fn findings(policy: &Policy, now: i64) -> Vec<Finding> {
    let document = policy.document();
    let mut remarks = Vec::new();
    keys::look(document, now, &mut remarks);
    rules::look(document, &mut remarks);
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

/// A finding, its pointer into the policy with all its keys.
#[derive(Debug, PartialEq, Eq)]
struct Remark {
    code: &'static str,
    pointer: String,
    message: String,
    help: &'static str,
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

/// The texts of the list `name`.
fn texts<'d>(document: &'d Document, name: &str) -> impl Iterator<Item = &'d str> {
    items(document, name).iter().filter_map(Document::as_str)
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
