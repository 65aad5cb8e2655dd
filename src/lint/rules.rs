//! Rules that never match, and rules that let everybody in.

use std::collections::HashMap;

use super::{Label, Remark};
use crate::path::{PathTemplate, Segment};
use crate::pattern::Pattern;
use crate::rule::{HostPattern, Rule};

pub(super) fn look(rules: &[Rule], label: Label<'_>, remarks: &mut Vec<Remark>) {
    let mut earlier = Earlier { rules, by_first_segment: HashMap::new() };
    for (index, rule) in rules.iter().enumerate() {
        if let Some(covering) = earlier.covering(rule) {
            let covering = covering.iter().filter_map(|index| rules.get(*index));
            let names: Vec<String> = covering.map(|rule| format!("`{}`", label(rule))).collect();
            remarks.push(Remark {
                code: "unreachable_rule",
                pointer: rule.pointer(),
                message: format!(
                    "this rule never matches: all that it would match is taken by {} before it",
                    names.join(" and ")
                ),
                help: "the first rule that matches decides; move the narrower one up",
            });
        }
        earlier.add(index);
        if rule.access.is_open() && is_everything(rule) {
            remarks.push(Remark {
                code: "public_everything",
                pointer: rule.pointer(),
                message: "this rule lets every request in without a key".to_owned(),
                help: "name the `paths` that are public",
            });
        }
    }
}

fn is_everything(rule: &Rule) -> bool {
    let is_any = |path: &PathTemplate| matches!(path.segments.as_slice(), [Segment::Rest(_)]);
    rule.hosts.is_empty()
        && rule.methods.is_empty()
        && rule.query.is_empty()
        && rule.headers.is_empty()
        && (rule.paths.is_empty() || rule.paths.iter().any(is_any))
}

/// Whether a rule matches every request of that host, path and method that has the query of `other`.
fn covers(
    rule: &Rule,
    host: Option<&HostPattern>,
    path: Option<&PathTemplate>,
    method: Option<&str>,
    other: &Rule,
) -> bool {
    let own_path = |path: &PathTemplate| {
        rule.paths.iter().any(|earlier| covers_path(&earlier.segments, &path.segments))
    };
    // Nothing tells that a header fits whatever an upstream reads.
    rule.headers.is_empty()
        && (rule.methods.is_empty() || method.is_some_and(|method| rule.lists(method)))
        && (rule.paths.is_empty() || path.is_some_and(own_path))
        && (rule.hosts.is_empty()
            || host.is_some_and(|host| rule.hosts.iter().any(|earlier| covers_host(earlier, host))))
        && rule.query.iter().all(|pattern| {
            let mut others = other.query.iter();
            others.any(|other| other.name == pattern.name) && takes_any_value(pattern)
        })
}

/// The rules before one, by the first segment of their paths, so that ten thousand rules are not
/// compared with each other.
struct Earlier<'a> {
    rules: &'a [Rule],
    by_first_segment: HashMap<Option<&'a str>, Vec<usize>>,
}

impl<'a> Earlier<'a> {
    fn add(&mut self, index: usize) {
        let Some(rule) = self.rules.get(index) else { return };
        let mut firsts: Vec<Option<&str>> = rule.paths.iter().map(first).collect();
        if firsts.is_empty() {
            firsts.push(None);
        }
        firsts.sort_unstable();
        firsts.dedup();
        for first in firsts {
            self.by_first_segment.entry(first).or_default().push(index);
        }
    }

    /// The earlier rules that take all that `rule` could match, if they do: for each of its
    /// hosts, paths and methods one that takes it whole.
    fn covering(&self, rule: &Rule) -> Option<Vec<usize>> {
        let hosts = each(rule.hosts.iter());
        let paths = each(rule.paths.iter());
        let methods = each(rule.methods.iter().map(|method| &**method));
        let mut covering = Vec::new();
        for path in &paths {
            let of_path = path
                .and_then(first)
                .and_then(|first| self.by_first_segment.get(&Some(first)).map(Vec::as_slice));
            let any = self.by_first_segment.get(&None).map(Vec::as_slice);
            for host in &hosts {
                for method in &methods {
                    let takes = |index: &usize| {
                        let earlier = self.rules.get(*index);
                        earlier.is_some_and(|earlier| covers(earlier, *host, *path, *method, rule))
                    };
                    let candidates = of_path.into_iter().chain(any).flatten().copied();
                    covering.push(candidates.filter(takes).min()?);
                }
            }
        }
        covering.sort_unstable();
        covering.dedup();
        Some(covering)
    }
}

