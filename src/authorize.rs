//! Whether who asks may do what the request asks for: the steps from the rule's access to the body.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::condition::Condition;
use crate::decision::{Access, Found, Hold, ReadAs, Verdict};
use crate::graphql::{Asked, Position, is_introspection};
use crate::identity::Identity;
use crate::limits;
use crate::path::{PathTemplate, goes_on_behind_script};
use crate::reading::Reading;
use crate::reason::Reason;
use crate::request::Body;
use crate::rule::{GraphQlRule, Introspection, Requirement, Rule, RuleAccess};
use crate::scope::{self, Scope};
use crate::template::{Part, Template, Values, Variable};
use crate::upstream::Deviation;

/// What is asked of every request, whatever rule decides.
#[derive(Debug)]
pub(crate) struct Authorizer {
    pub(crate) conditions: Vec<Condition>,
    /// The actions that methods stand for, in the order of the methods.
    pub(crate) methods: Vec<(Box<str>, Box<str>)>,
    /// What is required where no rule matches.
    pub(crate) default_requirement: Requirement,
}

/// What is known of a request, and of who asks.
#[derive(Clone, Copy)]
struct Asking<'q, 'g, 'r> {
    /// The request of which GraphQL is read where that was judged before.
    asks: &'q Reading<'g>,
    /// The one whose values count.
    holds: &'q Reading<'r>,
    /// What was judged before.
    before: &'q [Match<'q, 'q>],
    /// Of either request, read when the first rule looks at it; `None` if it cannot be read.
    graphql: &'q (OnceCell<Option<Asked>>, OnceCell<Option<Asked>>),
    identity: Identity<'q>,
}

impl Authorizer {
    /// Whether who asks may do what each match asks for. A request whose body decides is held by the strictest
    /// of the rules that look at it.
    pub(crate) fn authorize<'e>(
        &'e self,
        matches: &[Match<'e, '_>],
        before: &[Match<'_, '_>],
        (asks, holds): (&Reading<'_>, &Reading<'_>),
        (identity, access): (Identity<'_>, Access),
        found: &mut Found<'e>,
    ) -> Result<Verdict, Reason> {
        let graphql = &Default::default();
        let asking = Asking { asks, holds, before, graphql, identity };
        let mut verdict = Verdict::Allow(access);
        for (place, matched) in matches.iter().enumerate() {
            found.refuse_reading(place);
            let judged = match self.authorize_match(matched, asking, found) {
                // What the policy asks of everybody is no rule's own.
                Err(reason) if found.own_wording && matched.is_observed() => {
                    found.observed.get_or_insert(reason);
                    None
                }
                judged => judged?,
            };
            let Some(graphql) = judged else { continue };
            let (mut headers, mut max_bytes) = (graphql.hold_headers, graphql.limits.bytes);
            if let Verdict::Hold(earlier) = verdict {
                headers |= earlier.headers;
                max_bytes = max_bytes.min(earlier.max_bytes);
            }
            verdict = Verdict::Hold(Hold { access, headers, max_bytes });
        }
        found.refused = None;
        found.rule = matches.first().and_then(|matched| matched.rule);
        Ok(verdict)
    }

