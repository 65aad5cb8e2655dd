//! Rules, and how the one that decides is found.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter;

use hashbrown::HashTable;

use crate::condition::Condition;
use crate::credential::Sources;
use crate::graphql;
use crate::header;
use crate::keyring::{hash_of, insert};
use crate::limits;
use crate::path::{MalformedPath, OtherPath, Part, Path, PathTemplate, Segment};
use crate::pattern::{Fit, Pattern};
use crate::query::Query;
use crate::reading::Reading;
use crate::scope::Scope;
use crate::template::{Template, Variable};
use crate::upstream::{Deviation, Letters};

/// One rule, as it decides.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) index: usize,
    pub(crate) name: Box<str>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) paths: Vec<PathTemplate>,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) query: Vec<Pattern>,
    pub(crate) headers: Vec<Pattern>,
    /// Every parameter that the rule reads, by its place among the policy's.
    pub(crate) query_names: Vec<usize>,
    pub(crate) access: RuleAccess,
    /// Where a credential counts; `None` for all the places of the policy's.
    pub(crate) credentials: Option<CountingSources>,
    /// Whether what it asks for is told and not demanded.
    pub(crate) is_observed: bool,
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

    /// Whether the rule holds a request's headers until its body is judged.
    pub fn holds_headers(&self) -> bool {
        self.graphql.as_ref().is_some_and(|graphql| graphql.hold_headers)
    }

    /// Whether the rule names the method, and so takes it even if it stands for no action.
    pub(crate) fn lists(&self, method: &str) -> bool {
        self.methods.iter().any(|listed| &**listed == method)
    }

    /// How a rule whose path matches fits a request.
    fn fit(&self, facts: &Facts<'_, '_>, method: &str) -> Result<Fit, AmbiguousQuery> {
        let is_candidate = (self.methods.is_empty() || self.lists(method))
            && (self.hosts.is_empty()
                || self.hosts.iter().any(|pattern| pattern.matches(facts.host)));
        if !is_candidate {
            return Ok(Fit::No);
        }
        match self.query_names.is_empty() && self.query.is_empty() && self.headers.is_empty() {
            true => Ok(Fit::Surely),
            false => facts.fit_of_values(self),
        }
    }

    /// The same by parameters of the query and by headers.
    #[inline(never)]
    fn fit_of_values(&self, facts: &Facts<'_, '_>) -> Result<Fit, AmbiguousQuery> {
        let is_ambiguous = |name: &usize| facts.ambiguous.get(*name).is_none_or(|flag| *flag);
        let is_crowded = |pattern: &Pattern| {
            facts.reading.query().values(&pattern.name).nth(limits::OCCURRENCES).is_some()
        };
        let mut is_sure = self.query.is_empty();
        if !facts.is_any_query {
            if self.query_names.iter().any(is_ambiguous) || self.query.iter().any(is_crowded) {
                return Err(AmbiguousQuery);
            }
            if !self.query.iter().all(|pattern| matches(pattern, facts.reading.query())) {
                return Ok(Fit::No);
            }
            is_sure =
                self.query.iter().all(|pattern| matches_surely(pattern, facts.reading.query()));
        }
        for pattern in &self.headers {
            match header::fit(pattern, facts.reading.headers()) {
                Fit::No => return Ok(Fit::No),
                Fit::Partly => is_sure = false,
                Fit::Surely => {}
            }
        }
        Ok(if is_sure { Fit::Surely } else { Fit::Partly })
    }

    /// Whether what the rule asks for depends on parameters of its paths.
    pub(crate) fn reads_parameters(&self) -> bool {
        let is_one = |variable: &Variable| matches!(variable, Variable::Parameter(_));
        self.templates().flat_map(Template::variables).any(is_one)
    }

    /// The same of parameters of the query.
    pub(crate) fn reads_query(&self) -> bool {
        self.templates().flat_map(Template::query_names).next().is_some()
    }

    /// The templates that stand for what a request holds.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        templates(&self.conditions, &self.access, self.graphql.as_ref())
    }
}

