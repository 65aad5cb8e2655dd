//! Scopes that keys have and no rule asks for, and scopes that rules ask for and no key has.

use std::collections::{HashMap, HashSet};

use super::{Remark, fields, items, knows_identities};
use crate::document::Document;
use crate::place::escaped;

/// The actions that methods stand for without a table of the policy's own.
const ACTIONS: [&str; 4] = ["create", "delete", "read", "update"];

pub(super) fn look(policy: &Document, remarks: &mut Vec<Remark>) {
    let actions: Vec<&str> = ACTIONS
        .into_iter()
        .chain(fields(policy, "methods").iter().filter_map(|(_, action)| action.as_str()))
        .collect();
    let asked: Vec<Asked<'_>> = asked(policy);
    let types = fields(policy, "key_types").iter().map(|(name, own)| (own, Holder::Type(name)));
    let keys = items(policy, "keys").iter().enumerate();
    let holders = types.chain(keys.map(|(index, key)| (key, Holder::Key(index))));
    let mut known: HashSet<&str> = HashSet::new();
    for (holder, name) in holders {
        for (index, scope) in items(holder, "scopes").iter().enumerate() {
            let Some(scope) = scope.as_str().filter(|scope| known.insert(scope)) else { continue };
            if !asked.iter().any(|asked| asked.is_covered_by(scope, &actions)) {
                remarks.push(Remark {
                    code: "unused_scope",
                    pointer: format!("{}/scopes/{index}", name.pointer()),
                    message: "no rule asks for this scope".to_owned(),
                    help: "without a rule a request needs its action on `*`, which only a scope \
                           such as `*:read` covers",
                });
            }
        }
    }
    if knows_identities(policy) {
        ungranted(policy, &known, remarks);
    }
}

/// Looks for what rules ask for and none of the scopes `granted` covers.
fn ungranted<'d>(policy: &'d Document, granted: &HashSet<&str>, remarks: &mut Vec<Remark>) {
    let mut judged: HashMap<&'d str, bool> = HashMap::new();
    // Of a template only a request knows what it asks for.
    let mut is_ungranted = |text: &'d Document| {
        let Some(text) = text.as_str().filter(|text| !text.contains('{')) else { return false };
        *judged.entry(text).or_insert_with(|| {
            let asked = Asked::new(text);
            !granted.iter().any(|scope| asked.is_covered_by(scope, &[]))
        })
    };
    let mut remark = |pointer: String, message: &str| {
        remarks.push(Remark {
            code: "ungranted_scope",
            pointer,
            message: message.to_owned(),
            help: "nobody gets past it; give the scope to a key or to a key type",
        });
    };
    const NONE: &str = "no key has a scope that covers this one";
    for (index, rule) in items(policy, "rules").iter().enumerate() {
        let place = format!("/rules/{index}");
        for (index, text) in items(rule, "require").iter().enumerate() {
            if is_ungranted(text) {
                remark(format!("{place}/require/{index}"), NONE);
            }
        }
        let alternatives = items(rule, "require_any");
        if !alternatives.is_empty() && alternatives.iter().all(&mut is_ungranted) {
            let message = "no key has a scope that covers one of these";
            remark(format!("{place}/require_any"), message);
        }
        let Some(graphql) = rule.field("graphql") else { continue };
        let is_switch = |text: &Document| matches!(text.as_str(), Some("allow" | "deny"));
        for name in ["require", "introspection"] {
            if graphql.field(name).is_some_and(|text| !is_switch(text) && is_ungranted(text)) {
                remark(format!("{place}/graphql/{name}"), NONE);
            }
        }
        for list in ["fields", "nested"] {
            for (name, text) in fields(graphql, list) {
                let is_scope = text.as_str().is_some_and(|text| text.contains(':'));
                if is_scope && is_ungranted(text) {
                    remark(format!("{place}/graphql/{list}/{}", escaped(name)), NONE);
                }
            }
        }
    }
}

/// Who has scopes.
enum Holder<'d> {
    Key(usize),
    Type(&'d str),
}

impl Holder<'_> {
    fn pointer(&self) -> String {
        match self {
            Holder::Key(index) => format!("/keys/{index}"),
            Holder::Type(name) => format!("/key_types/{}", escaped(name)),
        }
    }
}

/// What a template in `require` could stand for.
struct Asked<'d> {
    resource: Pattern<'d>,
    action: Pattern<'d>,
}

