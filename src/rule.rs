//! Rules, and how the one that decides is found.

use std::collections::BTreeMap;

use crate::condition::Condition;
use crate::graphql;
use crate::path::{PathTemplate, Segment};
use crate::query::Query;
use crate::response::RuleWording;
use crate::template::{Template, Variable};

/// One rule, as it decides.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) index: usize,
    pub(crate) name: Box<str>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) paths: Vec<PathTemplate>,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) query: Vec<QueryPattern>,
    pub(crate) access: RuleAccess,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) graphql: Option<GraphQlRule>,
    pub(crate) wording: Option<RuleWording>,
}

impl Rule {
    /// The rule's label, `rules[N]` where it has none of its own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rule's place in the configuration, as a JSON pointer.
    pub fn pointer(&self) -> String {
        format!("/rules/{}", self.index)
    }

    /// Whether the rule names the method, and so takes it even if it stands for no action.
    pub(crate) fn lists(&self, method: &str) -> bool {
        self.methods.iter().any(|own| &**own == method)
    }

    fn matches(&self, facts: &Facts<'_>, method: &str) -> bool {
        (self.methods.is_empty() || self.lists(method))
            && (self.hosts.is_empty()
                || self.hosts.iter().any(|pattern| pattern.matches(&facts.host)))
            && self.query.iter().all(|pattern| pattern.matches(facts.query))
    }
}

/// Who a rule lets through.
#[derive(Clone, Debug)]
pub(crate) enum RuleAccess {
    Authenticated,
    Deny,
    Key(Requirement),
    Public,
}

/// The scopes that a rule asks for.
#[derive(Clone, Debug)]
pub(crate) enum Requirement {
    All(Vec<Template>),
    Any(Vec<Template>),
}

impl Requirement {
    /// `{action}` on every resource: what is required where nothing else is said.
    pub(crate) fn action() -> Requirement {
        let variable = Variable::Action;
        let part = crate::template::Part::Placeholder { variable, fallback: None };
        Requirement::All(vec![Template { parts: vec![part] }])
    }

    pub(crate) fn templates(&self) -> &[Template] {
        match self {
            Requirement::All(templates) | Requirement::Any(templates) => templates,
        }
    }
}

/// What a rule asks of a GraphQL request, for every root field of its operations.
#[derive(Clone, Debug)]
pub(crate) struct GraphQlRule {
    pub(crate) require: Template,
    /// The resource that a root field stands for, or the whole scope that it needs.
    pub(crate) fields: BTreeMap<Box<str>, Box<str>>,
    pub(crate) introspection: bool,
    pub(crate) limits: graphql::Limits,
    pub(crate) hold_headers: bool,
}

/// A host, or the subdomains of one.
#[derive(Clone, Debug)]
pub(crate) enum HostPattern {
    Exact(Box<str>),
    /// With its leading dot.
    Subdomains(Box<str>),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(own) => **own == *host,
            HostPattern::Subdomains(own) => host.len() > own.len() && host.ends_with(&**own),
        }
    }
}

/// A query parameter of which some occurrence must have one of some values.
#[derive(Clone, Debug)]
pub(crate) struct QueryPattern {
    pub(crate) name: Box<str>,
    /// `None` for any value.
    pub(crate) values: Option<Vec<Box<str>>>,
}

impl QueryPattern {
    fn matches(&self, query: &Query<'_>) -> bool {
        query.values(&self.name).any(|value| match &self.values {
            Some(values) => values.iter().any(|own| own.as_bytes() == value),
            None => true,
        })
    }
}

/// What rules match on, beside the method.
#[derive(Debug)]
pub(crate) struct Facts<'r> {
    /// In lower case, without port and trailing dot.
    pub(crate) host: String,
    /// `None` where the request has no path, which no path template matches.
    pub(crate) segments: Option<&'r [String]>,
    pub(crate) query: &'r Query<'r>,
}

/// All rules, with an index of their paths.
///
/// The index is a tree of segments. It yields the rules whose paths match, a few, whatever the
/// number of rules; the first of them that matches in every other way decides.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) all: Vec<Rule>,
    /// The rules without paths.
    pathless: Vec<usize>,
    tree: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, Node>,
    one: Option<Box<Node>>,
    /// Rules with a path that ends here.
    here: Vec<usize>,
    /// Rules with a path that takes whatever follows.
    rest: Vec<usize>,
}

impl Rules {
    pub(crate) fn new(all: Vec<Rule>) -> Rules {
        let mut rules = Rules { all, ..Rules::default() };
        for rule in &rules.all {
            if rule.paths.is_empty() {
                rules.pathless.push(rule.index);
            }
            for path in &rule.paths {
                rules.tree.insert(&path.segments, rule.index);
            }
        }
        rules
    }

    /// Whether any rule looks at the path, so that it must be safe to.
    pub(crate) fn look_at_paths(&self) -> bool {
        self.pathless.len() < self.all.len()
    }

    /// The first rule that matches.
    pub(crate) fn find(&self, facts: &Facts<'_>, method: &str) -> Option<&Rule> {
        if self.all.is_empty() {
            return None;
        }
        let mut candidates = self.pathless.clone();
        if let Some(segments) = facts.segments {
            self.tree.collect(segments, &mut candidates);
        }
        candidates.sort_unstable();
        candidates
            .into_iter()
            .filter_map(|index| self.all.get(index))
            .find(|rule| rule.matches(facts, method))
    }
}

impl Node {
    fn insert(&mut self, segments: &[Segment], rule: usize) {
        match segments.split_first() {
            None => self.here.push(rule),
            Some((Segment::Rest(_), _)) => self.rest.push(rule),
            Some((Segment::One(_), rest)) => self.one.get_or_insert_default().insert(rest, rule),
            Some((Segment::Literal(text), rest)) => {
                self.literals.entry(text.clone()).or_default().insert(rest, rule);
            }
        }
    }

    fn collect(&self, segments: &[String], found: &mut Vec<usize>) {
        found.extend(&self.rest);
        let Some((first, rest)) = segments.split_first() else {
            found.extend(&self.here);
            return;
        };
        if let Some(node) = self.literals.get(first.as_str()) {
            node.collect(rest, found);
        }
        if let Some(node) = &self.one {
            node.collect(rest, found);
        }
    }
}

impl PathTemplate {
    /// Whether the template matches a path's segments.
    pub(crate) fn matches(&self, path: &[String]) -> bool {
        let mut path = path.iter();
        for segment in &self.segments {
            let matches = match segment {
                Segment::Rest(_) => return true,
                Segment::One(_) => path.next().is_some(),
                Segment::Literal(text) => path.next().is_some_and(|own| **text == **own),
            };
            if !matches {
                return false;
            }
        }
        path.next().is_none()
    }
}