fn templates<'r>(
    conditions: &'r [Condition],
    access: &'r RuleAccess,
    graphql: Option<&'r GraphQlRule>,
) -> impl Iterator<Item = &'r Template> {
    let conditions = conditions.iter().flat_map(|condition| &condition.choices);
    let required = access.requirement().map(Requirement::templates).unwrap_or_default();
    conditions.chain(required).chain(graphql.map(|graphql| &graphql.require))
}

/// The query parameters that a rule reads which is made of these, each with whether it may stand in a body as well.
pub(crate) fn names_read<'r>(
    query: &'r [Pattern],
    conditions: &'r [Condition],
    access: &'r RuleAccess,
    graphql: Option<&'r GraphQlRule>,
) -> impl Iterator<Item = (&'r str, bool)> {
    let of_query = query.iter().map(|pattern| &*pattern.name);
    let of_graphql = graphql.into_iter().flat_map(|_| graphql::PARAMETERS).flatten().copied();
    let templates = templates(conditions, access, graphql);
    let of_bodies = of_query.chain(templates.flat_map(Template::query_names));
    of_bodies.map(|name| (name, true)).chain(of_graphql.map(|name| (name, false)))
}

/// Upstreams could read a query in more ways than can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AmbiguousQuery;

/// Who a rule lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleAccess {
    Authenticated,
    Deny,
    Key(Requirement),
    /// Anybody without a credential; who presents one is judged as for a key, or without scopes.
    Optional(Option<Requirement>),
    Public,
}

impl RuleAccess {
    /// Whether it lets anybody in who presents no credential.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, RuleAccess::Optional(_) | RuleAccess::Public)
    }

    /// The scopes that it asks for.
    pub(crate) fn requirement(&self) -> Option<&Requirement> {
        match self {
            RuleAccess::Key(requirement) => Some(requirement),
            RuleAccess::Optional(requirement) => requirement.as_ref(),
            RuleAccess::Authenticated | RuleAccess::Deny | RuleAccess::Public => None,
        }
    }
}

/// The sources that count on a rule. What another one presents is taken out of the request all the same.
#[derive(Clone, Debug)]
pub(crate) struct CountingSources {
    pub(crate) names: Vec<Box<str>>,
    pub(crate) sources: Sources,
}

/// The scopes that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What a rule asks of a GraphQL request, for every root field of its operations, and for those below.
#[derive(Clone, Debug)]
pub(crate) struct GraphQlRule {
    pub(crate) require: Template,
    /// The resource that a root field stands for, or the whole scope that it needs.
    pub(crate) fields: BTreeMap<Box<str>, Box<str>>,
    /// The same for fields below, or `allow`; `None` where they are not judged.
    pub(crate) nested: Option<BTreeMap<Box<str>, Box<str>>>,
    pub(crate) introspection: Introspection,
    pub(crate) limits: graphql::Limits,
    pub(crate) hold_headers: bool,
}

/// Who may ask for the schema.
#[derive(Clone, Debug)]
pub(crate) enum Introspection {
    Allow,
    Deny,
    /// Who holds this scope.
    Scope(Scope),
}

/// What a rule says of its own refusals; what it leaves out stands in the reason's [`Wording`](crate::response::Wording).
#[derive(Clone, Debug)]
pub(crate) struct RuleWording {
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<Box<str>>,
    pub(crate) message: Option<Template>,
}

/// A host, or the subdomains of one.
#[derive(Clone, Debug)]
pub(crate) enum HostPattern {
    Exact(Box<str>),
    /// With its leading dot.
    Subdomains(Box<str>),
}

impl HostPattern {
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => **name == *host,
            HostPattern::Subdomains(domain) => {
                host.len() > domain.len() && host.ends_with(&**domain)
            }
        }
    }
}

