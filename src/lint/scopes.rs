//! Scopes that keys have and no rule asks for, and scopes that rules ask for and no key has.

use std::collections::{HashMap, HashSet};

use super::{Remark, knows_identities};
use crate::engine::Engine;
use crate::rule::{GraphQlRule, Introspection, Requirement};
use crate::scope::Scope;
use crate::template::{Part, Template, Variable};

pub(super) fn look(engine: &Engine, remarks: &mut Vec<Remark>) {
    let actions: Vec<&str> = engine.methods().map(|(_, action)| action).collect();
    let asked = asked(engine, &actions);
    let mut known: HashSet<&Scope> = HashSet::new();
    let mut unused = |index: usize, scope, pointer: &dyn Fn() -> String| {
        if known.insert(scope) && !asked.iter().any(|asked| asked.is_covered_by(scope)) {
            remarks.push(Remark {
                code: "unused_scope",
                pointer: format!("{}/scopes/{index}", pointer()),
                message: "no rule asks for this scope".to_owned(),
                help: "without a rule a request needs its action on `*`, which only a scope \
                       such as `*:read` covers",
            });
        }
    };
    for key_type in engine.key_types() {
        for (index, scope) in key_type.scopes().unwrap_or_default().iter().enumerate() {
            unused(index, scope, &|| format!("/key_types/{}", key_type.name()));
        }
    }
    for key in engine.keys() {
        for (index, scope) in key.scopes().into_iter().flatten().enumerate() {
            unused(index, scope, &|| format!("/keys/{}", key.index()));
        }
    }
    if knows_identities(engine) {
        ungranted(engine, &known, remarks);
    }
}

/// Looks for what rules ask for and none of the scopes `granted` covers.
fn ungranted(engine: &Engine, granted: &HashSet<&Scope>, remarks: &mut Vec<Remark>) {
    let mut judged: HashMap<Scope, bool> = HashMap::new();
    let mut is_ungranted = |scope: Scope| {
        let is_covered = |scope: &Scope| granted.iter().any(|grant| grant.covers(scope));
        *judged.entry(scope).or_insert_with_key(|scope| !is_covered(scope))
    };
    // Of a template only a request knows what it asks for.
    let scope = |template: &Template| Scope::parse(template.as_literal()?).ok();
    let mut remark = |pointer: String, message: &str| {
        remarks.push(Remark {
            code: "ungranted_scope",
            pointer,
            message: message.to_owned(),
            help: "nobody passes it; give the scope to a key or to a key type",
        });
    };
    const NONE: &str = "no key has a scope that covers this one";
    for rule in engine.rules() {
        let place = rule.pointer();
        match rule.access.requirement() {
            Some(Requirement::All(templates)) => {
                for (index, template) in templates.iter().enumerate() {
                    if scope(template).is_some_and(&mut is_ungranted) {
                        remark(format!("{place}/require/{index}"), NONE);
                    }
                }
            }
            Some(Requirement::Any(templates)) => {
                let mut scopes = templates.iter().map(scope);
                if scopes.all(|scope| scope.is_some_and(&mut is_ungranted)) {
                    let message = "no key has a scope that covers one of these";
                    remark(format!("{place}/require_any"), message);
                }
            }
            None => {}
        }
        for (name, scope) in rule.graphql.iter().flat_map(scopes_of) {
            if is_ungranted(scope) {
                remark(format!("{place}/graphql/{name}"), NONE);
            }
        }
    }
}

/// The scopes that a GraphQL rule names whole, each with where it does.
fn scopes_of(rule: &GraphQlRule) -> impl Iterator<Item = (String, Scope)> {
    let require = rule.require.as_literal().and_then(|text| Scope::parse(text).ok());
    let introspection = match &rule.introspection {
        Introspection::Scope(scope) => Some(scope.clone()),
        Introspection::Allow | Introspection::Deny => None,
    };
    let whole = [("require", require), ("introspection", introspection)].into_iter();
    let whole = whole.filter_map(|(name, scope)| Some((name.to_owned(), scope?)));
    let lists = [("fields", Some(&rule.fields)), ("nested", rule.nested.as_ref())];
    let fields = lists.into_iter().flat_map(|(list, fields)| {
        // What has no colon is a resource.
        let scope = |text: &str| Scope::parse(text).ok().filter(|_| text.contains(':'));
        let fields = fields.into_iter().flatten();
        fields.filter_map(move |(name, text)| Some((format!("{list}/{name}"), scope(text)?)))
    });
    whole.chain(fields)
}