    /// Whether who asks may do what a request asks for by one of its methods; if that depends on a
    /// body that was not read yet, what it must be judged by.
    fn authorize_match<'e>(
        &'e self,
        matched: &Match<'e, '_>,
        asking: Asking<'_, '_, '_>,
        found: &mut Found<'e>,
    ) -> Result<Option<&'e GraphQlRule>, Reason> {
        let Asking { holds: reading, identity, .. } = asking;
        found.rule = matched.rule;
        found.own_wording = false;
        if matched.is_public() {
            return match self.knows(matched) {
                true => Ok(None),
                false => Err(found.refuse_method(matched.method)),
            };
        }
        let access = matched.rule.map(|rule| &rule.access);
        if matches!(access, Some(RuleAccess::Deny)) {
            found.own_wording = true;
            return Err(Reason::DeniedByRule);
        }
        let action = self.action(matched.method);
        let values = |variable: &Variable| value_of(variable, reading, matched, action);
        let is_unmet = |condition: &&'e Condition| !condition.is_met(identity, values);
        found.unmet_condition = self.conditions.iter().find(is_unmet);
        if found.unmet_condition.is_some() {
            return Err(Reason::ConditionFailed);
        }
        found.own_wording = true;
        let own_conditions = matched.rule.map(|rule| &*rule.conditions).unwrap_or_default();
        found.unmet_condition = own_conditions.iter().find(is_unmet);
        if found.unmet_condition.is_some() {
            return Err(Reason::ConditionFailed);
        }
        if action.is_none() && !self.knows(matched) {
            return Err(found.refuse_method(matched.method));
        }
        let requirement = match access {
            None => Some(&self.default_requirement),
            Some(access) => access.requirement(),
        };
        let is_covered =
            requirement.is_none_or(|requirement| found.need(requirement, action, values, identity));
        if !is_covered {
            return Err(Reason::InsufficientScope);
        }
        match matched.rule.and_then(|rule| rule.graphql.as_ref()) {
            None => Ok(None),
            Some(graphql) => graphql.authorize(matched, asking, action, found),
        }
    }

    /// The action that a method stands for. There are few: to compare them one by one takes less than to search.
    fn action(&self, method: &str) -> Option<&str> {
        let mut methods = self.methods.iter();
        methods.find(|(known, _)| **known == *method).map(|(_, action)| &**action)
    }

    /// Whether the method stands for an action, or the rule lists it. An upstream may take another, `delete`
    /// say, for one that other rules name.
    pub(crate) fn knows(&self, matched: &Match<'_, '_>) -> bool {
        self.action(matched.method).is_some()
            || matched.rule.is_some_and(|rule| rule.lists(matched.method))
    }
}

impl GraphQlRule {
    /// The resource that a field stands for, or the whole scope that it needs; `None` if it needs none.
    fn needed<'f>(&'f self, position: Position, field: &'f str) -> Option<&'f str> {
        if position != Position::Nested {
            let entry = self.fields.get(field).map_or(field, |entry| &**entry);
            // A scope to read with stands for a query's field; a mutation's may have the same name.
            let resource = entry.strip_suffix(":read").filter(|_| position == Position::Mutation);
            return Some(resource.unwrap_or(entry));
        }
        // What nobody named may lead to anything.
        let entry = self.nested.as_ref()?.get(field).map_or("*:read", |entry| &**entry);
        Some(entry).filter(|entry| *entry != "allow")
    }

    /// Whether who asks may do what the documents of a request ask for, as far as they are known; the rule itself where
    /// that depends on a body that was not read yet.
    #[inline(never)]
    fn authorize<'e>(
        &'e self,
        matched: &Match<'_, '_>,
        Asking { asks, holds, before, graphql, identity }: Asking<'_, '_, '_>,
        action: Option<&str>,
        found: &mut Found<'_>,
    ) -> Result<Option<&'e GraphQlRule>, Reason> {
        if !matches!(matched.method, "GET" | "HEAD" | "POST") {
            return Err(found.refuse_method(matched.method));
        }
        // What follows an upgrade, to a WebSocket say, nobody judges.
        if holds.has("upgrade") || holds.says_more_than(self.limits.bytes) {
            return Err(Reason::MalformedGraphql);
        }
        // What stands in the URL is judged before the body has come: the headers may go ahead, and
        // an upstream need not wait for a body of which it reads nothing.
        let asked = match matched.is_decided(before) {
            true => graphql.0.get_or_init(|| Asked::new(asks).ok()),
            false => graphql.1.get_or_init(|| Asked::new(holds).ok()),
        };
        let fields = asked.as_ref().and_then(|asked| asked.fields(matched.method, self.limits));
        let fields = fields.ok_or(Reason::MalformedGraphql)?;
        for (position, fields) in fields.positions() {
            for field in fields {
                let values = |variable: &Variable| value_of(variable, holds, matched, action);
                self.authorize_field(position, field, (action, values), identity, found)?;
            }
        }
        Ok(Some(self).filter(|_| holds.body() == Body::Unread))
    }

    /// Whether who asks may have a field.
    fn authorize_field<'v>(
        &self,
        position: Position,
        field: &'v str,
        (action, values): (Option<&str>, impl Fn(&Variable) -> Values<'v>),
        identity: Identity<'_>,
        found: &mut Found<'_>,
    ) -> Result<(), Reason> {
        // The name of a root's type is in every schema, and tells nothing of the data.
        if position != Position::Nested && field == "__typename" {
            return Ok(());
        }
        if is_introspection(field) {
            let is_covered = match &self.introspection {
                Introspection::Allow => true,
                Introspection::Deny => false,
                Introspection::Scope(scope) => {
                    found.note(scope.clone());
                    identity.covers(scope)
                }
            };
            if !is_covered {
                return Err(Reason::InsufficientScope);
            }
            // Any other field of such a name, and any at a mutation's root, may be somebody's own: it needs what
            // every field does.
            if position != Position::Mutation && matches!(field, "__schema" | "__type") {
                return Ok(());
            }
        }
        let Some(needed) = self.needed(position, field) else { return Ok(()) };
        let required = if needed.contains(':') {
            Template { parts: vec![Part::Literal(needed.into())] }
        } else {
            self.require.clone()
        };
        let values = |variable: &Variable| match variable {
            Variable::Field => Values::One(needed.into()),
            Variable::Operation => Values::One(position.action().into()),
            variable => values(variable),
        };
        let required = Requirement::All(vec![required]);
        let is_covered = found.need(&required, action, values, identity);
        if is_covered { Ok(()) } else { Err(Reason::InsufficientScope) }
    }
}