/// Whether some occurrence of a parameter has one of the values.
fn matches(pattern: &Pattern, query: &Query<'_>) -> bool {
    query.values(&pattern.name).any(|value| pattern.takes(value))
}

/// Whether every occurrence has, and every upstream sees one.
fn matches_surely(pattern: &Pattern, query: &Query<'_>) -> bool {
    query.surely_shows(&pattern.name)
        && query.values(&pattern.name).all(|value| pattern.takes(value))
}

/// Room for the rules that most paths match.
const CANDIDATES: usize = 4;

/// What rules look at, beside method and path.
pub(crate) struct Facts<'f, 'r> {
    /// In lower case, without port and trailing dot; empty where no rule looks at it.
    pub(crate) host: &'f str,
    /// For its query and its headers.
    pub(crate) reading: &'f Reading<'r>,
    /// As [`QueryNames::ambiguous`] tells.
    pub(crate) ambiguous: Vec<bool>,
    /// Whether to look for every rule that some query comes to, whatever this one is.
    pub(crate) is_any_query: bool,
    /// How rules fit by query and headers, by their places: the same for each path and method.
    pub(crate) fits: RefCell<Vec<Option<Result<Fit, AmbiguousQuery>>>>,
}

impl Facts<'_, '_> {
    fn fit_of_values(&self, rule: &Rule) -> Result<Fit, AmbiguousQuery> {
        let mut fits = self.fits.borrow_mut();
        if fits.len() <= rule.index {
            fits.resize(rule.index.saturating_add(1), None);
        }
        match fits.get_mut(rule.index) {
            Some(fit) => *fit.get_or_insert_with(|| rule.fit_of_values(self)),
            None => rule.fit_of_values(self),
        }
    }
}

/// All rules, with an index of their paths.
///
/// The index is a tree of segments. It yields the rules whose paths match, a few, whatever the
/// number of rules.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) all: Vec<Rule>,
    /// The rules without paths.
    pathless: Vec<usize>,
    /// Whether any rule looks at the host.
    look_at_hosts: bool,
    hold_headers: bool,
    look_at_queries: bool,
    tree: Tree,
}

impl Rules {
    /// Rules in order, whose paths some upstream compares in any case of these letters.
    pub(crate) fn new(all: Vec<Rule>, letters: Letters) -> Rules {
        let mut tree = Tree { letters, ..Tree::default() };
        for rule in &all {
            for path in &rule.paths {
                tree.insert(&path.segments, rule.index);
            }
        }
        let pathless = all.iter().filter(|rule| rule.paths.is_empty());
        Rules {
            pathless: pathless.map(|rule| rule.index).collect(),
            look_at_hosts: all.iter().any(|rule| !rule.hosts.is_empty()),
            hold_headers: all.iter().any(Rule::holds_headers),
            look_at_queries: all.iter().any(|rule| !rule.query.is_empty() || rule.reads_query()),
            tree,
            all,
        }
    }

    /// Whether any rule looks at the path, so that it must be safe to.
    pub(crate) fn look_at_paths(&self) -> bool {
        self.pathless.len() < self.all.len()
    }

    /// Whether some rule holds a request's headers until its body is judged.
    pub(crate) fn hold_headers(&self) -> bool {
        self.hold_headers
    }

    /// Whether any rule looks at the query for more than GraphQL.
    pub(crate) fn look_at_queries(&self) -> bool {
        self.look_at_queries
    }

    /// Whether any rule looks at the host.
    pub(crate) fn look_at_hosts(&self) -> bool {
        self.look_at_hosts
    }

