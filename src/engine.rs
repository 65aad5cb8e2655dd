//! The one evaluator: a request in, a decision out.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use crate::condition::Condition;
use crate::config::{RawMethodOverride, RawPreflight};
use crate::connection;
use crate::credential::{Presented, Sources};
use crate::decision::{Access, Decision, Hold, Verdict};
use crate::effect::{Changes, Effect, Reply};
use crate::finding::Finding;
use crate::graphql::{Position, Reading, is_introspection};
use crate::identity::Identity;
use crate::key_type::KeyType;
use crate::keyring::{Key, KeyRing};
use crate::limits;
use crate::method;
use crate::origin::{Origin, is_host};
use crate::path::{Normalization, Path};
use crate::query::{Query, QueryNames};
use crate::reason::{Class, Reason};
use crate::request::{Body, Request, split_target};
use crate::response::Wordings;
use crate::rule::{
    AmbiguousQuery, Facts, GraphQlRule, Introspection, Requirement, Rule, RuleAccess, Rules,
};
use crate::scope::{self, Scope};
use crate::session::{Session, Sessions};
use crate::spelling::{is_like_one, is_same_header};
use crate::target::TargetHeader;
use crate::template::{Part, Template, Values, Variable};

/// A policy, valid by construction: what it cannot mean was refused when it was compiled.
#[derive(Debug)]
pub struct Engine {
    pub(crate) name: Option<Box<str>>,
    pub(crate) sources: Sources,
    pub(crate) forward_credential: bool,
    pub(crate) ring: KeyRing,
    /// Whether every token of the ring has the prefix and format of a type.
    pub(crate) every_token_has_a_shape: bool,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) methods: BTreeMap<Box<str>, Box<str>>,
    pub(crate) rules: Rules,
    /// The query parameters that conditions and rules read.
    pub(crate) query_names: QueryNames,
    /// The places of those that the policy's conditions read.
    pub(crate) conditions_read: Vec<usize>,
    pub(crate) default_requirement: Requirement,
    pub(crate) sessions: Option<Sessions>,
    pub(crate) preflight: RawPreflight,
    pub(crate) method_override: RawMethodOverride,
    pub(crate) normalization: Normalization,
    /// The headers that never reach an upstream from a client.
    pub(crate) target_headers: Vec<TargetHeader>,
    /// The headers that are set, removed or read: no next proxy may take one out because a client says so.
    pub(crate) own_headers: BTreeSet<Box<str>>,
    pub(crate) upstream_headers: Vec<(Box<str>, Template)>,
    pub(crate) response_headers: Vec<(Box<str>, Template)>,
    pub(crate) wordings: Wordings,
    pub(crate) metrics_per_key: bool,
    pub(crate) warnings: Vec<Finding>,
}

impl Engine {
    /// What was found doubtful when the policy was compiled.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// What the policy calls itself in metrics and logs.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The number of keys.
    pub fn key_count(&self) -> usize {
        self.ring.len()
    }

    /// The number of rules.
    pub fn rule_count(&self) -> usize {
        self.rules.all.len()
    }

    /// The id of a key by its place among the configuration's keys.
    pub fn key_id(&self, index: usize) -> Option<&str> {
        self.ring.key(index).map(|key| key.id())
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules.all
    }

    /// The kinds of keys, in the order in which the policy names them.
    pub fn key_types(&self) -> &[KeyType] {
        &self.ring.types
    }

    /// Whether `token` may be that of some key, by the prefixes and formats of the key types; what may not
    /// is a malformed credential.
    pub fn is_token_shaped(&self, token: &[u8]) -> bool {
        !self.every_token_has_a_shape || self.ring.types.iter().any(|own| own.fits(token))
    }

    /// Whether a header of that name, in lower case, may carry a credential, if only to some upstream that
    /// takes it for one of the policy's.
    pub fn is_credential_header(&self, name: &str) -> bool {
        self.sources.headers.iter().any(|own| is_same_header(name, &own.name))
    }

    /// Whether a header of that name, in lower case and in whatever spelling, is one that this policy sets,
    /// removes or reads. No client has it in a request's trailers, which some upstreams take for headers.
    pub fn is_own_header(&self, name: &str) -> bool {
        self.own_headers.iter().any(|own| is_same_header(own, name))
    }

    /// The same of a parameter of the query, whose name is decoded.
    pub fn is_credential_parameter(&self, name: &[u8]) -> bool {
        self.sources.is_query_credential(name) || is_like_one(name, &self.sources.query)
    }

