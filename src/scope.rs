//! Scopes: what a key may do, and what a request needs.

use std::fmt;

/// A permission: an action on a resource, written `resource:action`.
///
/// Grammar (the characters are a subset of RFC 6749's `scope-token`):
///
/// ```text
/// scope    = [ resource ":" ] action
/// resource = "*" / 1*char
/// action   = "*" / 1*char
/// char     = ALPHA / DIGIT / "_" / "." / "-"
/// ```
///
/// A bare action means that action on every resource: `read` is `*:read`, and that is how it
/// prints. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// `resource:action`.
    text: String,
    /// Where its colon stands.
    colon: usize,
}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// Says in one line, without quoting the text, why it is not a scope.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        Scope::new(text.to_owned())
    }

    /// The same of a text that need not be copied.
    pub(crate) fn new(text: String) -> Result<Scope, ScopeError> {
        // Byte by byte: the standard library's search for a character is made for longer texts.
        let (resource, action) = match text.bytes().position(|byte| byte == b':') {
            Some(colon) => (text.get(..colon), text.get(colon.saturating_add(1)..)),
            None => (Some("*"), Some(&*text)),
        };
        let (resource, action) = (resource.unwrap_or_default(), action.unwrap_or_default());
        if resource.is_empty() || action.is_empty() {
            return Err(ScopeError::Empty);
        }
        if !is_side(resource) || !is_side(action) {
            let has_colons = action.contains(':');
            return Err(if has_colons { ScopeError::Colons } else { ScopeError::Character });
        }
        let is_bare = action.len() == text.len();
        let colon = resource.len();
        let text = if is_bare { ["*:", &text].concat() } else { text };
        Ok(Scope { text, colon })
    }

    /// Whether who holds this scope may do what `required` names.
    ///
    /// `*` covers everything on its side, and nothing but `*` covers a required `*`. The action
    /// `write` covers `create`, `update`, `delete` and `write`, and does not cover `read`.
    pub fn covers(&self, required: &Scope) -> bool {
        let (resource, action) = self.sides();
        let (required_resource, required_action) = required.sides();
        (resource == "*" || resource == required_resource)
            && (action == "*"
                || action == required_action
                || (action == "write" && matches!(required_action, "create" | "update" | "delete")))
    }

    /// The scope's text, `resource:action`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Resource and action.
    pub(crate) fn sides(&self) -> (&str, &str) {
        let (resource, action) = self.text.split_at_checked(self.colon).unwrap_or_default();
        (resource, action.get(1..).unwrap_or_default())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// It has characters outside `[A-Za-z0-9_.-]`.
    Character,
    /// It has more than one colon.
    Colons,
    /// It is empty, or one of its sides is.
    Empty,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ScopeError::Character => {
                "a scope holds `*` or characters of `A-Za-z0-9_.-` on each side of its colon"
            }
            ScopeError::Colons => "a scope has at most one colon",
            ScopeError::Empty => "neither side of a scope may be empty",
        })
    }
}

/// Whether `text` is a word, as a scope may hold: `1*( ALPHA / DIGIT / "_" / "." / "-" )`.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_side(text: &str) -> bool {
    text == "*" || is_word(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(grant: &str, required: &str) -> bool {
        Scope::parse(grant).unwrap().covers(&Scope::parse(required).unwrap())
    }

    #[test]
    fn a_bare_action_stands_for_every_resource() {
        assert_eq!(Scope::parse("read").unwrap().to_string(), "*:read");
        assert!(covers("read", "agents:read"));
    }

    #[test]
    fn only_a_grant_on_every_resource_covers_a_bare_requirement() {
        assert!(!covers("agents:read", "read"));
        assert!(covers("*:read", "read"));
        assert!(covers("*:*", "read"));
    }

    #[test]
    fn write_covers_every_change_and_no_reading() {
        for action in ["create", "update", "delete", "write"] {
            assert!(covers("agents:write", &format!("agents:{action}")), "{action}");
        }
        for action in ["read", "*", "approve"] {
            assert!(!covers("agents:write", &format!("agents:{action}")), "{action}");
        }
        assert!(!covers("agents:create", "agents:write"));
    }

    #[test]
    fn a_required_star_needs_a_star() {
        assert!(!covers("agents:read", "agents:*"));
        assert!(covers("agents:*", "agents:*"));
    }

    #[test]
    fn case_matters() {
        assert!(!covers("Product:read", "product:read"));
    }

    #[test]
    fn what_is_no_scope_says_why() {
        for (text, error) in [
            ("", ScopeError::Empty),
            (":read", ScopeError::Empty),
            ("agents:", ScopeError::Empty),
            ("a:b:c", ScopeError::Colons),
            ("a b:read", ScopeError::Character),
            ("ag*:read", ScopeError::Character),
            ("é:read", ScopeError::Character),
        ] {
            assert_eq!(Scope::parse(text), Err(error), "{text}");
        }
    }
}