    /// Adds to a path what upstreams take it for that compare it in any letter case.
    pub(crate) fn read_letters<'r>(&self, path: &mut Path<'r>) -> Result<(), MalformedPath> {
        match !self.tree.has_other_case && !path.may_have_capitals() {
            true => Ok(()),
            false => self.read_spellings(path),
        }
    }

    #[cold]
    fn read_spellings<'r>(&self, path: &mut Path<'r>) -> Result<(), MalformedPath> {
        let path_spellings = self.tree.spellings(&path.segments)?;
        let mut added: Vec<OtherPath<'r>> = Vec::new();
        let others = path.others.iter().map(|other| (other.by, &other.segments));
        let mut add = |by, segments: &[Cow<'r, str>], spellings: Vec<_>| {
            added.extend(spellings.into_iter().map(|spelling| OtherPath {
                by,
                segments: segments.to_vec(),
                spelling: Some(spelling),
            }));
        };
        add(Deviation::Letters, &path.segments, path_spellings);
        for (by, segments) in others {
            add(by, segments, self.tree.spellings(segments)?);
        }
        if path.others.len().saturating_add(added.len()) > limits::PATHS {
            return Err(MalformedPath);
        }
        path.others.append(&mut added);
        Ok(())
    }

    /// Tells `decides` of the rules that decide: of the first that matches, `None` being what holds where
    /// none does. One that matches by some occurrences of a parameter or a header only is followed by the next,
    /// which an upstream comes to that reads another occurrence.
    ///
    /// A request without a path has no segments, not an empty list of them, and no path template
    /// matches it.
    pub(crate) fn find<'s>(
        &'s self,
        facts: &Facts<'_, '_>,
        segments: Option<&[Cow<'_, str>]>,
        method: &str,
        mut decides: impl FnMut(Option<&'s Rule>),
    ) -> Result<(), AmbiguousQuery> {
        let mut by_path = Vec::with_capacity(CANDIDATES);
        if let Some(segments) = segments.filter(|_| self.look_at_paths()) {
            self.tree.collect(Tree::ROOT, segments, &mut by_path);
        }
        // Both stand in order.
        let (mut by_path, mut pathless) = (by_path.as_slice(), self.pathless.as_slice());
        let next = || {
            let list = match (by_path.first(), pathless.first()) {
                (Some(one), Some(other)) if other < one => &mut pathless,
                (None, _) => &mut pathless,
                _ => &mut by_path,
            };
            let (first, rest) = list.split_first()?;
            *list = rest;
            self.all.get(*first)
        };
        let mut doubtful: usize = 0;
        for rule in iter::from_fn(next) {
            match rule.fit(facts, method)? {
                Fit::No => {}
                Fit::Partly if doubtful == limits::READINGS => return Err(AmbiguousQuery),
                Fit::Partly => {
                    doubtful = doubtful.saturating_add(1);
                    decides(Some(rule));
                }
                Fit::Surely => {
                    decides(Some(rule));
                    return Ok(());
                }
            }
        }
        decides(None);
        Ok(())
    }
}

/// The paths of all rules, segment by segment, packed flat.
#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
    literals: Vec<Literal>,
    /// The literals, by node and text.
    index: HashTable<u32>,
    /// A node, and the lengths of the literals around a parameter that is a part of its segment: in order, each
    /// once.
    around: Vec<(usize, usize, usize)>,
    /// Which letters are compared in any case.
    letters: Letters,
    /// The literals by node and text in one letter case, if any are compared so.
    folded: HashTable<u32>,
    /// Whether some literal is not in that case.
    has_other_case: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// Where any segment leads.
    one: Option<usize>,
    /// Rules with a path that ends here.
    here: Vec<usize>,
    /// Rules with a path that takes whatever follows.
    rest: Vec<usize>,
}

/// Where a literal segment leads from a node.
#[derive(Debug)]
struct Literal {
    node: usize,
    text: Box<str>,
    child: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree {
            nodes: vec![Node::default()],
            literals: Vec::new(),
            index: HashTable::new(),
            around: Vec::new(),
            letters: Letters::None,
            folded: HashTable::new(),
            has_other_case: false,
        }
    }
}

impl Tree {
    const ROOT: usize = 0;

