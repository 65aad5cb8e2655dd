//! The one evaluator: a request in, a decision out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::iter;

use crate::authenticate::{Authenticator, Holder};
use crate::authorize::{Authorizer, Match};
use crate::config::{RawMethodOverride, RawPreflight};
use crate::connection;
use crate::decision::{Access, Decision, Found, Hold, Refusal, Verdict};
use crate::effect::{Changes, Effect};
use crate::finding::Finding;
use crate::key_type::KeyType;
use crate::memory::Memory;
use crate::method;
use crate::path::{EncodedSlashes, Normalization, Path};
use crate::query::QueryNames;
use crate::reading::Reading;
use crate::reason::{Class, Reason};
use crate::request::{Body, Request};
use crate::response::Wordings;
use crate::rule::{AmbiguousQuery, Facts, Rule, Rules};
use crate::source::{Source, WEBSOCKET_PROTOCOL};
use crate::spelling::{is_like_one, is_same_header};
use crate::step::Step;
use crate::target::TargetHeader;
use crate::template::{Template, Variable};

/// A policy, valid by construction: what it cannot mean was refused when it was compiled.
#[derive(Debug)]
pub struct Engine {
    pub(crate) name: Option<Box<str>>,
    /// Whether every request goes on as it came, whatever is decided.
    pub(crate) is_observed: bool,
    /// Where a token may stand, in the order in which the policy lists it.
    pub(crate) sources: Vec<Source>,
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Authorizer,
    pub(crate) forward_credential: bool,
    pub(crate) rules: Rules,
    /// The query parameters that conditions and rules read.
    pub(crate) query_names: QueryNames,
    /// The places of those that the policy's conditions read.
    pub(crate) conditions_read: Vec<usize>,
    pub(crate) preflight: RawPreflight,
    pub(crate) method_override: RawMethodOverride,
    pub(crate) normalization: Normalization,
    pub(crate) encoded_slashes: EncodedSlashes,
    /// The headers that never reach an upstream from a client.
    pub(crate) target_headers: Vec<TargetHeader>,
    /// The headers that are set, removed or read: no next proxy may take one out because a client says so.
    pub(crate) own_headers: BTreeSet<Box<str>>,
    pub(crate) upstream_headers: Vec<(Box<str>, Template)>,
    pub(crate) response_headers: Vec<(Box<str>, Template)>,
    pub(crate) wordings: Wordings,
    pub(crate) metrics_per_key: bool,
    pub(crate) memory: Memory,
    pub(crate) warnings: Vec<Finding>,
}

/// What is decided about a request, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome<'e> {
    pub(crate) decision: Decision<'e>,
    pub(crate) effect: Effect<'e>,
    /// The headers that the response must carry, in place of any of their names.
    pub(crate) response_headers: Vec<(&'e str, Cow<'e, str>)>,
}

/// Lets a host keep with an engine what belongs to it.
impl AsRef<Engine> for Engine {
    fn as_ref(&self) -> &Engine {
        self
    }
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

    /// Whether anything is only observed, by the policy or by a rule of it.
    pub fn observes(&self) -> bool {
        self.is_observed || self.rules.all.iter().any(|rule| rule.is_observed)
    }

    /// What it takes of a VM's memory, its metrics included.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The number of keys.
    pub fn key_count(&self) -> usize {
        self.authenticator.ring.len()
    }

    /// The number of rules.
    pub fn rule_count(&self) -> usize {
        self.rules.all.len()
    }

    /// The id of a key by its place among the configuration's keys.
    pub fn key_id(&self, index: usize) -> Option<&str> {
        self.authenticator.ring.key(index).map(|key| key.id())
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules.all
    }

    /// The kinds of keys, in the order in which the policy names them.
    pub fn key_types(&self) -> &[KeyType] {
        &self.authenticator.ring.types
    }

    /// Whether `token` may be that of some key, by the prefixes and formats of the key types; what may not
    /// is a malformed credential.
    pub fn is_token_shaped(&self, token: &[u8]) -> bool {
        self.authenticator.is_shaped(token)
    }