impl Found<'_> {
    /// Notes the scopes that a requirement names, and says whether those of who asks cover them.
    ///
    /// Each template is looked at, whatever became of the one before: what is required is told whole.
    fn need<'v>(
        &mut self,
        requirement: &'v Requirement,
        action: Option<&str>,
        values: impl Fn(&Variable) -> Values<'v>,
        identity: Identity<'_>,
    ) -> bool {
        let mut count: usize = 0;
        let mut is_covered = |template: &'v Template| match template.of_action(action) {
            Some(text) if count < limits::REQUIRED_SCOPES => {
                count = count.saturating_add(1);
                self.need_scope(text, identity) == Some(true)
            }
            Some(_) => false,
            None => self.need_each(template, &values, identity, &mut count),
        };
        let templates = requirement.templates().iter();
        match requirement {
            Requirement::All(_) => templates.fold(true, |all, template| all & is_covered(template)),
            Requirement::Any(_) => {
                templates.fold(false, |any, template| any | is_covered(template))
            }
        }
    }

    /// The same of each scope that a template stands for.
    #[inline(never)]
    fn need_each<'v>(
        &mut self,
        template: &'v Template,
        values: impl Fn(&Variable) -> Values<'v>,
        identity: Identity<'_>,
        count: &mut usize,
    ) -> bool {
        let words = |variable: &Variable| match values(variable) {
            // A value of a request may hold neither `:` nor `*`, which would make it another scope.
            value if value.all(scope::is_word) => value,
            _ => Values::Unusable,
        };
        let Some(texts) = template.expand(&words) else { return false };
        *count = count.saturating_add(texts.len());
        let are_few = *count <= limits::REQUIRED_SCOPES;
        let mut are_covered = are_few;
        for text in texts.into_iter().take_while(|_| are_few) {
            match self.need_scope(text, identity) {
                Some(is_covered) => are_covered &= is_covered,
                None => return false,
            }
        }
        are_covered
    }

    /// The same of one; `None` if it is none.
    fn need_scope(&mut self, text: String, identity: Identity<'_>) -> Option<bool> {
        let scope = Scope::new(text).ok()?;
        let is_covered = identity.covers(&scope);
        self.note(scope);
        Some(is_covered)
    }

    fn note(&mut self, scope: Scope) {
        if self.required.len() < limits::REQUIRED_SCOPES && !self.required.contains(&scope) {
            self.required.push(scope);
        }
    }
}

/// A request in one of its readings, and the rule that decides about it.
#[derive(Clone, Copy)]
pub(crate) struct Match<'e, 'r> {
    pub(crate) method: &'r str,
    /// The path in one of its readings.
    pub(crate) segments: Option<&'r [Cow<'r, str>]>,
    /// The same as rules compare it.
    pub(crate) compared: Option<&'r [Cow<'r, str>]>,
    pub(crate) rule: Option<&'e Rule>,
    /// How an upstream comes to it, if it is not what the request says first.
    pub(crate) by: Option<Deviation>,
}