    fn insert(&mut self, segments: &[Segment], rule: usize) {
        let mut node = Self::ROOT;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => self.literal(node, text),
                Segment::One(_) => self.one(node),
                Segment::Part(part) => self.part(node, part),
                Segment::Rest(_) => {
                    self.nodes.get_mut(node).into_iter().for_each(|node| node.rest.push(rule));
                    return;
                }
            };
        }
        self.nodes.get_mut(node).into_iter().for_each(|node| node.here.push(rule));
    }

    fn literal(&mut self, node: usize, text: &str) -> usize {
        if let Some(child) = self.child(node, text) {
            return child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        // The policy's size bounds the number of literals.
        let index = u32::try_from(self.literals.len()).unwrap_or(u32::MAX);
        self.literals.push(Literal { node, text: text.into(), child });
        let literals = &self.literals;
        let hash_at = |index: &u32| {
            let literal = literals.get(*index as usize);
            literal.map_or(0, |literal| hash_of(&(literal.node, &*literal.text)))
        };
        insert(&mut self.index, hash_of(&(node, text)), index, &hash_at);
        if self.letters != Letters::None {
            let letters = self.letters;
            let folded_at = |index: &u32| {
                let literal = literals.get(*index as usize);
                literal
                    .map_or(0, |literal| hash_of(&(literal.node, &*letters.folded(&literal.text))))
            };
            let folded = letters.folded(text);
            self.has_other_case |= folded != text;
            insert(&mut self.folded, hash_of(&(node, &*folded)), index, &folded_at);
        }
        child
    }

    fn one(&mut self, node: usize) -> usize {
        let next = self.nodes.len();
        let known = self.nodes.get_mut(node).map(|node| *node.one.get_or_insert(next));
        if known == Some(next) {
            self.nodes.push(Node::default());
        }
        known.unwrap_or_default()
    }

    fn part(&mut self, node: usize, part: &Part) -> usize {
        let around = (node, part.before.len(), part.after.len());
        if let Err(place) = self.around.binary_search(&around) {
            self.around.insert(place, around);
        }
        self.literal(node, &around_parameter(&part.before, &part.after))
    }

    fn child(&self, node: usize, text: &str) -> Option<usize> {
        let literal = |index: &u32| self.literals.get(*index as usize);
        let is_same = |index: &u32| {
            literal(index).is_some_and(|literal| literal.node == node && *literal.text == *text)
        };
        let index = self.index.find(hash_of(&(node, text)), is_same)?;
        literal(index).map(|literal| literal.child)
    }

    /// A path as literals spell it in any letter case, in each way that is not its own.
    fn spellings<'s>(
        &self,
        segments: &[Cow<'s, str>],
    ) -> Result<Vec<Vec<Cow<'s, str>>>, MalformedPath> {
        let mut found = Vec::new();
        let is_folded = |segment: &Cow<'_, str>| *self.letters.folded(segment) == **segment;
        if self.letters == Letters::None || (!self.has_other_case && segments.iter().all(is_folded))
        {
            return Ok(found);
        }
        self.spell(&[Self::ROOT], segments, &mut Vec::new(), &mut found)?;
        found.retain(|spelling| spelling != segments);
        Ok(found)
    }

    /// Adds the spellings of a path of which `spelt` is what stands before these nodes.
    fn spell<'s>(
        &self,
        nodes: &[usize],
        segments: &[Cow<'s, str>],
        spelt: &mut Vec<Cow<'s, str>>,
        found: &mut Vec<Vec<Cow<'s, str>>>,
    ) -> Result<(), MalformedPath> {
        let (Some((first, rest)), false) = (segments.split_first(), nodes.is_empty()) else {
            if found.len() == limits::PATHS {
                return Err(MalformedPath);
            }
            let mut whole = spelt.clone();
            whole.extend_from_slice(segments);
            found.push(whole);
            return Ok(());
        };
        let mut texts = Vec::new();
        nodes.iter().for_each(|node| self.in_any_case(*node, first, &mut texts));
        if texts.is_empty() {
            texts.push(first.to_string());
        }
        texts.into_iter().try_for_each(|text| {
            let mut next = Vec::new();
            nodes
                .iter()
                .for_each(|node| self.each_child(*node, &text, &mut |child| next.push(child)));
            spelt.push(Cow::Owned(text));
            let result = self.spell(&next, rest, spelt, found);
            spelt.pop();
            result
        })
    }

    /// Adds a segment as each of a node's literals spells it that is the same in one letter case.
    fn in_any_case(&self, node: usize, segment: &str, texts: &mut Vec<String>) {
        self.same(node, segment, "", texts);
        for (before, inner, after) in self.partings(node, segment) {
            self.same(node, &around_parameter(before, after), inner, texts);
        }
    }

    /// Adds a node's literals that are this text in one letter case, with what a parameter takes of the segment.
    fn same(&self, node: usize, text: &str, inner: &str, texts: &mut Vec<String>) {
        let folded = self.letters.folded(text);
        let literals = self.folded.iter_hash(hash_of(&(node, &*folded)));
        for literal in literals.filter_map(|index| self.literals.get(*index as usize)) {
            if literal.node == node && self.letters.folded(&literal.text) == folded {
                let text = literal.text.split('\0').collect::<Vec<_>>().join(inner);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
    }

    /// Collects the rules whose paths match, in order. It goes no deeper than the longest path of a rule.
    fn collect(&self, node: usize, segments: &[Cow<'_, str>], found: &mut Vec<usize>) {
        let Some(here) = self.nodes.get(node) else { return };
        let mut add = |rules: &[usize]| {
            for rule in rules {
                if let Err(place) = found.binary_search(rule) {
                    found.insert(place, *rule);
                }
            }
        };
        add(&here.rest);
        let Some((first, rest)) = segments.split_first() else {
            add(&here.here);
            return;
        };
        self.each_child(node, first, &mut |child| self.collect(child, rest, found));
    }

    /// Tells where a segment leads from a node.
    fn each_child(&self, node: usize, segment: &str, visit: &mut dyn FnMut(usize)) {
        self.child(node, segment).into_iter().for_each(&mut *visit);
        self.nodes.get(node).and_then(|node| node.one).into_iter().for_each(&mut *visit);
        if self.around.is_empty() {
            return;
        }
        for (before, _, after) in self.partings(node, segment) {
            self.child(node, &around_parameter(before, after)).into_iter().for_each(&mut *visit);
        }
    }

    /// A segment parted where a node has a parameter between literals.
    fn partings<'t>(
        &'t self,
        node: usize,
        segment: &'t str,
    ) -> impl Iterator<Item = (&'t str, &'t str, &'t str)> {
        let start = self.around.partition_point(|(parent, ..)| *parent < node);
        let around = self.around.get(start..).into_iter().flatten();
        around.take_while(move |(parent, ..)| *parent == node).filter_map(|(_, before, after)| {
            let last = segment.len().checked_sub(*after)?;
            let inner = segment.get(*before..last).filter(|inner| !inner.is_empty())?;
            Some((segment.get(..*before)?, inner, segment.get(last..)?))
        })
    }
}

/// The literals around a parameter as one text, which is no segment's: none holds a zero byte.
pub(crate) fn around_parameter(before: &str, after: &str) -> String {
    [before, "\0", after].concat()
}

impl PathTemplate {
    /// Whether the template matches a path's segments.
    pub(crate) fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        let mut path = path.iter();
        for segment in &self.segments {
            let matches = match segment {
                Segment::Rest(_) => return true,
                Segment::One(_) => path.next().is_some(),
                Segment::Literal(text) => path.next().is_some_and(|piece| **text == **piece),
                Segment::Part(part) => path.next().is_some_and(|piece| part.of(piece).is_some()),
            };
            if !matches {
                return false;
            }
        }
        path.next().is_none()
    }
}
