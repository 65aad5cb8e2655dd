//! Who may call an operation: from `security` to `access` and `require`.

use latchkey::Scope;

use super::{Arguments, Problem, Unsaid, Unscoped};
use crate::openapi::{Operation, Scheme};

/// Who may call an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// Any good key.
    Authenticated,
    /// No key: none of the schemes that keys stand for is among its alternatives.
    Deny,
    /// A key with these scopes.
    Key(Asked),
    /// Anybody; a key that comes must have these scopes.
    Optional(Asked),
    /// Anybody.
    Public,
}

/// The scopes that a key needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// `{action}` on every resource, as a rule asks for unless it says otherwise.
    Action,
    All(Vec<String>),
    Any(Vec<String>),
}

impl Asked {
    /// The scopes as they are written; none where the rule says nothing.
    pub(super) fn scopes(&self) -> &[String] {
        match self {
            Asked::Action => &[],
            Asked::All(scopes) | Asked::Any(scopes) => scopes,
        }
    }
}

impl Access {
    /// Who may call `operation`. What cannot be said is noted in `problems`.
    pub(super) fn of(
        operation: &Operation,
        arguments: &Arguments,
        problems: &mut Vec<Problem>,
    ) -> Access {
        let Some(alternatives) = &operation.security else {
            return match arguments.unsaid {
                None | Some(Unsaid::Key) => unscoped(operation, arguments),
                Some(Unsaid::Public) => Access::Public,
            };
        };
        let (open, closed): (Vec<_>, Vec<_>) =
            alternatives.iter().partition(|alternative| alternative.is_empty());
        if closed.is_empty() {
            return Access::Public;
        }
        let mut sets: Vec<Vec<String>> = Vec::new();
        for scopes in scopes_of_keys(operation, arguments) {
            let scopes = scopes.into_iter();
            let mut scopes: Vec<String> =
                scopes.filter_map(|scope| renamed(scope, operation, arguments, problems)).collect();
            scopes.sort();
            scopes.dedup();
            if arguments.any_scope && scopes.len() > 1 {
                sets.extend(scopes.into_iter().map(|scope| vec![scope]));
            } else {
                sets.push(scopes);
            }
        }
        let access = match without_supersets(sets).as_slice() {
            [] if open.is_empty() => Access::Deny,
            [] => Access::Public,
            [scopes] if scopes.is_empty() => unscoped(operation, arguments),
            [scopes] => Access::Key(Asked::All(scopes.clone())),
            sets => {
                let mut scopes: Vec<String> = sets.concat();
                scopes.sort();
                scopes.dedup();
                if sets.iter().all(|set| set.len() == 1) {
                    Access::Key(Asked::Any(scopes))
                } else {
                    problems.push(Problem {
                        is_error: false,
                        code: "several_alternatives",
                        message: format!(
                            "`{}` has alternatives of several scopes, which no rule can say: all of \
                             them are asked for",
                            operation.title()
                        ),
                        help: None,
                    });
                    Access::Key(Asked::All(scopes))
                }
            }
        };
        match access {
            _ if open.is_empty() => access,
            Access::Key(asked) => Access::Optional(asked),
            Access::Authenticated => Access::Optional(action(operation, None)),
            access => access,
        }
    }
}

/// What a key must have by each of the alternatives that ask for one. What else an alternative asks for, a client's
/// certificate say, is not a key's to have.
pub(super) fn scopes_of_keys<'o>(
    operation: &'o Operation,
    arguments: &Arguments,
) -> Vec<Vec<&'o String>> {
    let is_key =
        |scheme: &&Scheme| arguments.schemes.is_empty() || arguments.schemes.contains(&scheme.name);
    let scopes = |alternative: &'o Vec<Scheme>| {
        let schemes: Vec<&Scheme> = alternative.iter().filter(is_key).collect();
        let scopes = schemes.iter().flat_map(|scheme| &scheme.scopes).collect();
        (!schemes.is_empty()).then_some(scopes)
    };
    operation.security.iter().flatten().filter_map(scopes).collect()
}

/// Who may call an operation that asks for a key, and for no scopes.
fn unscoped(operation: &Operation, arguments: &Arguments) -> Access {
    match arguments.require {
        Unscoped::Action => Access::Key(action(operation, None)),
        Unscoped::Nothing => Access::Authenticated,
        Unscoped::Tag => Access::Key(action(operation, operation.tag.as_deref())),
    }
}

/// The action of an operation's method on a resource, or on every one.
fn action(operation: &Operation, tag: Option<&str>) -> Asked {
    let resource = tag.map(resource).filter(|resource| !resource.is_empty());
    // The methods that stand for an action in every policy.
    let action = match operation.method.as_str() {
        "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" => "{action}",
        "QUERY" | "TRACE" => "read",
        _ => "*",
    };
    match resource {
        None if action == "{action}" => Asked::Action,
        resource => Asked::All(vec![format!("{}:{action}", resource.as_deref().unwrap_or("*"))]),
    }
}

/// A tag as a resource: `Code scanning` is `code-scanning`.
fn resource(tag: &str) -> String {
    let is_own = |character: &char| character.is_ascii_alphanumeric() || "_.-".contains(*character);
    let words = tag.split(|character| !is_own(&character)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// A scope as a policy has it; `None` if it has no such scope.
fn renamed(
    scope: &str,
    operation: &Operation,
    arguments: &Arguments,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let rename = arguments.scopes.iter().find(|(from, _)| from == scope);
    let name = rename.map_or(scope, |(_, to)| to);
    let error = match Scope::parse(name) {
        Ok(_) => return Some(name.to_owned()),
        Err(error) => error,
    };
    problems.push(Problem {
        is_error: true,
        code: "invalid_scope",
        message: format!(
            "`{}` asks for the scope `{}`: {error}",
            operation.title(),
            scope.escape_debug()
        ),
        help: Some("say what it is called in the policy: --scope 'FROM=resource:action'"),
    });
    None
}

/// The alternatives but for those that hold all of another one.
fn without_supersets(mut sets: Vec<Vec<String>>) -> Vec<Vec<String>> {
    sets.sort_by_key(Vec::len);
    let mut kept: Vec<Vec<String>> = Vec::new();
    for set in sets {
        if !kept.iter().any(|smaller| smaller.iter().all(|scope| set.contains(scope))) {
            kept.push(set);
        }
    }
    kept
}