    /// Whether metrics are kept for each key.
    pub fn metrics_per_key(&self) -> bool {
        self.metrics_per_key
    }

    /// Whether verified sessions are asked for.
    pub fn has_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// Whether responses carry headers of ours.
    pub fn has_response_headers(&self) -> bool {
        !self.response_headers.is_empty()
    }

    /// Decides about a request.
    ///
    /// The order of the steps is part of the contract: a request that fails several is refused for
    /// the first.
    pub fn decide<'e>(&'e self, request: &Request<'_>) -> Decision<'e> {
        let request = *request;
        let preflight = self.preflight(request);
        let mut decision = Decision::new(Verdict::Allow(Access::Preflight));
        if preflight == Some(decision.verdict) {
            return decision;
        }
        match (self.judge(request, &mut decision), preflight) {
            (Ok(verdict), _) => decision.verdict = verdict,
            // It is nobody's until it is known to be none.
            (Err(_), Some(hold)) => decision = Decision::new(hold),
            (Err(reason), None) => decision.verdict = Verdict::Deny(reason),
        }
        decision
    }

    /// What to do about a request, given what was decided.
    pub fn effect<'a>(&'a self, request: &Request<'a>, decision: &'a Decision<'_>) -> Effect<'a> {
        let request = *request;
        let access = match decision.verdict {
            Verdict::Allow(access) | Verdict::Hold(Hold { access, .. }) => access,
            Verdict::Deny(reason) => {
                // Every reason has its wording; a bare 403 stands for one that had none.
                let bare = Reply { status: 403, headers: Vec::new(), body: Cow::Borrowed("") };
                let reply = self.wordings.reply(request, decision, reason).unwrap_or(bare);
                return Effect::Reply(self.without_credentials(&request), reply);
            }
        };
        let mut set = Vec::new();
        let mut remove: Vec<&str> = self.client_copies(request).collect();
        match connection::without(request, |name| self.is_own_header(name)) {
            Some(kept) if kept.is_empty() => remove.push("connection"),
            Some(kept) => set.push(("connection", Cow::Owned(kept))),
            None => {}
        }
        let mut kept_query = None;
        if access != Access::Public && !self.forward_credential {
            remove.extend(self.sources.headers_to_remove(request));
            kept_query = self.sources.query_without(request);
            match self.sources.cookies_without(request) {
                Some(kept) if kept.is_empty() => remove.push("cookie"),
                Some(kept) => set.push(("cookie", Cow::Owned(kept))),
                None => {}
            }
            for (name, url) in self.sources.urls_without_any_like_ours(request) {
                if !remove.contains(&name) {
                    set.push((name, Cow::Owned(url)));
                }
            }
        }
        for (name, template) in &self.upstream_headers {
            if let Some(value) = rendered(template, request, decision.identity()) {
                set.push((name, bytes(value)));
            }
        }
        let path = (kept_query.is_some() || decision.path.is_some()).then(|| {
            let (path, query) = split_target(request.value(":path").unwrap_or_default());
            let path = decision.path.as_deref().map_or(path, str::as_bytes);
            match kept_query.as_deref().or(query) {
                None => path.to_vec(),
                Some(b"") if kept_query.is_some() => path.to_vec(),
                Some(query) => [path, b"?", query].concat(),
            }
        });
        Effect::Continue(Changes { remove, set, path })
    }

    /// How all that may be a credential, in whatever spelling, is taken out of a request that goes no
    /// further, `forward_credential` or not.
    pub fn without_credentials<'a>(&'a self, request: &Request<'a>) -> Changes<'a> {
        let mut changes = Changes::default();
        changes.remove.extend(self.sources.headers_like_ours(*request));
        match self.sources.cookies_without_any_like_ours(*request) {
            Some(kept) if kept.is_empty() => changes.remove.push("cookie"),
            Some(kept) => changes.set.push(("cookie", Cow::Owned(kept))),
            None => {}
        }
        for (name, url) in self.sources.urls_without_any_like_ours(*request) {
            changes.set.push((name, Cow::Owned(url)));
        }
        let target = request.value(":path");
        changes.path = target.and_then(|target| self.sources.target_without_any_like_ours(target));
        changes
    }

