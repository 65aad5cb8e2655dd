//! Operations as few rules, in an order in which the first that matches is the right one.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::access::Access;
use super::path::RulePath;

/// A path with the methods that ask for the same.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// None for every host.
    pub(super) hosts: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) path: RulePath,
    pub(super) access: Access,
    /// What its operations are called, each in one line.
    pub(super) names: Vec<String>,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// At least one; hosts, methods and access are those of the first.
    pub(super) entries: Vec<Entry>,
}

impl Entry {
    /// Whether this must come before the other one, so that a request that matches both is judged by it.
    fn precedes(&self, other: &Entry) -> bool {
        self.access != other.access
            && self.methods.iter().any(|method| other.methods.contains(method))
            && share_a_host(self, other)
            && self.path.overlaps(&other.path)
            && self.path.specificity(&other.path).is_lt()
    }
}

/// Whether both are for some host.
pub(super) fn share_a_host(one: &Entry, other: &Entry) -> bool {
    one.hosts.is_empty()
        || other.hosts.is_empty()
        || one.hosts.iter().any(|host| other.hosts.contains(host))
}

/// The rules for `entries`, which stand in the order of their document.
///
/// Of the entries that wait for no other, those become the next rule that can stand together and leave none of their
/// like behind, or else the most. Being more specific is an order, so there are always some.
pub(super) fn rules(entries: Vec<Entry>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut left = waiting(entries);
    while !left.is_empty() {
        let Some(next) = next_group(&left) else { break };
        let is_next = |member: &Waiting| member.group == next && member.earlier.is_empty();
        let (members, others): (Vec<Waiting>, Vec<Waiting>) = left.into_iter().partition(is_next);
        let done: HashSet<usize> = members.iter().map(|member| member.index).collect();
        left = others;
        for other in &mut left {
            other.earlier.retain(|index| !done.contains(index));
        }
        let entries: Vec<Entry> = members.into_iter().map(|member| member.entry).collect();
        let name = name(&entries, &rules);
        rules.push(Rule { name, entries });
    }
    rules
}

/// An entry that is in no rule yet.
struct Waiting {
    index: usize,
    /// The first entry that it can stand together with.
    group: usize,
    /// The entries that must be in a rule before it is.
    earlier: Vec<usize>,
    entry: Entry,
}

fn waiting(entries: Vec<Entry>) -> Vec<Waiting> {
    let mut groups = HashMap::new();
    let mut group_of = |index: usize, entry: &Entry| {
        let key = (entry.hosts.clone(), entry.methods.clone(), entry.access.clone());
        *groups.entry(key).or_insert(index)
    };
    let earlier = |entry: &Entry| {
        let preceding = entries.iter().enumerate().filter(|(_, other)| other.precedes(entry));
        preceding.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let all = entries.iter().enumerate();
    let told: Vec<_> =
        all.map(|(index, entry)| (index, group_of(index, entry), earlier(entry))).collect();
    let whole = |((index, group, earlier), entry)| Waiting { index, group, earlier, entry };
    told.into_iter().zip(entries).map(whole).collect()
}

/// The group whose rule is next.
fn next_group(left: &[Waiting]) -> Option<usize> {
    let mut counts: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for member in left {
        let (ready, waiting) = counts.entry(member.group).or_default();
        *if member.earlier.is_empty() { ready } else { waiting } += 1;
    }
    counts.retain(|_, (ready, _)| *ready > 0);
    let whole = counts.iter().find(|(_, (_, waiting))| *waiting == 0);
    // Of those that are as large the first.
    let largest = || counts.iter().rev().max_by_key(|(_, (ready, _))| *ready);
    whole.or_else(largest).map(|(group, _)| *group)
}

/// The operation's own name, where there is one only; else what the rule is for. Each name is another one.
fn name(entries: &[Entry], rules: &[Rule]) -> String {
    let names: HashSet<&String> = entries.iter().flat_map(|entry| &entry.names).collect();
    let base = match (entries.first(), names.into_iter().collect::<Vec<_>>().as_slice()) {
        (_, [name]) => (*name).clone(),
        (Some(first), _) => described(first),
        (None, _) => String::new(),
    };
    let is_taken = |name: &str| rules.iter().any(|rule| rule.name == name);
    let numbered = (2..).map(|number| format!("{base} ({number})"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(base)
}

/// `GET POST org:read`.
fn described(entry: &Entry) -> String {
    let methods =
        entry.methods.iter().filter(|method| *method != "HEAD" || entry.methods.len() == 1);
    let methods: Vec<&str> = methods.map(String::as_str).collect();
    let asked = match &entry.access {
        Access::Authenticated => "any key".to_owned(),
        Access::Deny => "deny".to_owned(),
        Access::Public => "public".to_owned(),
        Access::Key(asked) | Access::Optional(asked) => match asked.scopes() {
            [] => "by action".to_owned(),
            [scope] => scope.clone(),
            [first, second] => format!("{first} {second}"),
            [first, second, rest @ ..] => format!("{first} {second} and {} more", rest.len()),
        },
    };
    format!("{} {asked}", methods.join(" "))
}
