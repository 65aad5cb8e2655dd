//! Rules that never match, and rules that let everybody in.

use std::collections::HashMap;

use super::{Remark, fields, items, texts};
use crate::document::Document;

pub(super) fn look(policy: &Document, remarks: &mut Vec<Remark>) {
    let rules: Vec<Rule<'_>> = items(policy, "rules").iter().map(Rule::new).collect();
    let mut earlier = Earlier { rules: &rules, by_first_segment: HashMap::new() };
    for (index, rule) in rules.iter().enumerate() {
        if let Some(covering) = earlier.covering(rule) {
            let covering: Vec<String> =
                covering.iter().map(|index| format!("`{}`", rules_name(policy, *index))).collect();
            remarks.push(Remark {
                code: "unreachable_rule",
                pointer: format!("/rules/{index}"),
                message: format!(
                    "this rule never matches: what it matches is taken by {} before it",
                    covering.join(" and ")
                ),
                help: "the first rule that matches decides; move the narrower one up",
            });
        }
        earlier.add(index);
        if rule.is_public && rule.is_everything() {
            remarks.push(Remark {
                code: "public_everything",
                pointer: format!("/rules/{index}"),
                message: "this rule lets every request in without a key".to_owned(),
                help: "name the `paths` that are public",
            });
        }
    }
}

fn rules_name(policy: &Document, index: usize) -> String {
    let name = items(policy, "rules").get(index).and_then(|rule| rule.field("name")?.as_str());
    name.map_or_else(|| format!("rules[{index}]"), str::to_owned)
}

/// What a rule matches; an empty list stands for everything.
struct Rule<'d> {
    hosts: Vec<String>,
    paths: Vec<Vec<Segment<'d>>>,
    methods: Vec<&'d str>,
    query: &'d [(String, Document)],
    is_public: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'d> {
    Literal(&'d str),
    One,
    Rest,
}

impl<'d> Rule<'d> {
    fn new(rule: &'d Document) -> Rule<'d> {
        Rule {
            hosts: texts(rule, "hosts").map(str::to_ascii_lowercase).collect(),
            paths: texts(rule, "paths").map(segments).collect(),
            methods: texts(rule, "methods").collect(),
            query: fields(rule, "query"),
            is_public: rule.field("access").and_then(Document::as_str) == Some("public"),
        }
    }

    fn is_everything(&self) -> bool {
        self.hosts.is_empty()
            && self.methods.is_empty()
            && self.query.is_empty()
            && (self.paths.is_empty() || self.paths.iter().any(|path| *path == [Segment::Rest]))
    }

    /// Whether this rule matches every request of that host, path and method that has the query
    /// of `other`.
    fn covers(
        &self,
        host: Option<&str>,
        path: Option<&[Segment<'_>]>,
        method: Option<&str>,
        other: &Rule<'_>,
    ) -> bool {
        let paths = &self.paths;
        let own_path = |path| paths.iter().any(|own| covers_path(own, path));
        (self.methods.is_empty() || method.is_some_and(|method| self.methods.contains(&method)))
            && (paths.is_empty() || path.is_some_and(own_path))
            && (self.hosts.is_empty()
                || host.is_some_and(|host| self.hosts.iter().any(|own| covers_host(own, host))))
            && self.query.iter().all(|(name, values)| {
                other.query.iter().any(|(own, _)| own == name && takes_any_value(name, values))
            })
    }
}

/// The rules before one, by the first segment of their paths, so that ten thousand rules are not
/// compared with each other.
struct Earlier<'a> {
    rules: &'a [Rule<'a>],
    by_first_segment: HashMap<Option<&'a str>, Vec<usize>>,
}