    /// The headers that the response to a request must carry, in place of any of their names.
    pub fn response_headers(
        &self,
        request: &Request<'_>,
        decision: &Decision<'_>,
    ) -> Vec<(String, String)> {
        // A client cannot tell a key that ended from one that never was.
        let is_known = decision.reason().is_none_or(|reason| reason.class() == Class::Forbidden);
        let identity = decision.identity().filter(|_| is_known);
        let render = |(name, template): &(Box<str>, Template)| {
            Some((name.to_string(), rendered(template, *request, identity)?.into_owned()))
        };
        self.response_headers.iter().filter_map(render).collect()
    }

    /// What becomes of a preflight as a browser sends it, without a body and without headers that ask for
    /// another method, or of what is one if no body comes; `None` for anything else.
    ///
    /// A body is known by its content: some proxies end the headers of a request without one by an empty
    /// frame or chunk.
    fn preflight(&self, request: Request<'_>) -> Option<Verdict> {
        let may_be_one = self.preflight == RawPreflight::Allow
            && request.method() == "OPTIONS"
            && request.has("origin")
            && request.has("access-control-request-method")
            && (self.method_override == RawMethodOverride::Remove
                || !method::has_override(request));
        let access = Access::Preflight;
        match request.body {
            _ if !may_be_one => None,
            Body::Whole(b"") => Some(Verdict::Allow(access)),
            Body::Unread if request.says_nothing_follows() => Some(Verdict::Allow(access)),
            // What follows an upgrade is no body, and nothing tells that it has ended.
            Body::Unread if !request.says_more_than(0) && !request.has("upgrade") => {
                let headers = self.rules.hold_headers();
                Some(Verdict::Hold(Hold { access, headers, max_bytes: 0 }))
            }
            Body::TooLarge | Body::Unread | Body::Whole(_) => None,
        }
    }

    /// Whether anything of the query matters, to rules or as a credential.
    fn reads_query(&self) -> bool {
        !self.query_names.is_empty() || !self.sources.query.is_empty()
    }

