//! Parameters that rules read and that pass for one another, which makes rules dead: a request with either
//! is refused wherever the other is read.

use std::collections::{BTreeMap, BTreeSet};

use super::{Label, Remark};
use crate::engine::Engine;
use crate::path::{PathTemplate, Segment};
use crate::query::QueryNames;
use crate::rule::{HostPattern, Rule};

pub(super) fn look(engine: &Engine, label: Label<'_>, remarks: &mut Vec<Remark>) {
    let names = &engine.query_names;
    let pairs = pairs(names);
    let mut readers: BTreeMap<usize, Vec<&Rule>> = BTreeMap::new();
    for rule in engine.rules().iter().filter(|_| !pairs.is_empty()) {
        let read: BTreeSet<usize> = rule.query_names.iter().copied().collect();
        let paired = || read.iter().filter_map(|name| Some((*name, pairs.get(name)?)));
        paired().for_each(|(name, _)| readers.entry(name).or_default().push(rule));
        let clashes =
            paired().flat_map(|(name, others)| others.iter().map(move |other| (name, *other)));
        // One is enough to tell of a rule.
        let clash = clashes.into_iter().find_map(|(name, other)| {
            let reader = if engine.conditions_read.contains(&other) {
                "the policy's `where`".to_owned()
            } else {
                let reader = readers.get(&other)?.iter().find(|reader| can_meet(reader, rule))?;
                let is_own = reader.pointer() == rule.pointer();
                if is_own { "it".to_owned() } else { format!("`{}`", label(reader)) }
            };
            Some((names.name(name)?, reader, names.name(other)?))
        });
        remarks.extend(clash.map(|(name, reader, other)| Remark {
            code: "clashing_parameters",
            pointer: rule.pointer(),
            message: format!(
                "this rule reads `{name}` and {reader} reads `{other}`: some upstream takes one for the \
                 other, so a request with either is refused where the other is looked at"
            ),
            help: "read the parameter in the one spelling that the upstream documents",
        }));
    }
}

/// The names that clash, by place, each with those that it clashes with.
fn pairs(names: &QueryNames) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut pairs: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (one, other) in names.alike() {
        pairs.entry(one).or_default().insert(other);
        pairs.entry(other).or_default().insert(one);
    }
    pairs
}

/// Whether there can be requests at which both rules are looked at.
fn can_meet(one: &Rule, other: &Rule) -> bool {
    let share = |paths: &[PathTemplate], path: &PathTemplate| {
        paths.is_empty()
            || paths.iter().any(|of_other| share_path(&of_other.segments, &path.segments))
    };
    share_requests(one, other)
        && (one.paths.is_empty() || one.paths.iter().any(|path| share(&other.paths, path)))
}

/// Whether both rules are for requests of one method and one host, whatever their paths.
pub(super) fn share_requests(one: &Rule, other: &Rule) -> bool {
    let same_method = |method: &str| other.methods.is_empty() || other.lists(method);
    let share_hosts = |host: &HostPattern| {
        other.hosts.is_empty() || other.hosts.iter().any(|of_other| share_host(of_other, host))
    };
    (one.methods.is_empty() || one.methods.iter().any(|method| same_method(method)))
        && (one.hosts.is_empty() || one.hosts.iter().any(share_hosts))
}

fn share_path(one: &[Segment], other: &[Segment]) -> bool {
    match (one.split_first(), other.split_first()) {
        (Some((Segment::Rest(_), _)), _) | (_, Some((Segment::Rest(_), _))) | (None, None) => true,
        (Some((one, one_rest)), Some((other, other_rest))) => {
            share_segment(one, other) && share_path(one_rest, other_rest)
        }
        _ => false,
    }
}

fn share_segment(one: &Segment, other: &Segment) -> bool {
    match (one, other) {
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (Segment::Part(part), Segment::Literal(text))
        | (Segment::Literal(text), Segment::Part(part)) => part.of(text).is_some(),
        (Segment::Part(one), Segment::Part(other)) => {
            (one.before.starts_with(&*other.before) || other.before.starts_with(&*one.before))
                && (one.after.ends_with(&*other.after) || other.after.ends_with(&*one.after))
        }
        _ => true,
    }
}