    /// Whether a header of that name, in lower case, may carry a credential, if only to some upstream that
    /// takes it for one of the policy's.
    pub fn is_credential_header(&self, name: &str) -> bool {
        self.authenticator.sources.headers.iter().any(|own| is_same_header(name, &own.name))
    }

    /// Whether a header of that name, in lower case and in whatever spelling, is one that this policy sets,
    /// removes or reads. No client has it in a request's trailers, which some upstreams take for headers.
    pub fn is_own_header(&self, name: &str) -> bool {
        self.own_headers.iter().any(|own| is_same_header(own, name))
    }

    /// The same of a parameter of the query, whose name is decoded.
    pub fn is_credential_parameter(&self, name: &[u8]) -> bool {
        self.authenticator.sources.is_query_credential(name)
            || is_like_one(name, &self.authenticator.sources.query)
    }

    /// Whether metrics are kept for each key.
    pub fn metrics_per_key(&self) -> bool {
        self.metrics_per_key
    }

    /// Whether verified sessions are asked for.
    pub fn has_sessions(&self) -> bool {
        self.authenticator.sessions.is_some()
    }

    /// Where a filter before this one leaves the claims of a verified session; `None` if sessions are not asked for.
    pub fn session_payload(&self) -> Option<&str> {
        self.authenticator.sessions.as_ref().map(|sessions| &*sessions.payload)
    }

    /// Decides about a request.
    ///
    /// A request that fails several [`Step`]s is refused at the first. What a host has to do about it is said by an
    /// [`Exchange`](crate::Exchange).
    pub fn decide<'e>(&'e self, request: &Request<'_>) -> Decision<'e> {
        self.outcome(request).decision
    }

    /// Decides about a request, and says what to do about it.
    pub(crate) fn outcome<'e>(&'e self, request: &Request<'_>) -> Outcome<'e> {
        let is_read = |name: &[u8]| {
            self.query_names.contains(name) || self.authenticator.sources.is_query_credential(name)
        };
        let reads_query =
            !self.query_names.is_empty() || !self.authenticator.sources.query.is_empty();
        let reading = Reading::new(*request, if reads_query { Some(&is_read) } else { None });
        let mut found = Found::default();
        let (verdict, step) = self.verdict(&reading, &mut found);
        if self.is_observed {
            let decision = Decision { verdict, step, is_observed: true, found };
            let effect = match verdict {
                Verdict::Allow(_) | Verdict::Deny(_) => Effect::Continue(Changes::default()),
                Verdict::Hold(hold) => Effect::Hold {
                    hold,
                    stripped: Changes::default(),
                    ahead: (!hold.headers).then(Changes::default),
                },
            };
            return Outcome { decision, effect, response_headers: Vec::new() };
        }
        // Before the rule has decided, nobody looked for a credential.
        let is_cut = step != Step::Rule && !self.forward_credential;
        let effect = match verdict {
            Verdict::Allow(_) => Effect::Continue(self.changes(&reading, is_cut, &found)),
            Verdict::Hold(hold) => Effect::Hold {
                hold,
                stripped: self.without_credentials(&reading),
                ahead: (!hold.headers).then(|| self.changes(&reading, is_cut, &found)),
            },
            Verdict::Deny(reason) => {
                let reply = self.wordings.reply(&reading, &found, reason);
                Effect::Reply(self.without_credentials(&reading), reply)
            }
        };
        let response_headers = self.response_headers(&reading, verdict, &found);
        let decision = Decision { verdict, step, is_observed: false, found };
        Outcome { decision, effect, response_headers }
    }

