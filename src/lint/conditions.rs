//! Conditions that no key meets.

use std::collections::{HashMap, HashSet};

use super::{Remark, knows_identities};
use crate::condition::{Condition, Subject};
use crate::engine::Engine;
use crate::template::Template;

pub(super) fn look(engine: &Engine, remarks: &mut Vec<Remark>) {
    if !knows_identities(engine) {
        return;
    }
    let held = held(engine);
    let rules = engine.rules().iter().map(|rule| (rule.pointer(), &rule.conditions));
    for (place, conditions) in
        std::iter::once((String::new(), &engine.authorizer.conditions)).chain(rules)
    {
        for condition in conditions {
            let name = condition.subject.name();
            let held = match (held.get(name), &condition.subject) {
                (Some(held), _) => held,
                // Compiling warns of an attribute that no key has.
                (None, Subject::Attribute(_)) => continue,
                (None, Subject::Account | Subject::Id | Subject::Type) => &HashSet::new(),
            };
            if !may_be_met(condition, held) {
                remarks.push(Remark {
                    code: "unmet_condition",
                    pointer: format!("{place}/where/{name}"),
                    message: format!("no key has the `{name}` that is asked for here"),
                    help: "nobody passes it; compare it with the keys; letter case counts",
                });
            }
        }
    }
}

/// Whether some key may meet a condition, given what keys have of its property. Of a template only a
/// request knows what it stands for.
fn may_be_met(condition: &Condition, held: &HashSet<&str>) -> bool {
    let texts: Option<HashSet<&str>> = condition.choices.iter().map(Template::as_literal).collect();
    match texts {
        Some(texts) if condition.is_negated => !held.is_subset(&texts),
        Some(texts) => !held.is_disjoint(&texts),
        None => !condition.is_negated || !held.is_empty(),
    }
}

/// What keys have by each name that a condition may use.
fn held(engine: &Engine) -> HashMap<&str, HashSet<&str>> {
    let mut held: HashMap<&str, HashSet<&str>> = HashMap::new();
    for key in engine.keys() {
        let properties =
            [("account", key.account()), ("id", Some(key.id())), ("type", key.key_type())];
        let properties = properties.into_iter().filter_map(|(name, own)| Some((name, own?)));
        for (name, value) in properties.chain(key.attributes()) {
            held.entry(name).or_default().insert(value);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::super::tests::remarks;

    const KEYS: &str = "key_types: {t: {}, x: {}}\n\
                        keys:\n- {id: a, type: t, account: x, attributes: {plan: pro}, scopes: []}\n\
                        - {id: b, attributes: {plan: free}, scopes: []}\n";

    fn unmet(yaml: &str) -> Vec<String> {
        let mut remarks = remarks(yaml);
        remarks.retain(|remark| remark.contains("unmet_condition"));
        remarks
    }

    #[test]
    fn a_condition_that_no_key_meets_lets_nobody_in() {
        for (condition, name) in [
            ("{plan: Pro}", "plan"),
            ("{plan: [gold, silver]}", "plan"),
            ("{id: c}", "id"),
            ("{account: t}", "account"),
            ("{type: [x], plan: pro}", "type"),
            ("{plan: {not: [pro, gold, free]}}", "plan"),
            ("{type: {not: t}}", "type"),
        ] {
            for (yaml, place) in [
                (format!("{KEYS}where: {condition}\n"), ""),
                (format!("{KEYS}rules: [{{paths: [/a]}}, {{where: {condition}}}]\n"), "/rules/1"),
            ] {
                let told = format!(
                    "{place}/where/{name} unmet_condition: no key has the `{name}` that is asked for \
                     here"
                );
                assert_eq!(unmet(&yaml), [told]);
            }
        }
        let keys = "keys: [{id: a}]\n";
        assert_eq!(unmet(&format!("{keys}where: {{account: x}}\n")).len(), 1);
    }

    #[test]
    fn a_condition_that_somebody_may_meet_is_no_finding() {
        for (condition, who) in [
            ("{plan: pro, id: [c, b], account: x, type: t}", KEYS),
            ("{plan: [gold, '{query.x}']}", KEYS),
            ("{plan: {not: [gold, free]}, id: {not: a}}", KEYS),
            ("{account: {not: '{query.x}'}}", KEYS),
            // Compiling warns of it.
            ("{plam: pro}", KEYS),
            ("{id: c}", "keys: []\n"),
            ("{id: c}", "keys: [{id: a}]\nsessions: {payload: p, id: sub}\n"),
        ] {
            assert_eq!(unmet(&format!("{who}where: {condition}\n")), [""; 0], "{condition}");
        }
    }
}