/// What all rules ask for, and what is asked for where no rule matches.
fn asked(policy: &Document) -> Vec<Asked<'_>> {
    let mut templates = vec!["{action}"];
    for rule in items(policy, "rules") {
        for name in ["require", "require_any"] {
            templates.extend(items(rule, name).iter().filter_map(Document::as_str));
        }
        if let Some(graphql) = rule.field("graphql") {
            templates.extend(graphql.field("require").and_then(Document::as_str));
            templates.extend(graphql.field("introspection").and_then(Document::as_str));
            // A field that is mapped stands for a resource, or for a whole scope.
            let fields = ["fields", "nested"].into_iter().flat_map(|name| fields(graphql, name));
            let texts = fields.filter_map(|(_, field)| field.as_str());
            templates.extend(texts.filter(|text| text.contains(':')));
        }
    }
    templates.sort_unstable();
    templates.dedup();
    templates.into_iter().map(Asked::new).collect()
}

impl<'d> Asked<'d> {
    fn new(template: &'d str) -> Asked<'d> {
        let (resource, action) = split_scope(template);
        Asked { resource: Pattern(resource.unwrap_or("*")), action: Pattern(action) }
    }

    fn is_covered_by(&self, scope: &str, actions: &[&str]) -> bool {
        let (resource, action) = scope.split_once(':').unwrap_or(("*", scope));
        let may_be = |word: &str| self.action.may_be(word, actions);
        (resource == "*" || self.resource.may_be(resource, actions))
            && (action == "*"
                || may_be(action)
                || (action == "write" && ["create", "update", "delete"].into_iter().any(may_be)))
    }
}

/// Splits a template at the first colon that stands in no placeholder.
fn split_scope(template: &str) -> (Option<&str>, &str) {
    let mut depth = 0_usize;
    for (index, byte) in template.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                let (resource, rest) = template.split_at_checked(index).unwrap_or(("", template));
                return (Some(resource), rest.strip_prefix(':').unwrap_or(rest));
            }
            _ => {}
        }
    }
    (None, template)
}

/// One side of a scope, placeholders and all.
struct Pattern<'d>(&'d str);

impl Pattern<'_> {
    /// Whether this could stand for `word`. The actions are known; of any other placeholder only
    /// a request knows what it stands for.
    fn may_be(&self, word: &str, actions: &[&str]) -> bool {
        match self.0 {
            "{action}" => return actions.contains(&word),
            "{operation}" => return matches!(word, "read" | "write"),
            _ => {}
        }
        let Some((start, mut template)) = self.0.split_once('{') else { return self.0 == word };
        let Some(mut word) = word.strip_prefix(start) else { return false };
        while let Some((_, after)) = template.split_once('}') {
            let Some((literal, next)) = after.split_once('{') else {
                return word.ends_with(after);
            };
            match word.split_once(literal) {
                Some((_, rest)) => (word, template) = (rest, next),
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(rules: &str, scopes: &str) -> Vec<String> {
        let yaml = format!("rules: {rules}\nkeys: [{{scopes: {scopes}}}]\n");
        places(&yaml, "unused_scope")
    }

    fn places(yaml: &str, code: &str) -> Vec<String> {
        let mut remarks = super::super::remarks(yaml, look);
        remarks.retain(|remark| remark.contains(&format!(" {code}: ")));
        remarks.iter().map(|remark| remark.split(' ').next().unwrap().to_owned()).collect()
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
        for template in ["a:read", "{x}:read", "a:{action}", "{query.a:b|c}:{action}", "a{x}:read"]
        {
            let rules = format!("[{{require: ['{template}']}}]");
            assert_eq!(unused(&rules, "['a:read', '*:read', 'a:*']"), [""; 0], "{template}");
        }
        for template in ["b:read", "a:update", "b{x}:read", "a:x-{method}", "{x}b:read"] {
            let rules = format!("[{{require_any: ['{template}']}}]");
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
            super::super::remarks(yaml, look),
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
            ("graphql: {introspection: b:read}", "/rules/0/graphql/introspection"),
            ("graphql: {fields: {x: 'b:read', y: b}}", "/rules/0/graphql/fields/x"),
            ("graphql: {nested: {x: b:read, y: allow}}", "/rules/0/graphql/nested/x"),
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
            ("require_any: [b:read, '{x}:read']", KEYS),
            ("require: ['{x}:read'], require_any: []", KEYS),
            ("graphql: {introspection: deny, fields: {x: b}}", KEYS),
            ("graphql: {introspection: allow, require: '{field}:{operation}'}", KEYS),
            ("require: [b:read]", "keys: []"),
            ("require: [b:read]", "keys: [{scopes: []}]\nsessions: {id: sub}"),
            ("require: [b:read]", "keys: [{scopes: []}]\nkey_types: {t: {scopes: [read]}}"),
        ] {
            let yaml = format!("rules: [{{{rule}}}]\n{who}\n");
            assert_eq!(places(&yaml, "ungranted_scope"), [""; 0], "{rule}");
        }
    }
}