    fn verdict<'e>(&'e self, reading: &Reading<'_>, found: &mut Found<'e>) -> (Verdict, Step) {
        let preflight = self.preflight(reading);
        if let Some(verdict @ Verdict::Allow(_)) = preflight {
            return (verdict, Step::Preflight);
        }
        match (self.judge(reading, found), preflight) {
            (Ok(judged), _) => judged,
            // It is nobody's until it is known to be none.
            (Err(_), Some(hold)) => {
                *found = Found::default();
                (hold, Step::Preflight)
            }
            (Err(Refusal { reason, step }), None) => (Verdict::Deny(reason), step),
        }
    }

    /// Takes the steps behind the preflight, in their order.
    fn judge<'e>(
        &'e self,
        reading: &Reading<'_>,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        let path = self.path(reading)?;
        found.path = path.as_ref().and_then(|path| path.rewritten.clone());
        let host = self.host(reading)?;
        let ambiguous = self.ambiguous_parameters(reading)?;
        let headers = reading.headers();
        let facts = Facts { host, query: reading.query(), headers, ambiguous };
        let methods = self.asked_methods(reading);
        let matches = self.matches(path.as_ref(), &methods, &facts)?;
        found.rule = matches.first().and_then(|matched| matched.rule);
        if matches.iter().all(Match::is_public) {
            return self.let_anybody(&matches, Step::Rule, found);
        }
        if !self.authenticator.sources.query.is_empty() && reading.is_query_in_another_charset() {
            return Err(Reason::AmbiguousQuery.into());
        }
        let limits = matches.iter().filter_map(|matched| matched.rule?.credentials.as_ref());
        let limits = limits.map(|own| &own.sources);
        let holder = match self.authenticator.authenticate(reading, limits, found) {
            Err(Reason::MissingCredential) if matches.iter().all(Match::is_open) => {
                self.authenticator.refuse_misspelt(reading, found)?;
                return self.let_anybody(&matches, Step::Credential, found);
            }
            holder => holder?,
        };
        let access = match holder {
            Holder::Key(_) => Access::Key,
            Holder::Session(_) => Access::Session,
        };
        let verdict =
            self.authorizer.authorize(&matches, reading, (holder.identity(), access), found);
        if let Holder::Session(session) = holder {
            found.session = Some(session);
        }
        Ok((verdict?, Step::Body))
    }

    /// Lets a request through, whoever asks, at a step that asks for nothing more. Of each method only if the
    /// policy or its rule knows it.
    fn let_anybody<'e>(
        &'e self,
        matches: &[Match<'e, '_>],
        step: Step,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        let Some(unknown) = matches.iter().find(|matched| !self.authorizer.knows(matched)) else {
            return Ok((Verdict::Allow(Access::Public), step));
        };
        found.rule = unknown.rule;
        // Nobody is asked who they are, so it ends here.
        Err(Refusal { reason: found.refuse_method(unknown.method), step })
    }

    /// What becomes of a preflight as a browser sends it, without a body and without headers that ask for
    /// another method, or of what is one if no body comes; `None` for anything else.
    ///
    /// A body is known by its content: some proxies end the headers of a request without one by an empty
    /// frame or chunk.
    fn preflight(&self, reading: &Reading<'_>) -> Option<Verdict> {
        let may_be_one = self.preflight == RawPreflight::Allow
            && reading.method == "OPTIONS"
            && reading.has("origin")
            && reading.has("access-control-request-method")
            && (self.method_override == RawMethodOverride::Remove
                || !reading.has_method_override());
        let access = Access::Preflight;
        match reading.body() {
            _ if !may_be_one => None,
            Body::Whole(b"") => Some(Verdict::Allow(access)),
            Body::Unread if reading.says_nothing_follows() => Some(Verdict::Allow(access)),
            // What follows an upgrade is no body, and nothing tells that it has ended.
            Body::Unread if !reading.says_more_than(0) && !reading.has("upgrade") => {
                let headers = self.rules.hold_headers();
                Some(Verdict::Hold(Hold { access, headers, max_bytes: 0 }))
            }
            Body::TooLarge | Body::Unread | Body::Whole(_) => None,
        }
    }

    /// The path, if a rule looks at it: what an upstream could read in two ways must be allowed both ways, or
    /// is refused.
    fn path<'r>(&self, reading: &Reading<'r>) -> Result<Option<Path<'r>>, Reason> {
        let path = reading.path().filter(|_| self.rules.look_at_paths());
        let parse = |path| Path::parse(path, self.normalization, self.encoded_slashes);
        let path = path.map(parse).transpose();
        path.map_err(|_| Reason::MalformedPath)
    }

    /// The host; empty if no rule looks at it.
    fn host(&self, reading: &Reading<'_>) -> Result<String, Reason> {
        if self.rules.look_at_hosts() {
            reading.host().ok_or(Reason::MalformedHost)
        } else {
            Ok(String::new())
        }
    }

    /// Whether an upstream could read another value of a parameter, by its place; an error if the policy's
    /// conditions look at one of those.
    fn ambiguous_parameters(&self, reading: &Reading<'_>) -> Result<Vec<bool>, Reason> {
        let ambiguous = match reading.is_query_in_another_charset() {
            true => vec![true; self.query_names.len()],
            false => self.query_names.ambiguous(reading.query()),
        };
        let mut read = self.conditions_read.iter();
        if read.any(|name| ambiguous.get(*name).is_none_or(|own| *own)) {
            return Err(Reason::AmbiguousQuery);
        }
        Ok(ambiguous)
    }

    /// The methods by which an upstream could treat a request, its own first.
    fn asked_methods<'r>(&self, reading: &Reading<'r>) -> Vec<Cow<'r, str>> {
        let others = match self.method_override {
            RawMethodOverride::Authorize => reading.other_methods(),
            RawMethodOverride::Ignore | RawMethodOverride::Remove => Vec::new(),
        };
        iter::once(Cow::Borrowed(reading.method))
            .chain(others.into_iter().map(Cow::Owned))
            .collect()
    }

    /// The rules that decide: at least one for each reading of the path and each method.
    fn matches<'e, 'm>(
        &'e self,
        path: Option<&'m Path<'_>>,
        methods: &'m [Cow<'_, str>],
        facts: &Facts<'_>,
    ) -> Result<Vec<Match<'e, 'm>>, Reason> {
        let mut matches = Vec::new();
        let own = path.map(|path| path.segments.as_slice());
        let others = path.into_iter().flat_map(|path| &path.others).map(Vec::as_slice);
        for segments in iter::once(own).chain(others.map(Some)) {
            for method in methods {
                let note = |rule| matches.push(Match { method, segments, rule });
                let found = self.rules.find(facts, segments, method, note);
                found.map_err(|AmbiguousQuery| Reason::AmbiguousQuery)?;
            }
        }
        let has_slashes = path.is_some_and(|path| path.has_slashes);
        if has_slashes && !matches.iter().all(Match::takes_slashes) {
            return Err(Reason::MalformedPath);
        }
        Ok(matches)
    }

    /// How a request that goes on is changed. Its credential is cut out of it, or goes with it.
    fn changes<'e>(
        &'e self,
        reading: &Reading<'_>,
        is_cut: bool,
        found: &Found<'e>,
    ) -> Changes<'e> {
        let mut changes = Changes::default();
        for name in reading.names() {
            if let Some(own) = self.forged(name) {
                changes.remove.push(spelt(own, name));
            }
        }
        let is_own = |name: &str| self.is_own_header(name);
        changes.replace("connection", connection::without(reading.values("connection"), is_own));
        let mut query = None;
        if is_cut {
            let sources = &self.authenticator.sources;
            changes.remove.extend(sources.headers_to_remove(reading).map(Cow::Borrowed));
            query = sources.query_without(reading);
            changes.replace("cookie", sources.cookies_without(reading));
            changes.replace(WEBSOCKET_PROTOCOL, sources.protocols_without(reading));
            for (name, url) in sources.urls_without_any_like_ours(reading) {
                if !changes.remove.iter().any(|own| *own == name) {
                    changes.set.push((Cow::Owned(name.to_owned()), Cow::Owned(url)));
                }
            }
        }
        for (name, template) in &self.upstream_headers {
            if let Some(value) = rendered(template, reading, Some(found)) {
                changes.set.push((Cow::Borrowed(name), bytes(value)));
            }
        }
        if query.is_some() || found.path.is_some() {
            changes.path = Some(reading.target_with(found.path.as_deref(), query.as_deref()));
        }
        changes
    }

    /// How all that may be a credential, in whatever spelling, is taken out of a request that goes no
    /// further, `forward_credential` or not.
    fn without_credentials<'e>(&'e self, reading: &Reading<'_>) -> Changes<'e> {
        let sources = &self.authenticator.sources;
        let mut changes = Changes::default();
        changes
            .remove
            .extend(sources.headers_like_ours(reading).map(|(own, name)| spelt(own, name)));
        changes.replace("cookie", sources.cookies_without_any_like_ours(reading));
        for (name, text) in sources.texts_without_any_like_ours(reading) {
            if !changes.remove.iter().any(|own| *own == name) {
                changes.set.push((Cow::Owned(name.to_owned()), Cow::Owned(text)));
            }
        }
        changes.path = sources.target_without_any_like_ours(reading);
        changes
    }

    /// The headers that the response to a request must carry.
    fn response_headers<'e>(
        &'e self,
        reading: &Reading<'_>,
        verdict: Verdict,
        found: &Found<'e>,
    ) -> Vec<(&'e str, Cow<'e, str>)> {
        // A client cannot tell a key that ended from one that never was.
        let is_known =
            !matches!(verdict, Verdict::Deny(reason) if reason.class() != Class::Forbidden);
        let render = |(name, template): &'e (Box<str>, Template)| {
            Some((&**name, rendered(template, reading, Some(found).filter(|_| is_known))?))
        };
        self.response_headers.iter().filter_map(render).collect()
    }

    /// The header of ours that an upstream could take one of that name for, by which a client could pass for
    /// what only we say: a copy of an upstream header, or one by which an upstream could take what was not
    /// judged, another target or a method that is to be ignored. In any spelling.
    fn forged(&self, name: &str) -> Option<&str> {
        let is_same = |own: &str| is_same_header(own, name);
        let upstream = self.upstream_headers.iter().find(|(own, _)| is_same(own));
        if let Some((own, _)) = upstream {
            return Some(own);
        }
        if let Some(own) = self.target_headers.iter().find(|own| is_same(own.0)) {
            return Some(own.0);
        }
        match self.method_override {
            RawMethodOverride::Remove => method::OVERRIDES.into_iter().find(|own| is_same(own)),
            RawMethodOverride::Authorize | RawMethodOverride::Ignore => None,
        }
    }
}