    fn judge<'e>(
        &'e self,
        request: Request<'_>,
        decision: &mut Decision<'e>,
    ) -> Result<Verdict, Reason> {
        // What an upstream could read in two ways must be allowed both ways, or is refused.
        let path = match request.path() {
            Some(path) if self.rules.look_at_paths() => {
                Some(Path::parse(path, self.normalization).map_err(|_| Reason::MalformedPath)?)
            }
            _ => None,
        };
        let segments = path.as_ref().map(|path| path.segments.as_slice());
        decision.path = path.as_ref().and_then(|path| path.rewritten.clone());
        let mut query = if self.reads_query() { request.parameters() } else { Query::default() };
        let is_in_another_charset =
            !query.is_empty() && (request.names_another_charset() || query.names_another_charset());
        let ambiguous = match is_in_another_charset {
            true => vec![true; self.query_names.len()],
            false => self.query_names.ambiguous(&query),
        };
        query
            .keep(|name| self.query_names.contains(name) || self.sources.is_query_credential(name));
        let host = if self.rules.look_at_hosts() {
            host(request).ok_or(Reason::MalformedHost)?
        } else {
            String::new()
        };
        if self.conditions_read.iter().any(|name| ambiguous.get(*name).is_none_or(|own| *own)) {
            return Err(Reason::AmbiguousQuery);
        }
        let facts = Facts { host, query: &query, ambiguous, graphql: OnceCell::new() };
        let other_methods = match self.method_override {
            RawMethodOverride::Authorize => method::others(request),
            RawMethodOverride::Ignore | RawMethodOverride::Remove => Vec::new(),
        };
        let mut matched: Vec<Match<'e, '_>> = Vec::new();
        let other_segments = path.iter().flat_map(|path| &path.others).map(Vec::as_slice);
        for segments in iter::once(segments).chain(other_segments.map(Some)) {
            let methods =
                iter::once(request.method()).chain(other_methods.iter().map(String::as_str));
            for method in methods {
                self.rules
                    .find(&facts, segments, method, |rule| {
                        matched.push(Match { method, segments, rule });
                    })
                    .map_err(|AmbiguousQuery| Reason::AmbiguousQuery)?;
            }
        }
        decision.rule = matched.first().and_then(|matched| matched.rule);
        if matched.iter().all(Match::is_public) {
            let Some(unknown) = matched.iter().find(|matched| !self.knows(matched)) else {
                return Ok(Verdict::Allow(Access::Public));
            };
            decision.rule = unknown.rule;
            return Err(Reason::MethodNotAllowed);
        }
        if is_in_another_charset && !self.sources.query.is_empty() {
            return Err(Reason::AmbiguousQuery);
        }
        let holder = self.authenticate(request, &query, decision)?;
        let (identity, access) = match &holder {
            Holder::Key(key) => (Identity::Key(*key), Access::Key),
            Holder::Session(session) => (Identity::Session(session), Access::Session),
        };
        let mut verdict = Ok(Verdict::Allow(access));
        for matched in &matched {
            match self.authorize(matched, request, &facts, identity, decision) {
                Ok(None) => {}
                Ok(Some(graphql)) => {
                    let (mut headers, mut max_bytes) = (graphql.hold_headers, graphql.limits.bytes);
                    if let Ok(Verdict::Hold(earlier)) = verdict {
                        headers |= earlier.headers;
                        max_bytes = max_bytes.min(earlier.max_bytes);
                    }
                    verdict = Ok(Verdict::Hold(Hold { access, headers, max_bytes }));
                }
                Err(reason) => {
                    verdict = Err(reason);
                    break;
                }
            }
        }
        if let Holder::Session(session) = holder {
            decision.session = Some(session);
        }
        verdict
    }

    /// The good key whose token the request presents, or the session that it belongs to.
    fn authenticate<'e>(
        &'e self,
        request: Request<'_>,
        query: &Query<'_>,
        decision: &mut Decision<'e>,
    ) -> Result<Holder<'e>, Reason> {
        let presented = self.sources.find(request, query);
        let claims =
            self.sessions.as_ref().and_then(|own| Some((own, (request.claims)(&own.payload)?)));
        decision.presented = presented != Presented::Nothing || claims.is_some();
        if let Some((sessions, claims)) = claims {
            let is_known = |token: &[u8]| self.ring.find(token).is_some();
            return match presented {
                Presented::Ambiguous => Err(Reason::AmbiguousCredential),
                Presented::Token(token) if is_known(token.as_bytes()) => {
                    Err(Reason::AmbiguousCredential)
                }
                // It would reach the upstream.
                _ if self.sources.are_misspelt(request) => Err(Reason::AmbiguousCredential),
                // What else was presented is the session's own token.
                _ => {
                    let session = sessions.read(&claims).ok_or(Reason::MalformedCredential)?;
                    Ok(Holder::Session(session))
                }
            };
        }
        let token = match presented {
            Presented::Nothing => return Err(Reason::MissingCredential),
            Presented::Ambiguous => return Err(Reason::AmbiguousCredential),
            Presented::Malformed => return Err(Reason::MalformedCredential),
            Presented::Token(_) if self.sources.are_misspelt(request) => {
                return Err(Reason::AmbiguousCredential);
            }
            Presented::Token(token) => token,
        };
        if !self.is_token_shaped(token.as_bytes()) {
            return Err(Reason::MalformedCredential);
        }
        let key = self.ring.find(token.as_bytes()).ok_or(Reason::UnknownKey)?;
        decision.key = Some(key);
        if let Some(reason) = key.refusal(request.clock) {
            return Err(reason);
        }
        if let Some(origins) = key.origins() {
            let mut values = request.values("origin").map(std::str::from_utf8);
            let is_listed = match (values.next(), values.next()) {
                (Some(Ok(value)), None) => Origin::is_one(origins, value),
                _ => false,
            };
            if !is_listed {
                return Err(Reason::OriginNotAllowed);
            }
        }
        Ok(Holder::Key(key))
    }

    /// Whether who asks may do what a request asks for by one of its methods; if that depends on a
    /// body that was not read yet, what it must be judged by.
    fn authorize<'e>(
        &'e self,
        matched: &Match<'e, '_>,
        request: Request<'_>,
        facts: &Facts<'_>,
        identity: Identity<'_>,
        decision: &mut Decision<'e>,
    ) -> Result<Option<&'e GraphQlRule>, Reason> {
        decision.rule = matched.rule;
        decision.own_wording = false;
        if matched.is_public() {
            return if self.knows(matched) { Ok(None) } else { Err(Reason::MethodNotAllowed) };
        }
        let access = matched.rule.map(|rule| &rule.access);
        if matches!(access, Some(RuleAccess::Deny)) {
            decision.own_wording = true;
            return Err(Reason::DeniedByRule);
        }
        let action = self.methods.get(matched.method).map(|action| &**action);
        let values = |variable: &Variable| value_of(variable, request, facts, matched, action);
        if !self.conditions.iter().all(|condition| condition.is_met(identity, values)) {
            return Err(Reason::ConditionFailed);
        }
        decision.own_wording = true;
        let mut conditions = matched.rule.iter().flat_map(|rule| &rule.conditions);
        if !conditions.all(|condition| condition.is_met(identity, values)) {
            return Err(Reason::ConditionFailed);
        }
        if !self.knows(matched) {
            return Err(Reason::MethodNotAllowed);
        }
        let requirement = match access {
            None => Some(&self.default_requirement),
            Some(RuleAccess::Key(requirement)) => Some(requirement),
            Some(RuleAccess::Authenticated | RuleAccess::Deny | RuleAccess::Public) => None,
        };
        let is_covered =
            requirement.is_none_or(|requirement| decision.need(requirement, values, identity));
        if !is_covered {
            return Err(Reason::InsufficientScope);
        }
        let Some(graphql) = matched.rule.and_then(|rule| rule.graphql.as_ref()) else {
            return Ok(None);
        };
        if !matches!(matched.method, "GET" | "HEAD" | "POST") {
            return Err(Reason::MethodNotAllowed);
        }
        // What follows an upgrade, to a WebSocket say, nobody judges.
        if request.has("upgrade") || request.says_more_than(graphql.limits.bytes) {
            return Err(Reason::MalformedGraphql);
        }
        // What stands in the URL is judged before the body has come: the headers may go ahead, and
        // an upstream need not wait for a body of which it reads nothing.
        let reading = facts.graphql.get_or_init(|| Reading::new(request).ok());
        let fields = reading.as_ref().and_then(|own| own.fields(matched.method, graphql.limits));
        let fields = fields.ok_or(Reason::MalformedGraphql)?;
        for (position, fields) in fields.positions() {
            for field in fields {
                graphql.authorize(position, field, values, identity, decision)?;
            }
        }
        Ok(Some(graphql).filter(|_| request.body == Body::Unread))
    }

    /// Whether the method stands for an action, or the rule lists it. An upstream may take another, `delete`
    /// say, for one that other rules name.
    fn knows(&self, matched: &Match<'_, '_>) -> bool {
        self.methods.contains_key(matched.method)
            || matched.rule.is_some_and(|rule| rule.lists(matched.method))
    }

    /// The names of the headers by which a client could pass for what only we say: copies of
    /// upstream headers, and those by which an upstream could take what was not judged, another target or
    /// a method that is to be ignored. In any spelling.
    fn client_copies<'a>(&'a self, request: Request<'a>) -> impl Iterator<Item = &'a str> {
        request.headers.iter().map(|(name, _)| *name).filter(|name| {
            self.upstream_headers.iter().any(|(own, _)| is_same_header(own, name))
                || self.target_headers.iter().any(|own| is_same_header(own.0, name))
                || (self.method_override == RawMethodOverride::Remove && method::is_override(name))
        })
    }
}