/// What a template of a scope could stand for.
#[derive(PartialEq, Eq, Hash)]
struct Asked<'t> {
    resource: Side<'t>,
    action: Side<'t>,
}

/// What all rules ask for, and what is asked for where no rule matches.
fn asked<'e>(engine: &'e Engine, actions: &[&'e str]) -> HashSet<Asked<'e>> {
    let any_action = std::iter::once(&engine.authorizer.default_requirement);
    let requirements = engine.rules().iter().filter_map(|rule| rule.access.requirement());
    let templates = any_action.chain(requirements).flat_map(Requirement::templates);
    let graphql = || engine.rules().iter().filter_map(|rule| rule.graphql.as_ref());
    let templates = templates.chain(graphql().map(|rule| &rule.require));
    let mut asked: HashSet<Asked<'_>> =
        templates.map(|template| Asked::new(template, actions)).collect();
    for rule in graphql() {
        if let Introspection::Scope(scope) = &rule.introspection {
            asked.insert(Asked::text(scope.as_str()));
        }
        let fields =
            rule.fields.values().chain(rule.nested.iter().flat_map(|nested| nested.values()));
        asked.extend(fields.filter(|text| text.contains(':')).map(|text| Asked::text(text)));
    }
    asked
}

impl<'t> Asked<'t> {
    fn text(scope: &'t str) -> Asked<'t> {
        let (resource, action) = scope.split_once(':').unwrap_or(("*", scope));
        let side = |text| Side::Pieces(vec![Piece::Text(text)]);
        Asked { resource: side(resource), action: side(action) }
    }

    /// `actions` are those that methods stand for.
    fn new(template: &'t Template, actions: &[&'t str]) -> Asked<'t> {
        let mut resource = None;
        let mut pieces = Vec::new();
        for part in &template.parts {
            match part {
                Part::Literal(text) => match text.split_once(':') {
                    Some((before, after)) => {
                        pieces.push(Piece::Text(before));
                        resource = Some(std::mem::replace(&mut pieces, vec![Piece::Text(after)]));
                    }
                    None => pieces.push(Piece::Text(text)),
                },
                Part::Placeholder { variable, fallback } => {
                    pieces.push(match (variable, fallback) {
                        (Variable::Action, None) => Piece::Action,
                        (Variable::Operation, None) => Piece::Operation,
                        _ => Piece::Any,
                    });
                    // It may be a whole scope.
                    if fallback.as_ref().is_some_and(|text| text.contains(':')) {
                        resource = Some(vec![Piece::Any]);
                    }
                }
            }
        }
        let resource = resource.unwrap_or_else(|| vec![Piece::Text("*")]);
        Asked { resource: Side::new(resource, actions), action: Side::new(pieces, actions) }
    }

    fn is_covered_by(&self, scope: &Scope) -> bool {
        let (resource, action) = scope.sides();
        let may_be = |word: &str| self.action.may_be(word);
        (resource == "*" || self.resource.may_be(resource))
            && (action == "*"
                || may_be(action)
                || (action == "write" && ["create", "update", "delete"].into_iter().any(may_be)))
    }
}