/// Each item, or one `None` that stands for everything.
fn each<T>(items: impl Iterator<Item = T>) -> Vec<Option<T>> {
    let items: Vec<Option<T>> = items.map(Some).collect();
    if items.is_empty() { vec![None] } else { items }
}

fn first(path: &PathTemplate) -> Option<&str> {
    match path.segments.first() {
        Some(Segment::Literal(text)) => Some(text),
        _ => None,
    }
}

/// Whether `earlier` matches every path that `other` matches.
fn covers_path(earlier: &[Segment], other: &[Segment]) -> bool {
    match (earlier.split_first(), other.split_first()) {
        (Some((Segment::Rest(_), _)), _) | (None, None) => true,
        (Some((one, earlier)), Some((another, other))) => {
            covers_segment(one, another) && covers_path(earlier, other)
        }
        _ => false,
    }
}

/// The same of one segment.
fn covers_segment(earlier: &Segment, other: &Segment) -> bool {
    match (earlier, other) {
        (Segment::One(_), other) => !matches!(other, Segment::Rest(_)),
        (Segment::Literal(earlier), Segment::Literal(other)) => earlier == other,
        (Segment::Part(earlier), Segment::Literal(other)) => earlier.of(other).is_some(),
        (Segment::Part(earlier), Segment::Part(other)) => {
            other.before.starts_with(&*earlier.before) && other.after.ends_with(&*earlier.after)
        }
        _ => false,
    }
}

fn covers_host(earlier: &HostPattern, other: &HostPattern) -> bool {
    match (earlier, other) {
        (
            HostPattern::Subdomains(earlier),
            HostPattern::Exact(host) | HostPattern::Subdomains(host),
        ) => host.ends_with(&**earlier),
        (HostPattern::Exact(earlier), HostPattern::Exact(host)) => earlier == host,
        (HostPattern::Exact(_), HostPattern::Subdomains(_)) => false,
    }
}