impl<'e> Match<'e, '_> {
    /// What explanations tell of it.
    pub(crate) fn told(&self, by: Option<Deviation>) -> ReadAs<'e> {
        let path = self
            .compared
            .map(|segments| segments.iter().flat_map(|segment| ["/", &**segment]).collect());
        ReadAs { by: self.by.or(by), method: self.method.to_owned(), path, rule: self.rule }
    }

    pub(crate) fn is_public(&self) -> bool {
        self.rule.is_some_and(|rule| matches!(rule.access, RuleAccess::Public))
    }

    /// Whether each segment that holds a slash is one of which a parameter of the rule's takes that.
    #[cold]
    pub(crate) fn takes_slashes(&self) -> bool {
        let segments = self.compared.unwrap_or_default();
        let takes = |path: &PathTemplate| path.matches(segments) && path.takes_slashes(segments);
        self.rule.is_some_and(|rule| rule.paths.iter().any(takes))
    }

    /// Whether a credential counts on its rule in some places only.
    pub(crate) fn is_limited(&self) -> bool {
        self.rule.is_some_and(|rule| rule.credentials.is_some())
    }

    pub(crate) fn is_graphql(&self) -> bool {
        self.rule.is_some_and(|rule| rule.graphql.is_some())
    }

    /// Whether its rule is one of those that decided before.
    pub(crate) fn is_decided(&self, before: &[Match<'_, '_>]) -> bool {
        before.iter().any(|other| other.place() == self.place())
    }

    /// The place of its rule; `None` for the default rule.
    fn place(&self) -> Option<usize> {
        self.rule.map(|rule| rule.index)
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.rule.is_some_and(|rule| rule.is_observed)
    }

    /// Whether it lets anybody through who presents no credential.
    pub(crate) fn is_open(&self) -> bool {
        self.rule.is_some_and(|rule| rule.access.is_open())
    }

    /// Whether both are the same reading and the same rule.
    pub(crate) fn is_same(&self, other: &Match<'_, '_>) -> bool {
        self.place() == other.place()
            && self.method == other.method
            && self.compared == other.compared
    }

    /// Whether it asks for nothing that one of these does not, or for what the policy names nowhere: a path that is
    /// read otherwise counts where some rule names it, and does so more closely than one that is for the path as it
    /// stands and for all else, and comes after the rule that decides about that.
    pub(crate) fn is_idle(&self, others: &[Match<'_, '_>]) -> bool {
        if self.by.is_none() {
            return false;
        }
        if self.by == Some(Deviation::Head) {
            let mut heads = others.iter().filter(|other| other.method == "HEAD");
            return heads.any(|head| head.place() == self.place());
        }
        let by_path = matches!(
            self.by,
            Some(
                Deviation::Letters
                    | Deviation::Part
                    | Deviation::Rest
                    | Deviation::Script
                    | Deviation::Shorter
                    | Deviation::Suffix
            )
        );
        let Some(rule) = self.rule else { return by_path && !self.counts_unnamed(others) };
        if matches!(self.by, Some(Deviation::Rest | Deviation::Shorter))
            && !self.is_route(rule, others)
        {
            return true;
        }
        let is_same = |other: &Match<'_, '_>| {
            other.method == self.method
                && other.rule.is_some_and(|other_rule| other_rule.index == rule.index)
        };
        let is_named_before = || {
            let Some(first) = others.first() else { return false };
            let segments = self.compared.unwrap_or_default();
            let first_segments = first.compared.unwrap_or_default();
            let is_for_all = |path: &PathTemplate| path.ends_open() && path.matches(first_segments);
            first.rule.is_some_and(|first_rule| first_rule.index < rule.index)
                && rule.paths.iter().all(|path| !path.matches(segments) || is_for_all(path))
        };
        let is_known = || others.iter().any(is_same) && !rule.reads_parameters();
        by_path && (is_known() || (is_named_before() && !self.counts_unnamed(others)))
    }

    /// Whether a shorter path than the one that stands may be a route's: the rule ends where it does, and the rule for the
    /// path as it stands is no route that comes before that one, or goes on behind it.
    fn is_route(&self, rule: &Rule, others: &[Match<'_, '_>]) -> bool {
        let segments = self.compared.unwrap_or_default();
        let mut routes =
            rule.paths.iter().filter(|path| !path.ends_open() && path.matches(segments));
        let of_method = others.iter().find(|other| other.method == self.method);
        let first = of_method.or(others.first());
        let first = first.and_then(|first| Some((first.rule?, first.compared?)));
        let is_closer = |route: &PathTemplate| {
            first.is_some_and(|(first_rule, first_segments)| {
                let mut paths = first_rule.paths.iter();
                paths.any(|path| path.matches(first_segments) && path.is_closer_than(route))
            })
        };
        routes.any(|route| !is_closer(route))
    }

    /// Whether it counts though no rule names its path. The rule for the path as it stands may name that to its end:
    /// then it means what it says. A parameter of it takes what nobody thought of, so each part between commas
    /// counts, and where else anybody would be let in, what stands before a suffix, and what a script makes of a path
    /// that goes on behind it.
    fn counts_unnamed(&self, others: &[Match<'_, '_>]) -> bool {
        let Some(first) = others.first() else { return false };
        let segments = first.compared.unwrap_or_default();
        let is_named = |path: &PathTemplate| path.ends_in_literal() && path.matches(segments);
        if first.rule.is_none_or(|rule| rule.paths.iter().any(is_named)) {
            return false;
        }
        match self.by {
            Some(Deviation::Part) => true,
            Some(Deviation::Suffix) => others.iter().all(Match::is_open),
            Some(Deviation::Script) => {
                let goes_on =
                    |other: &Match<'_, '_>| other.compared.is_some_and(goes_on_behind_script);
                others.iter().any(goes_on) && others.iter().all(Match::is_open)
            }
            _ => false,
        }
    }

    /// What a path parameter stands for, by each of the rule's paths that matches and has it.
    fn parameter<'v>(&'v self, name: &str) -> Values<'v> {
        let (Some(rule), Some(segments), Some(compared)) =
            (self.rule, self.segments, self.compared)
        else {
            return Values::Absent;
        };
        let paths = rule.paths.iter().filter(|path| path.matches(compared));
        let mut values: Vec<_> = paths.filter_map(|path| path.parameter(name, segments)).collect();
        values.retain(|value| !value.is_empty());
        if values.is_empty() { Values::Absent } else { Values::Several(values) }
    }
}