/// What one side of a scope could be.
#[derive(PartialEq, Eq, Hash)]
enum Side<'t> {
    OneOf(Vec<&'t str>),
    Pieces(Vec<Piece<'t>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece<'t> {
    Action,
    /// Only a request knows what it stands for.
    Any,
    Operation,
    Text(&'t str),
}

impl<'t> Side<'t> {
    fn new(mut pieces: Vec<Piece<'t>>, actions: &[&'t str]) -> Side<'t> {
        pieces.retain(|piece| *piece != Piece::Text(""));
        match pieces.as_slice() {
            [Piece::Action] => Side::OneOf(actions.to_vec()),
            [Piece::Operation] => Side::OneOf(vec!["read", "write"]),
            _ => Side::Pieces(pieces),
        }
    }

    fn may_be(&self, word: &str) -> bool {
        let pieces = match self {
            Side::OneOf(words) => return words.contains(&word),
            Side::Pieces(pieces) => pieces,
        };
        let last = pieces.len().saturating_sub(1);
        let mut rest = word;
        let mut is_behind_any = false;
        for (index, piece) in pieces.iter().enumerate() {
            let Piece::Text(text) = piece else {
                is_behind_any = true;
                continue;
            };
            let behind = if !is_behind_any {
                rest.strip_prefix(text)
            } else if index == last {
                rest.strip_suffix(text).map(|_| "")
            } else {
                rest.split_once(text).map(|(_, behind)| behind)
            };
            let Some(behind) = behind else { return false };
            (rest, is_behind_any) = (behind, false);
        }
        is_behind_any || rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, remarks};

    fn unused(rules: &str, scopes: &str) -> Vec<String> {
        let yaml = format!("rules: {rules}\nkeys: [{{scopes: {scopes}}}]\n");
        places(&yaml, "unused_scope")
    }

    #[test]
    fn without_rules_a_scope_must_be_for_everything() {
        assert_eq!(
            unused("[]", "[read, '*:write', '*', a:read, '*:approve']"),
            ["/keys/0/scopes/3", "/keys/0/scopes/4"]
        );
    }

    #[test]
    fn what_a_template_could_stand_for_is_asked_for() {
        for template in [
            "a:read",
            "{x}:read",
            "a:{action}",
            "{query.a:b|c}:{action}",
            "a{x}:read",
            "{query.s|a:read}",
        ] {
            let rules = format!("[{{paths: ['/{{x}}'], require: ['{template}']}}]");
            assert_eq!(unused(&rules, "['a:read', '*:read', 'a:*']"), [""; 0], "{template}");
        }
        for template in ["b:read", "a:update", "b{x}:read", "a:x-{method}", "{x}b:read"] {
            let rules = format!("[{{paths: ['/{{x}}'], require_any: ['{template}']}}]");
            assert_eq!(unused(&rules, "['a:read']"), ["/keys/0/scopes/0"], "{template}");
        }
    }

    #[test]
    fn write_is_asked_for_by_each_change() {
        assert_eq!(unused("[{require: ['a:delete']}]", "['a:write']"), [""; 0]);
        assert_eq!(unused("[{require: ['a:read']}]", "['a:write']"), ["/keys/0/scopes/0"]);
    }

    #[test]
    fn a_scope_of_many_keys_is_named_once() {
        let yaml = "key_types: {t: {scopes: [a:read]}}\nkeys: [{scopes: [a:read]}]\n";
        assert_eq!(
            remarks(yaml),
            ["/key_types/t/scopes/0 unused_scope: no rule asks for this scope"]
        );
    }

    #[test]
    fn a_scope_that_no_key_has_opens_nothing() {
        for (rule, place) in [
            ("require: [a:read, b:read]", "/rules/0/require/1"),
            ("require: ['a:*']", "/rules/0/require/0"),
            ("require: [read]", "/rules/0/require/0"),
            ("require_any: [b:read, 'c:write']", "/rules/0/require_any"),
            ("graphql: {require: b:read}", "/rules/0/graphql/require"),
            (
                "graphql: {require: '{field}:read', introspection: b:read}",
                "/rules/0/graphql/introspection",
            ),
            (
                "graphql: {require: '{field}:read', fields: {x: 'b:read', y: b}}",
                "/rules/0/graphql/fields/x",
            ),
            (
                "graphql: {require: '{field}:read', nested: {x: b:read, y: allow}}",
                "/rules/0/graphql/nested/x",
            ),
        ] {
            let yaml = format!("rules: [{{{rule}}}]\nkeys: [{{scopes: ['a:read', 'd:write']}}]\n");
            assert_eq!(places(&yaml, "ungranted_scope"), [place], "{rule}");
        }
    }

    #[test]
    fn a_scope_that_somebody_may_have_is_no_finding() {
        const KEYS: &str = "keys: [{scopes: [a:read, d:write]}]";
        for (rule, who) in [
            ("require: [a:read, d:delete, 'd:write']", KEYS),
            ("require_any: [b:read, a:read]", KEYS),
            ("paths: ['/{x}'], require_any: [b:read, '{x}:read']", KEYS),
            ("paths: ['/{x}'], require: ['{x}:read']", KEYS),
            ("graphql: {require: '{field}:read', introspection: deny, fields: {x: b}}", KEYS),
            ("graphql: {introspection: allow, require: '{field}:{operation}'}", KEYS),
            ("require: [b:read]", "keys: []"),
            ("require: [b:read]", "keys: [{scopes: []}]\nsessions: {payload: p, id: sub}"),
            ("require: [b:read]", "keys: [{scopes: []}]\nkey_types: {t: {scopes: [read]}}"),
        ] {
            let yaml = format!("rules: [{{{rule}}}]\n{who}\n");
            assert_eq!(places(&yaml, "ungranted_scope"), [""; 0], "{rule}");
        }
    }
}