/// Who was found to ask.
#[derive(Debug)]
enum Holder<'e> {
    Key(Key<'e>),
    Session(Session),
}

impl GraphQlRule {
    /// The resource that a field stands for, or the whole scope that it needs; `None` if it needs none.
    fn needed<'f>(&'f self, position: Position, field: &'f str) -> Option<&'f str> {
        if position != Position::Nested {
            let own = self.fields.get(field).map_or(field, |own| &**own);
            // A scope to read with stands for a query's field; a mutation's may have the same name.
            let resource = own.strip_suffix(":read").filter(|_| position == Position::Mutation);
            return Some(resource.unwrap_or(own));
        }
        // What nobody named may lead to anything.
        let own = self.nested.as_ref()?.get(field).map_or("*:read", |own| &**own);
        Some(own).filter(|own| *own != "allow")
    }

    /// Whether who asks may have a field.
    fn authorize<'v>(
        &self,
        position: Position,
        field: &'v str,
        values: impl Fn(&Variable) -> Values<'v>,
        identity: Identity<'_>,
        decision: &mut Decision<'_>,
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
                    decision.note(scope.clone());
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
        let Some(own) = self.needed(position, field) else { return Ok(()) };
        let required = if own.contains(':') {
            Template { parts: vec![Part::Literal(own.into())] }
        } else {
            self.require.clone()
        };
        let values = |variable: &Variable| match variable {
            Variable::Field => Values::One(own.into()),
            Variable::Operation => Values::One(position.action().into()),
            variable => values(variable),
        };
        let is_covered = decision.need(&Requirement::All(vec![required]), values, identity);
        if is_covered { Ok(()) } else { Err(Reason::InsufficientScope) }
    }
}