/// What a request holds for a variable.
fn value_of<'v>(
    variable: &Variable,
    reading: &'v Reading<'_>,
    matched: &'v Match<'_, '_>,
    action: Option<&'v str>,
) -> Values<'v> {
    match variable {
        Variable::Action => action.map_or(Values::Absent, |action| Values::One(action.into())),
        variable => value_in(variable, reading, matched),
    }
}

#[inline(never)]
fn value_in<'v>(
    variable: &Variable,
    reading: &'v Reading<'_>,
    matched: &'v Match<'_, '_>,
) -> Values<'v> {
    match variable {
        Variable::Header(name) => {
            missable(texts(reading.values_of_any_spelling(name)), reading.has(name))
        }
        Variable::Method => Values::One(matched.method.into()),
        Variable::Parameter(name) => matched.parameter(name),
        Variable::Query(name) => {
            missable(texts(reading.query().values(name)), reading.query().shows(name))
        }
        _ => Values::Unusable,
    }
}

/// Values that some upstreams do not see, unless one of them stands in the very spelling.
fn missable(values: Values<'_>, has_own_spelling: bool) -> Values<'_> {
    match values {
        Values::Several(values) if !has_own_spelling => Values::Missable(values),
        values => values,
    }
}

fn texts<'v>(values: impl Iterator<Item = &'v [u8]>) -> Values<'v> {
    let mut texts = Vec::new();
    for value in values.take(limits::REQUIRED_SCOPES + 1) {
        match std::str::from_utf8(value) {
            Ok(text) => texts.push(Cow::Borrowed(text)),
            Err(_) => return Values::Unusable,
        }
    }
    if texts.is_empty() { Values::Absent } else { Values::Several(texts) }
}