impl<'a> Earlier<'a> {
    fn add(&mut self, index: usize) {
        let Some(rule) = self.rules.get(index) else { return };
        let mut firsts: Vec<Option<&str>> = rule.paths.iter().map(|path| first(path)).collect();
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
    fn covering(&self, rule: &Rule<'_>) -> Option<Vec<usize>> {
        let hosts = each(rule.hosts.iter().map(String::as_str));
        let paths = each(rule.paths.iter().map(Vec::as_slice));
        let methods = each(rule.methods.iter().copied());
        let mut covering = Vec::new();
        for path in &paths {
            let own = path
                .and_then(first)
                .and_then(|first| self.by_first_segment.get(&Some(first)).map(Vec::as_slice));
            let any = self.by_first_segment.get(&None).map(Vec::as_slice);
            for host in &hosts {
                for method in &methods {
                    let found = own
                        .into_iter()
                        .chain(any)
                        .flatten()
                        .copied()
                        .filter(|index| {
                            self.rules
                                .get(*index)
                                .is_some_and(|own| own.covers(*host, *path, *method, rule))
                        })
                        .min()?;
                    covering.push(found);
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

fn segments(path: &str) -> Vec<Segment<'_>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/')
        .map(|segment| match segment {
            "*" => Segment::One,
            "**" => Segment::Rest,
            _ if segment.starts_with('{') && segment.ends_with("...}") => Segment::Rest,
            _ if segment.starts_with('{') => Segment::One,
            literal => Segment::Literal(literal),
        })
        .collect()
}

fn first<'d>(path: &[Segment<'d>]) -> Option<&'d str> {
    match path.first() {
        Some(Segment::Literal(text)) => Some(text),
        _ => None,
    }
}

/// Whether `own` matches every path that `other` matches.
fn covers_path(own: &[Segment<'_>], other: &[Segment<'_>]) -> bool {
    match (own.split_first(), other.split_first()) {
        (Some((Segment::Rest, _)), _) | (None, None) => true,
        (Some((Segment::One, own)), Some((Segment::One | Segment::Literal(_), other))) => {
            covers_path(own, other)
        }
        (Some((Segment::Literal(text), own)), Some((Segment::Literal(literal), other))) => {
            text == literal && covers_path(own, other)
        }
        _ => false,
    }
}

fn covers_host(own: &str, other: &str) -> bool {
    own == other || own.strip_prefix('*').is_some_and(|domain| other.ends_with(domain))
}

/// Whether nothing that a request says of a parameter can make a rule fit in part, so that the
/// next one is asked as well. A list `name[]` can be written so that only some upstreams read it.
fn takes_any_value(name: &str, values: &Document) -> bool {
    let is_any = |value: &Document| value.as_str() == Some("*");
    let Document::Array(values) = values else { return false };
    !name.ends_with("[]") && values.iter().any(is_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that never match, and by which others.
    fn unreachable(rules: &str) -> Vec<String> {
        super::super::remarks(&format!("rules:\n{rules}"), look)
            .iter()
            .map(|remark| {
                remark.replace(
                    " unreachable_rule: this rule never matches: what it matches is taken by",
                    "",
                )
            })
            .collect()
    }

    #[test]
    fn a_rule_after_one_that_covers_it_never_matches() {
        for (rules, found) in [
            ("- {name: a}\n- {paths: [/x]}\n", "/rules/1 `a` before it"),
            (
                "- {paths: [/v1/**]}\n- {paths: ['/v1/{a}/b', /v1/]}\n",
                "/rules/1 `rules[0]` before it",
            ),
            ("- {paths: [/a/*]}\n- {paths: ['/a/{x}']}\n", "/rules/1 `rules[0]` before it"),
            (
                "- {paths: [/a], methods: [GET, PUT]}\n- {paths: [/a], methods: [PUT]}\n",
                "/rules/1 `rules[0]` before it",
            ),
            (
                "- {paths: [/a], hosts: ['*.x.org']}\n- {paths: [/a], hosts: [B.x.org]}\n",
                "/rules/1 `rules[0]` before it",
            ),
            (
                "- {query: {a: ['*']}}\n- {query: {a: ['1'], b: ['2']}}\n",
                "/rules/1 `rules[0]` before it",
            ),
            (
                "- {name: r, paths: [/a], methods: [GET]}\n- {name: w, paths: [/a], methods: [PUT]}\n\
                 - {paths: [/a], methods: [GET, PUT]}\n",
                "/rules/2 `r` and `w` before it",
            ),
        ] {
            assert_eq!(unreachable(rules), [found], "{rules}");
        }
    }

    #[test]
    fn a_rule_that_may_match_something_is_no_finding() {
        for rules in [
            "- {paths: [/x]}\n- {}\n",
            "- {paths: [/a/*]}\n- {paths: [/a/**]}\n",
            "- {paths: [/a/*/**]}\n- {paths: [/a/**]}\n",
            "- {paths: [/a]}\n- {paths: [/a/b]}\n- {paths: [/A]}\n",
            "- {paths: [/a], methods: [GET]}\n- {paths: [/a], methods: [GET, PUT]}\n",
            "- {paths: [/a], methods: [GET]}\n- {paths: [/a]}\n",
            "- {hosts: ['*.x.org']}\n- {hosts: [x.org]}\n- {hosts: [ax.org]}\n",
            "- {hosts: [x.org]}\n- {hosts: ['*.x.org']}\n",
            "- {query: {a: ['1']}}\n- {query: {a: ['1', '2']}}\n- {query: {a: ['*']}}\n- {}\n",
            "- {query: {a: ['1']}}\n- {query: {b: ['1']}}\n",
            // `?a=1&a=3` is for both of them, since it fits the first in part.
            "- {query: {a: ['1', '2']}}\n- {query: {a: ['1']}, access: deny}\n",
            "- {query: {'a[]': ['*']}}\n- {query: {'a[]': ['1']}}\n",
        ] {
            assert_eq!(unreachable(rules), [""; 0], "{rules}");
        }
    }

    #[test]
    fn a_public_rule_over_everything_is_a_finding() {
        for rule in ["access: public", "access: public, paths: [/a, /**]"] {
            assert_eq!(
                unreachable(&format!("- {{{rule}}}\n")),
                ["/rules/0 public_everything: this rule lets every request in without a key"]
            );
        }
        for rule in ["access: deny", "access: public, hosts: [a]", "access: public, paths: [/a/**]"]
        {
            assert_eq!(unreachable(&format!("- {{{rule}}}\n")), [""; 0], "{rule}");
        }
    }
}