impl Decision<'_> {
    /// Notes the scopes that a requirement names, and says whether those of who asks cover them.
    ///
    /// Each template is looked at, whatever became of the one before: what is required is told whole.
    fn need<'v>(
        &mut self,
        requirement: &'v Requirement,
        values: impl Fn(&Variable) -> Values<'v>,
        identity: Identity<'_>,
    ) -> bool {
        let mut count: usize = 0;
        let mut is_covered = |template: &'v Template| -> bool {
            let words = |variable: &Variable| match values(variable) {
                // A value of a request may hold neither `:` nor `*`, which would make it another scope.
                value if value.all(scope::is_word) => value,
                _ => Values::Unusable,
            };
            let Some(texts) = template.expand(words) else { return false };
            count = count.saturating_add(texts.len());
            let mut are_covered = count <= limits::REQUIRED_SCOPES;
            for text in texts.iter().take_while(|_| count <= limits::REQUIRED_SCOPES) {
                let Ok(scope) = Scope::parse(text) else { return false };
                are_covered &= identity.covers(&scope);
                self.note(scope);
            }
            are_covered
        };
        let templates = requirement.templates().iter();
        match requirement {
            Requirement::All(_) => templates.fold(true, |all, template| all & is_covered(template)),
            Requirement::Any(_) => {
                templates.fold(false, |any, template| any | is_covered(template))
            }
        }
    }

    fn note(&mut self, scope: Scope) {
        if self.required.len() < limits::REQUIRED_SCOPES && !self.required.contains(&scope) {
            self.required.push(scope);
        }
    }
}

/// A method of a request and the rule that decides about it.
struct Match<'e, 'r> {
    method: &'r str,
    /// The path in one of its readings.
    segments: Option<&'r [Cow<'r, str>]>,
    rule: Option<&'e Rule>,
}

impl<'e> Match<'e, '_> {
    fn is_public(&self) -> bool {
        self.rule.is_some_and(|rule| matches!(rule.access, RuleAccess::Public))
    }

    /// What a path parameter stands for, by each of the rule's paths that matches and has it.
    fn parameter<'v>(&'v self, name: &str) -> Values<'v> {
        let (Some(rule), Some(segments)) = (self.rule, self.segments) else {
            return Values::Absent;
        };
        let paths = rule.paths.iter().filter(|path| path.matches(segments));
        let mut values: Vec<_> = paths.filter_map(|path| path.parameter(name, segments)).collect();
        values.retain(|value| !value.is_empty());
        if values.is_empty() { Values::Absent } else { Values::Several(values) }
    }
}

/// What a request holds for a variable.
fn value_of<'v>(
    variable: &Variable,
    request: Request<'v>,
    facts: &'v Facts<'_>,
    matched: &'v Match<'_, '_>,
    action: Option<&'v str>,
) -> Values<'v> {
    match variable {
        Variable::Action => action.map_or(Values::Absent, |action| Values::One(action.into())),
        Variable::Header(name) => {
            missable(texts(request.values_of_any_spelling(name)), request.has(name))
        }
        Variable::Method => Values::One(matched.method.into()),
        Variable::Parameter(name) => matched.parameter(name),
        Variable::Query(name) => missable(texts(facts.query.values(name)), facts.query.shows(name)),
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

/// A header's value for who asks.
fn rendered<'a>(
    template: &'a Template,
    request: Request<'a>,
    identity: Option<Identity<'a>>,
) -> Option<Cow<'a, str>> {
    template.render(|variable| match variable {
        Variable::KeyAccount => identity?.account().map(Cow::Borrowed),
        Variable::KeyAttribute(name) => identity?.attribute(name).map(Cow::Borrowed),
        Variable::KeyId => identity.map(|identity| identity.id().into()),
        Variable::KeyType => identity?.key_type().map(Cow::Borrowed),
        Variable::RequestId => request.id().map(Cow::Borrowed),
        _ => None,
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The request's host in lower case, without port and without the dot that a full name may end in;
/// `None` if it is no host. A request without one has an empty host.
fn host(request: Request<'_>) -> Option<String> {
    let Some(authority) = request.value(":authority") else { return Some(String::new()) };
    let authority = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            if !port.is_empty() {
                port.parse::<u16>().ok()?;
            }
            host
        }
        _ => authority.as_str(),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    is_host(host).then(|| host.to_owned())
}