impl Changes<'_> {
    /// Leaves of a header what was kept, where something was taken out of it.
    fn replace(&mut self, name: &'static str, kept: Option<Vec<u8>>) {
        match kept {
            Some(kept) if kept.is_empty() => self.remove.push(Cow::Borrowed(name)),
            Some(kept) => self.set.push((Cow::Borrowed(name), Cow::Owned(kept))),
            None => {}
        }
    }
}

/// A header's name as the request spells it, borrowed from the policy where that spells it so, too.
fn spelt<'e>(own: &'e str, name: &str) -> Cow<'e, str> {
    if own == name { Cow::Borrowed(own) } else { Cow::Owned(name.to_owned()) }
}

/// A header's value for who asks.
fn rendered<'e>(
    template: &'e Template,
    reading: &Reading<'_>,
    found: Option<&Found<'e>>,
) -> Option<Cow<'e, str>> {
    template.render(|variable| match variable {
        Variable::RequestId => reading.id().map(|id| Cow::Owned(id.to_owned())),
        variable => found?.word(variable),
    })
}

impl<'e> Found<'e> {
    /// What a variable stands for of who asks.
    fn word(&self, variable: &Variable) -> Option<Cow<'e, str>> {
        if let Some(session) = &self.session {
            let own = match variable {
                Variable::KeyAccount => session.account(),
                Variable::KeyId => Some(session.id()),
                _ => None,
            };
            return own.map(|own| Cow::Owned(own.to_owned()));
        }
        let key = self.key?;
        let own = match variable {
            Variable::KeyAccount => key.account(),
            Variable::KeyAttribute(name) => key.attribute(name),
            Variable::KeyId => Some(key.id()),
            Variable::KeyType => key.key_type(),
            _ => None,
        };
        own.map(Cow::Borrowed)
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