/// Whether nothing that a request says of a parameter can make a rule fit in part, so that the
/// next one is asked as well. A list `name[]` can be written so that only some upstreams read it.
fn takes_any_value(pattern: &Pattern) -> bool {
    pattern.values.is_none() && !pattern.name.ends_with("[]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Environment;
    use crate::engine::Engine;

    /// The rules that never match, and by which others.
    fn unreachable(rules: &str) -> Vec<String> {
        let policy =
            format!(r#"{{"credentials": [{{"header": "x-key"}}], "keys": [], "rules": {rules}}}"#);
        let engine = Engine::compile(policy.as_bytes(), &Environment::default()).unwrap();
        let told = |Remark { code, pointer, message, .. }: Remark| {
            format!("{pointer} {code}: {message}").replace(
                " unreachable_rule: this rule never matches: all that it would match is taken by",
                "",
            )
        };
        let mut remarks = Vec::new();
        look(engine.rules(), &|rule| rule.name().to_owned(), &mut remarks);
        remarks.into_iter().map(told).collect()
    }

    #[test]
    fn a_rule_after_one_that_covers_it_never_matches() {
        for (rules, found) in [
            (r#"[{"name": "a"}, {"paths": ["/x"]}]"#, "/rules/1 `a` before it"),
            (
                r#"[{"paths": ["/v1/**"]}, {"paths": ["/v1/{a}/b", "/v1/"]}]"#,
                "/rules/1 `rules[0]` before it",
            ),
            (r#"[{"paths": ["/a/*"]}, {"paths": ["/a/{x}"]}]"#, "/rules/1 `rules[0]` before it"),
            (
                r#"[{"paths": ["/a"], "methods": ["GET", "PUT"]}, {"paths": ["/a"], "methods": ["PUT"]}]"#,
                "/rules/1 `rules[0]` before it",
            ),
            (
                r#"[{"paths": ["/a"], "hosts": ["*.x.org"]}, {"paths": ["/a"], "hosts": ["B.x.org"]}]"#,
                "/rules/1 `rules[0]` before it",
            ),
            (
                r#"[{"query": {"a": ["*"]}}, {"query": {"a": ["1"], "b": ["2"]}}]"#,
                "/rules/1 `rules[0]` before it",
            ),
            (r#"[{}, {"headers": {"a": ["1"]}}]"#, "/rules/1 `rules[0]` before it"),
            (
                r#"[{"name": "r", "paths": ["/a"], "methods": ["GET"]}, {"name": "w", "paths": ["/a"], "methods": ["PUT"]}, {"paths": ["/a"], "methods": ["GET", "PUT"]}]"#,
                "/rules/2 `r` and `w` before it",
            ),
            (
                r#"[{"paths": ["/{x}.json"]}, {"paths": ["/a{y}.json", "/b.json"]}]"#,
                "/rules/1 `rules[0]` before it",
            ),
            (r#"[{"paths": ["/{x}"]}, {"paths": ["/v{y}"]}]"#, "/rules/1 `rules[0]` before it"),
            // As the filter compares them: decoded, hosts in any letter case.
            (r#"[{"paths": ["/a%62c"]}, {"paths": ["/abc/"]}]"#, "/rules/1 `rules[0]` before it"),
        ] {
            assert_eq!(unreachable(rules), [found], "{rules}");
        }
    }

    #[test]
    fn a_rule_that_may_match_something_is_no_finding() {
        for rules in [
            r#"[{"paths": ["/x"]}, {}]"#,
            r#"[{"paths": ["/a/*"]}, {"paths": ["/a/**"]}]"#,
            r#"[{"paths": ["/a/*/**"]}, {"paths": ["/a/**"]}]"#,
            r#"[{"paths": ["/a"]}, {"paths": ["/a/b"]}, {"paths": ["/A"]}]"#,
            r#"[{"paths": ["/a"], "methods": ["GET"]}, {"paths": ["/a"], "methods": ["GET", "PUT"]}]"#,
            r#"[{"paths": ["/a"], "methods": ["GET"]}, {"paths": ["/a"]}]"#,
            r#"[{"paths": ["/a{x}.json"]}, {"paths": ["/{x}.json"]}, {"paths": ["/{x}"]}]"#,
            r#"[{"paths": ["/{x}.json"]}, {"paths": ["/.json", "/a"]}, {"paths": ["/**"]}]"#,
            r#"[{"hosts": ["*.x.org"]}, {"hosts": ["x.org"]}, {"hosts": ["ax.org"]}]"#,
            r#"[{"hosts": ["x.org"]}, {"hosts": ["*.x.org"]}]"#,
            r#"[{"query": {"a": ["1"]}}, {"query": {"a": ["1", "2"]}}, {"query": {"a": ["*"]}}, {}]"#,
            r#"[{"query": {"a": ["1"]}}, {"query": {"b": ["1"]}}]"#,
            r#"[{"headers": {"a": ["*"]}}, {"headers": {"a": ["1"]}}, {}]"#,
            // `?a=1&a=3` is for both of them, since it fits the first in part.
            r#"[{"query": {"a": ["1", "2"]}}, {"query": {"a": ["1"]}, "access": "deny"}]"#,
            r#"[{"query": {"a[]": ["*"]}}, {"query": {"a[]": ["1"]}}]"#,
        ] {
            assert_eq!(unreachable(rules), [""; 0], "{rules}");
        }
    }

    #[test]
    fn a_public_rule_over_everything_is_a_finding() {
        for rule in [r#"{"access": "public"}"#, r#"{"access": "public", "paths": ["/a", "/**"]}"#] {
            assert_eq!(
                unreachable(&format!("[{rule}]")),
                ["/rules/0 public_everything: this rule lets every request in without a key"]
            );
        }
        for rule in [
            r#"{"access": "deny"}"#,
            r#"{"access": "public", "hosts": ["a"]}"#,
            r#"{"access": "public", "headers": {"a": ["*"]}}"#,
            r#"{"access": "public", "paths": ["/a/**"]}"#,
        ] {
            assert_eq!(unreachable(&format!("[{rule}]")), [""; 0], "{rule}");
        }
    }
}
