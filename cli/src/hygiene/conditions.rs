//! Conditions that no key meets.

use std::collections::{HashMap, HashSet};

use super::{Remark, fields, items, knows_identities};
use crate::document::Document;
use crate::place::escaped;

pub(super) fn look(policy: &Document, remarks: &mut Vec<Remark>) {
    if !knows_identities(policy) {
        return;
    }
    let held = held(policy);
    let rules = items(policy, "rules").iter().enumerate();
    let rules = rules.map(|(index, rule)| (format!("/rules/{index}"), rule));
    for (place, of) in std::iter::once((String::new(), policy)).chain(rules) {
        for (name, choices) in fields(of, "where") {
            let choices = match choices {
                Document::Array(choices) => choices.as_slice(),
                choice => std::slice::from_ref(choice),
            };
            let held = match held.get(name.as_str()) {
                Some(held) => held,
                None if PROPERTIES.contains(&name.as_str()) => &HashSet::new(),
                // The core says so.
                None => continue,
            };
            // Of a template only a request knows what it stands for.
            let may_be_met = |choice: &Document| {
                choice.as_str().is_none_or(|text| text.contains('{') || held.contains(text))
            };
            if !choices.iter().any(may_be_met) {
                remarks.push(Remark {
                    code: "unmet_condition",
                    pointer: format!("{place}/where/{}", escaped(name)),
                    message: format!("no key has the `{name}` that is asked for here"),
                    help: "nobody gets past it; compare it with the keys, letter case counts",
                });
            }
        }
    }
}

/// What a condition may name besides attributes.
const PROPERTIES: [&str; 3] = ["account", "id", "type"];

/// What keys have by each name.
fn held(policy: &Document) -> HashMap<&str, HashSet<&str>> {
    let mut held: HashMap<&str, HashSet<&str>> = HashMap::new();
    for key in items(policy, "keys") {
        let properties = PROPERTIES.into_iter().filter_map(|name| Some((name, key.field(name)?)));
        let attributes =
            fields(key, "attributes").iter().map(|(name, value)| (name.as_str(), value));
        let attributes = attributes.filter(|(name, _)| !PROPERTIES.contains(name));
        for (name, value) in properties.chain(attributes) {
            if let Some(value) = value.as_str() {
                held.entry(name).or_default().insert(value);
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "keys:\n- {id: a, type: t, account: x, attributes: {plan: pro}}\n\
                        - {id: b, attributes: {plan: free, id: c}}\n";

    fn unmet(yaml: &str) -> Vec<String> {
        super::super::remarks(yaml, look)
    }

    #[test]
    fn a_condition_that_no_key_meets_lets_nobody_in() {
        for (condition, name) in [
            ("{plan: Pro}", "plan"),
            ("{plan: [gold, silver]}", "plan"),
            ("{id: c}", "id"),
            ("{account: t}", "account"),
            ("{type: [x], plan: pro}", "type"),
        ] {
            for (yaml, place) in [
                (format!("{KEYS}where: {condition}\n"), ""),
                (format!("{KEYS}rules: [{{}}, {{where: {condition}}}]\n"), "/rules/1"),
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
            ("{plan: [gold, '{x}']}", KEYS),
            // The core warns of it.
            ("{plam: pro}", KEYS),
            ("{id: c}", "keys: []\n"),
            ("{id: c}", "keys: [{id: a}]\nsessions: {id: sub}\n"),
        ] {
            assert_eq!(unmet(&format!("{who}where: {condition}\n")), [""; 0], "{condition}");
        }
    }
}