fn share_host(one: &HostPattern, other: &HostPattern) -> bool {
    match (one, other) {
        (HostPattern::Exact(host), pattern) | (pattern, HostPattern::Exact(host)) => {
            pattern.matches(host)
        }
        (HostPattern::Subdomains(one), HostPattern::Subdomains(other)) => {
            one.ends_with(&**other) || other.ends_with(&**one)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Environment;

    fn clashes(policy: &serde_json::Value) -> Vec<String> {
        let engine = Engine::compile(policy.to_string().as_bytes(), &Environment::default());
        let mut remarks = Vec::new();
        look(&engine.unwrap(), &|rule| rule.name().to_owned(), &mut remarks);
        let told = |remark: &Remark| {
            let (told, _) = remark.message.split_once(':').unwrap();
            format!("{} {}", remark.pointer, told.replace("this rule reads ", ""))
        };
        remarks.iter().map(told).collect()
    }

    fn of_rules(rules: &serde_json::Value) -> Vec<String> {
        clashes(&json!({"credentials": [{"query": "k"}], "keys": [], "rules": rules}))
    }

    fn any(name: &str) -> serde_json::Value {
        json!({name: ["*"]})
    }

    #[test]
    fn names_that_pass_for_each_other_clash() {
        for (one, other) in [
            ("animal", "ANIMAL"),
            ("an_imal", "an.imal"),
            ("animal", "animal[]"),
            ("animal", "animal.x"),
            ("animal", "animal[x]"),
            ("animal", "[animal]"),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let found = of_rules(&json!([{"query": any(one)}, {"query": any(other)}]));
                let expected = format!("/rules/1 `{other}` and `rules[0]` reads `{one}`");
                assert_eq!(found, [expected]);
            }
        }
        for (one, other) in [("animal", "animals"), ("a", "b"), ("animal", "animal"), ("x.a", "a")]
        {
            let found = of_rules(&json!([{"query": any(one)}, {"query": any(other)}]));
            assert_eq!(found, [""; 0], "{one} and {other}");
        }
    }

    #[test]
    fn wherever_a_rule_reads_them() {
        let other = json!({"query": any("animal")});
        for rule in [
            json!({"require": ["{query.ANIMAL}:read"]}),
            json!({"require_any": ["x:read", "{query.ANIMAL|*}:read"]}),
            json!({"where": {"account": "{query.ANIMAL}"}}),
        ] {
            let found = of_rules(&json!([other, rule]));
            assert_eq!(found, ["/rules/1 `ANIMAL` and `rules[0]` reads `animal`"], "{rule}");
        }
        let graphql = json!({"graphql": {"require": "{field}:{operation}"}});
        let found = of_rules(&json!([graphql, {"query": any("Query")}]));
        assert_eq!(found, ["/rules/1 `Query` and `rules[0]` reads `query`"]);
        assert_eq!(of_rules(&json!([graphql, graphql])), [""; 0]);
        let rules = json!([{"query": any("animal"), "require": ["{query.ANIMAL|x}:read"]}]);
        assert_eq!(of_rules(&rules), ["/rules/0 `animal` and it reads `ANIMAL`"]);
        let of_policy = clashes(&json!({
            "credentials": [{"query": "k"}],
            "keys": [],
            "where": {"account": "{query.animal}"},
            "rules": [{"query": any("ANIMAL")}],
        }));
        assert_eq!(of_policy, ["/rules/0 `ANIMAL` and the policy's `where` reads `animal`"]);
    }

    #[test]
    fn rules_that_never_meet_do_not_clash() {
        let found = |one: serde_json::Value, other: serde_json::Value| {
            let with = |mut rule: serde_json::Value, name: &str| {
                rule["query"] = any(name);
                rule
            };
            of_rules(&json!([with(one, "animal"), with(other, "ANIMAL")])).len()
        };
        for (one, other, count) in [
            (json!({"paths": ["/a"]}), json!({"paths": ["/b"]}), 0),
            (json!({"paths": ["/a"]}), json!({"paths": ["/a/b", "/c"]}), 0),
            (json!({"paths": ["/a"]}), json!({"paths": ["/c", "/%61"]}), 1),
            (json!({"paths": ["/a/{x}"]}), json!({"paths": ["/{y}/b"]}), 1),
            (json!({"paths": ["/{x}.json"]}), json!({"paths": ["/b.xml"]}), 0),
            (json!({"paths": ["/{x}.json"]}), json!({"paths": ["/b.json"]}), 1),
            (json!({"paths": ["/a{x}.json"]}), json!({"paths": ["/b{x}"]}), 0),
            (json!({"paths": ["/a{x}.json"]}), json!({"paths": ["/ab{x}"]}), 1),
            (json!({"paths": ["/{x}.json"]}), json!({"paths": ["/{x}"]}), 1),
            (json!({"paths": ["/a/**"]}), json!({"paths": ["/a"]}), 1),
            (json!({"paths": ["/a/**"]}), json!({"paths": ["/b/**"]}), 0),
            (json!({"paths": ["/a"]}), json!({}), 1),
            (json!({"methods": ["GET"]}), json!({"methods": ["POST", "PUT"]}), 0),
            (json!({"methods": ["GET"]}), json!({"methods": ["GET", "PUT"]}), 1),
            (json!({"hosts": ["a.org"]}), json!({"hosts": ["b.org"]}), 0),
            (json!({"hosts": ["a.b.org"]}), json!({"hosts": ["*.b.org"]}), 1),
            (json!({"hosts": ["*.a.b.org"]}), json!({"hosts": ["*.b.org"]}), 1),
            (json!({"hosts": ["b.org"]}), json!({"hosts": ["*.b.org"]}), 0),
        ] {
            assert_eq!(found(one.clone(), other.clone()), count, "{one} and {other}");
        }
    }
}
