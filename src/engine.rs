//! The one evaluator: a request in, a decision out.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::authenticate::{Authenticator, Holder};
use crate::authorize::{Authorizer, Match};
use crate::config::{RawMethodOverride, RawPreflight};
use crate::connection;
use crate::decision::{Access, Decision, Found, Hold, ReadAs, Refusal, Verdict};
use crate::effect::{Changes, Effect, Holding};
use crate::finding::Finding;
use crate::form::{self, AmbiguousBody, Kinds};
use crate::key_type::KeyType;
use crate::limits;
use crate::memory::Memory;
use crate::method;
use crate::path::{EncodedSlashes, MalformedPath, Normalization, Path};
use crate::publish::Published;
use crate::query::{self, QueryNames};
use crate::reading::{IsRead, Reading};
use crate::reason::{Class, Reason};
use crate::request::{Body, Request};
use crate::response::Wordings;
use crate::rule::{AmbiguousQuery, Facts, Rule, Rules};
use crate::scope::Scope;
use crate::source::{Source, WEBSOCKET_PROTOCOL};
use crate::spelling::{Lengths, is_like_one, is_same_header};
use crate::step::Step;
use crate::target::TargetHeader;
use crate::template::{Template, Variable};
use crate::upstream::{Bodies, Deviation, Readings};

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
    /// What an upstream reads otherwise.
    pub(crate) upstream: Readings,
    /// The methods that a body may ask for: those of the table, and those that rules list.
    pub(crate) asked_methods: Vec<Box<str>>,
    /// The headers that never reach an upstream from a client.
    pub(crate) target_headers: Vec<TargetHeader>,
    /// How long the names of [`forged`](Engine::forged) headers are.
    pub(crate) forged_lengths: Lengths,
    /// The headers that are set, removed or read: no next proxy may take one out because a client says so.
    pub(crate) own_headers: Vec<Box<str>>,
    pub(crate) upstream_headers: Vec<(Box<str>, Template)>,
    pub(crate) response_headers: Vec<(Box<str>, Template)>,
    pub(crate) wordings: Wordings,
    /// What others in the proxy learn besides the decision.
    pub(crate) published: Vec<Published>,
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

/// What a request asks for, apart from its query.
#[derive(Clone, Copy)]
struct Head<'h> {
    /// `None` where no rule looks at paths.
    path: Option<&'h Path<'h>>,
    /// Empty where no rule looks at hosts.
    host: &'h str,
    method: &'h str,
    /// The others by which an upstream could treat it.
    other_methods: &'h [String],
}

/// What an upstream may read in the body of a request.
struct Sent {
    kinds: Kinds,
    has_methods: bool,
    has_parameters: bool,
    /// Whether they may stand in the query's place.
    is_alone: bool,
}

/// Is told of a request as an upstream may read it, and of the rules that decide about that.
type Tell<'t, 'e> =
    &'t mut dyn for<'r, 'm> FnMut(&'r Reading<'_>, &'m [Match<'e, 'm>]) -> Result<(), Refusal>;

impl Engine {
    /// What was found doubtful when the policy was compiled.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// What the policy calls itself in metrics and logs.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether every request goes on as it came, whatever is decided.
    pub fn only_observes(&self) -> bool {
        self.is_observed
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
        self.authenticator.sources.headers.iter().any(|header| is_same_header(name, &header.name))
    }

    /// Whether a header of that name, in lower case and in whatever spelling, is one that this policy sets,
    /// removes or reads. No client has it in a request's trailers, which some upstreams take for headers.
    pub fn is_own_header(&self, name: &str) -> bool {
        let is_parameter = || self.query_names.named(name.as_bytes()).next().is_some();
        self.own_headers.iter().any(|header| is_same_header(header, name))
            || (self.upstream.headers.include(name) && is_parameter())
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
        let is_read = |name: &[u8]| self.reads_parameter(name);
        let reading = &self.reading(request, &is_read);
        let mut found = Found::default();
        let (verdict, step) = self.verdict(reading, &mut found);
        // Before the rule has decided, nobody looked for a credential.
        let is_cut = step != Step::Rule && !self.forward_credential;
        let effect = match verdict {
            Verdict::Hold(hold) => self.holding(hold, is_cut, reading, &found),
            _ if self.is_observed => Effect::Continue(Changes::default()),
            Verdict::Allow(_) => Effect::Continue(self.changes(reading, is_cut, &found)),
            Verdict::Deny(reason) => self.refusal(reason, reading, &found),
        };
        let response_headers = match self.response_headers.is_empty() || self.is_observed {
            true => Vec::new(),
            false => self.response_headers(reading, verdict, &found),
        };
        let decision = Decision { verdict, step, is_observed: self.is_observed, found };
        Outcome { decision, effect, response_headers }
    }

    /// What upstreams could read of a request, first what it says; all of it must be allowed. Nothing of one that
    /// cannot be read in any one way.
    pub fn readings<'e>(&'e self, request: &Request<'_>) -> Vec<ReadAs<'e>> {
        let is_read = |name: &[u8]| self.reads_parameter(name);
        let reading = &self.reading(request, &is_read);
        let mut told = Vec::new();
        let _ = self.with_matches(reading, |head, matches| {
            told.extend(matches.iter().map(|matched| matched.told(None)));
            let (own, query) = (reading.raw_query().len(), self.with_carried(reading));
            if query.len() > own {
                let (by, whole) = (Some(Deviation::Header), reading.with_query(&query, own));
                let ambiguous = Reason::AmbiguousQuery;
                let _ =
                    self.with_query(head, (&whole, None), matches, ambiguous, &mut |_, others| {
                        told.extend(others.iter().map(|other| other.told(by)));
                        Ok(())
                    });
            }
            if let (Some(sent), Body::Whole(body)) = (self.sent(reading), reading.body()) {
                let by = Some(Deviation::Body);
                let _ =
                    self.with_fields(&sent, head, (reading, body), matches, &mut |_, others| {
                        told.extend(others.iter().map(|other| other.told(by)));
                        Ok(())
                    });
            }
            Ok(())
        });
        told
    }

    /// Reads a request, whose parameters count that `is_read` names.
    fn reading<'r>(&self, request: &'r Request<'r>, is_read: IsRead<'r>) -> Reading<'r> {
        let reads_query =
            !self.query_names.is_empty() || !self.authenticator.sources.query.is_empty();
        Reading::new(request, if reads_query { Some(is_read) } else { None })
    }

    /// Whether a parameter of that name, decoded, decides something.
    fn reads_parameter(&self, name: &[u8]) -> bool {
        self.query_names.contains(name) || self.authenticator.sources.is_query_credential(name)
    }

    #[inline(never)]
    fn holding<'e>(
        &'e self,
        hold: Hold,
        is_cut: bool,
        reading: &Reading<'_>,
        found: &Found<'e>,
    ) -> Effect<'e> {
        let (stripped, ahead) = match self.is_observed {
            true => (Changes::default(), Changes::default()),
            false => (self.without_credentials(reading), self.changes(reading, is_cut, found)),
        };
        let ahead = Some(ahead).filter(|_| !hold.headers);
        Effect::Hold(Box::new(Holding { hold, stripped, ahead }))
    }

    #[inline(never)]
    fn refusal<'e>(
        &'e self,
        reason: Reason,
        reading: &Reading<'_>,
        found: &Found<'e>,
    ) -> Effect<'e> {
        let reply = self.wordings.reply(reading, found, reason);
        Effect::Reply(self.without_credentials(reading), Box::new(reply))
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
        self.with_matches(reading, |head, matches| {
            found.path = head.path.and_then(|path| path.rewritten.clone());
            let mut holder = None;
            let mut judged = self.admit(matches, &[], (reading, reading), &mut holder, found);
            if self.may_say_more(reading)
                && let Ok(decided) = judged
            {
                judged = self.judge_more(decided, head, matches, reading, &mut holder, found);
            }
            if let Some(Holder::Session(session)) = holder {
                found.session = Some(session);
            }
            judged
        })
    }

    /// Tells of what a request asks for, as its path, its method and its query say, and of the rules that decide about that.
    fn with_matches<'e, T>(
        &'e self,
        reading: &Reading<'_>,
        tell: impl FnOnce(Head<'_>, &[Match<'e, '_>]) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let path = self.path(reading)?;
        let host = self.host(reading)?;
        let other_methods = self.other_methods(reading);
        let head = Head {
            path: path.as_ref(),
            host: &host,
            method: reading.method,
            other_methods: &other_methods,
        };
        let matches = self.matches(head, reading)?;
        tell(head, &matches)
    }

    /// Whether an upstream may read more in a request than its path, its method and its query say.
    fn may_say_more(&self, reading: &Reading<'_>) -> bool {
        self.upstream != Readings::EXACT
            && (!self.query_names.is_empty() || reading.body() != Body::Whole(b""))
    }

    /// Whether that is allowed as well.
    #[inline(never)]
    fn judge_more<'e>(
        &'e self,
        mut decided: (Verdict, Step),
        head: Head<'_>,
        matches: &[Match<'e, '_>],
        reading: &Reading<'_>,
        holder: &mut Option<Holder<'e>>,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        found.admitted = matches.len();
        let (own, query) = (reading.raw_query().len(), self.with_carried(reading));
        if query.len() > own {
            let (whole, ambiguous) = (reading.with_query(&query, own), Reason::AmbiguousQuery);
            self.with_query(head, (&whole, None), matches, ambiguous, &mut |holds, others| {
                let readings = (reading, holds);
                decided = self.admit_others(decided, matches, others, readings, holder, found)?;
                Ok(())
            })?;
        }
        match self.sent(reading) {
            Some(sent) => self.judge_body(decided, &sent, head, matches, reading, holder, found),
            None => Ok(decided),
        }
    }

    /// Whether what each match asks for is allowed, by the values of the second of these requests. Who asks is
    /// found in the first, once, by a credential that counts on these rules and on those that decided before.
    fn admit<'e>(
        &'e self,
        matches: &[Match<'e, '_>],
        before: &[Match<'e, '_>],
        (asks, holds): (&Reading<'_>, &Reading<'_>),
        holder: &mut Option<Holder<'e>>,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        found.rule = matches.first().and_then(|matched| matched.rule);
        if matches.iter().all(Match::is_public) {
            return self.let_anybody(matches, Step::Rule, found);
        }
        if holder.is_none() || matches.iter().any(Match::is_limited) {
            if !self.authenticator.sources.query.is_empty() && asks.is_query_in_another_charset() {
                return Err(Reason::AmbiguousQuery.into());
            }
            match self.find_holder(matches, before, asks, found) {
                Err(Reason::MissingCredential)
                    if holder.is_none() && matches.iter().chain(before).all(Match::is_open) =>
                {
                    self.authenticator.refuse_misspelt(asks, found)?;
                    return self.let_anybody(matches, Step::Credential, found);
                }
                who => *holder = Some(who?),
            }
        }
        let who = holder.as_ref().ok_or(Reason::MissingCredential)?.who();
        Ok((self.authorizer.authorize(matches, before, (asks, holds), who, found)?, Step::Body))
    }

    /// Who asks, by a credential that counts on each of these rules.
    fn find_holder<'e>(
        &'e self,
        matches: &[Match<'e, '_>],
        before: &[Match<'e, '_>],
        reading: &Reading<'_>,
        found: &mut Found<'e>,
    ) -> Result<Holder<'e>, Reason> {
        let limits =
            matches.iter().chain(before).filter_map(|matched| matched.rule?.credentials.as_ref());
        self.authenticator.authenticate(reading, limits.map(|limit| &limit.sources), found)
    }

    /// What of a request's body an upstream may take for parameters or for a method, if it has one.
    fn sent(&self, reading: &Reading<'_>) -> Option<Sent> {
        if reading.body() == Body::Whole(b"") {
            return None;
        }
        let readings = &self.upstream;
        let kinds = Kinds::of(reading);
        let is = |form: bool, json: bool| (kinds.is_form() && form) || (kinds.is_json() && json);
        let has_methods = readings.may_override(reading.method)
            && is(readings.method_in_form, readings.method_in_json);
        let looks = self.rules.look_at_queries() || !self.conditions_read.is_empty();
        let include = |bodies: Bodies| looks && bodies.include(reading.method);
        let has_parameters = is(include(readings.form), include(readings.json))
            || (kinds.is_markup() && include(readings.markup));
        let is_alone = has_parameters
            && !matches!(reading.method, "GET" | "HEAD")
            && kinds.is_one_of(readings.alone);
        let sent = Sent { kinds, has_methods, has_parameters, is_alone };
        (has_methods || has_parameters).then_some(sent)
    }

    /// Whether what a body may ask for is allowed as well. One in which nothing could be refused is not waited
    /// for, and one that cannot be read is refused, unless all that it may lead to is only observed.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "all that is known of a request by then")]
    fn judge_body<'e>(
        &'e self,
        judged: (Verdict, Step),
        sent: &Sent,
        head: Head<'_>,
        matches: &[Match<'e, '_>],
        reading: &Reading<'_>,
        holder: &mut Option<Holder<'e>>,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        if !self.may_refuse(sent, head, matches, reading, holder.as_ref()) {
            return Ok(judged);
        }
        let mut held = judged;
        if judged.0 == Verdict::Allow(Access::Public) {
            // What its body may ask for is somebody's, so it goes on as that one's.
            let (rule, path, admitted) = (found.rule, found.path.take(), found.admitted);
            let mut finding = Found { rule, path, admitted, ..Found::default() };
            if let Ok(who) = self.find_holder(matches, &[], reading, &mut finding) {
                held = (Verdict::Allow(who.who().1), Step::Body);
                let may_refuse = self.may_refuse(sent, head, matches, reading, Some(&who));
                *holder = Some(who);
                *found = finding;
                if !may_refuse {
                    return Ok(held);
                }
            } else {
                found.path = finding.path;
            }
        }
        let (verdict, step) = held;
        let body = match (reading.body(), verdict) {
            (Body::Whole(body), _) => body,
            (Body::Unread, Verdict::Allow(access) | Verdict::Hold(Hold { access, .. }))
                if !reading.has("upgrade") && !reading.says_more_than(limits::BODY_BYTES) =>
            {
                let mut hold = Hold {
                    access,
                    headers: self.rules.hold_headers(),
                    max_bytes: limits::BODY_BYTES,
                };
                if let Verdict::Hold(first) = verdict {
                    hold.max_bytes = first.max_bytes.min(hold.max_bytes);
                }
                return Ok((Verdict::Hold(hold), step));
            }
            _ => return self.refuse_body(held, sent, head, reading, found),
        };
        let judged =
            self.with_fields(sent, head, (reading, body), matches, &mut |holds, others| {
                held = self.admit_others(held, matches, others, (reading, holds), holder, found)?;
                Ok(())
            });
        match judged {
            Err(Refusal { reason: Reason::AmbiguousBody, .. }) => {
                self.refuse_body(held, sent, head, reading, found)
            }
            judged => judged.map(|()| held),
        }
    }

    /// Refuses a body that cannot be read, unless all that it may lead to is only observed.
    fn refuse_body(
        &self,
        judged: (Verdict, Step),
        sent: &Sent,
        head: Head<'_>,
        reading: &Reading<'_>,
        found: &mut Found<'_>,
    ) -> Result<(Verdict, Step), Refusal> {
        let reason = Reason::AmbiguousBody;
        let is_observed = |matches: &[Match<'_, '_>]| {
            let (readings, found) = ((reading, reading), &mut Found::default());
            matches.iter().all(Match::is_observed)
                && self.find_holder(matches, &[], reading, found).is_ok_and(|holder| {
                    let who = holder.who();
                    self.authorizer.authorize(matches, &[], readings, who, found).is_ok()
                })
        };
        let is_let_in = self.conditions_read.is_empty()
            && self.ask_of_possible(sent, head, reading, &is_observed).unwrap_or(false);
        if !is_let_in {
            return Err(reason.into());
        }
        found.observed.get_or_insert(reason);
        Ok(judged)
    }

    /// Asks of what a body may lead to, whatever it holds; `None` if that cannot be told.
    fn ask_of_possible(
        &self,
        sent: &Sent,
        head: Head<'_>,
        reading: &Reading<'_>,
        ask: &dyn Fn(&[Match<'_, '_>]) -> bool,
    ) -> Option<bool> {
        let mut methods = head.other_methods.to_vec();
        if sent.has_methods {
            let is_asked = |asked: &str| {
                asked == head.method || head.other_methods.iter().any(|method| method == asked)
            };
            let others = self.asked_methods.iter().filter(|method| !is_asked(method));
            methods.extend(others.map(|method| String::from(&**method)));
        }
        let head = Head { other_methods: &methods, ..head };
        let mut facts = self.facts(head, reading).ok()?;
        facts.is_any_query = sent.has_parameters;
        Some(ask(&self.matches_of(head, &facts).ok()?))
    }

    /// Whether what other readings ask for is allowed as well. What is public as it stands goes on as theirs whose
    /// key allows the others.
    fn admit_others<'e>(
        &'e self,
        judged: (Verdict, Step),
        matches: &[Match<'e, '_>],
        others: &[Match<'e, '_>],
        readings: (&Reading<'_>, &Reading<'_>),
        holder: &mut Option<Holder<'e>>,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        if others.is_empty() {
            return Ok(judged);
        }
        let admitted = self.admit(others, matches, readings, holder, found)?;
        found.admitted = found.admitted.saturating_add(others.len());
        found.rule = matches.first().and_then(|matched| matched.rule);
        let takes_other = judged.0 == Verdict::Allow(Access::Public)
            || matches!(admitted.0, Verdict::Hold(_)) && !matches!(judged.0, Verdict::Hold(_));
        Ok(if takes_other { admitted } else { judged })
    }

    /// The query, and behind it the headers and cookies that an upstream may take for parameters of it.
    fn with_carried(&self, reading: &Reading<'_>) -> Vec<u8> {
        let mut query = reading.raw_query().to_vec();
        if self.query_names.is_empty() {
            return query;
        }
        let mut add = |name: &[u8], value: &[u8]| {
            for own in self.query_names.named(name) {
                form::add(&mut query, own, value);
            }
        };
        let headers = reading.headers().iter();
        let headers = headers.filter(|(name, _)| self.upstream.headers.include(name));
        headers.for_each(|(name, value)| add(name.as_bytes(), value));
        if self.upstream.cookies {
            for cookie in reading.cookies() {
                let mut sides = cookie.splitn(2, |byte| *byte == b'=');
                let (name, value) = (sides.next().unwrap_or_default(), sides.next());
                let value = value.unwrap_or_default();
                let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                for value in [Some(value), unquoted].into_iter().flatten() {
                    add(&query::decode(name), value);
                    if value.contains(&b'%') || value.contains(&b'+') {
                        add(&query::decode(name), &query::decode(value));
                    }
                }
            }
        }
        query
    }

    /// Tells of a request with the fields of its body, beside its query and in the place of that, and of the rules that
    /// decide about each and were not asked before. What is GraphQL has been judged as that.
    fn with_fields<'e>(
        &'e self,
        sent: &Sent,
        head: Head<'_>,
        (reading, body): (&Reading<'_>, &[u8]),
        judged: &[Match<'e, '_>],
        tell: Tell<'_, 'e>,
    ) -> Result<(), Refusal> {
        let may_be_read = |name: &[u8]| self.query_names.may_be(name) || method::is_parameter(name);
        let may_stand_in = |body: &[u8]| self.query_names.may_stand_in(body);
        let fields = sent.kinds.query(reading, body, &may_be_read, &may_stand_in);
        let fields = fields.map_err(|AmbiguousBody| Reason::AmbiguousBody)?;
        let mut methods = head.other_methods.to_vec();
        if sent.has_methods {
            let mut others = method::Others::default();
            others.add_parameters(reading.method, &fields);
            methods.extend(others.into_methods());
        }
        let own = reading.raw_query();
        let mut query = self.with_carried(reading);
        if sent.has_parameters {
            query.push(b'&');
            query.extend_from_slice(&fields);
        }
        let whole = reading.with_query(&query, own.len());
        let sure = if self.upstream.is_always_alone { fields.len() } else { 0 };
        let alone = reading.with_query(&fields, sure);
        let ambiguous = Reason::AmbiguousBody;
        let head = Head { other_methods: &methods, ..head };
        self.with_query(head, (&whole, None), judged, ambiguous, tell)?;
        // Conditions and scopes take what the query says all the same: a body need not say it again.
        match sent.is_alone && !own.is_empty() {
            true => self.with_query(head, (&whole, Some(&alone)), judged, ambiguous, tell),
            false => Ok(()),
        }
    }

    /// The same of a request with another query, or of one in whose place something stands, by which rules are found.
    fn with_query<'e>(
        &'e self,
        head: Head<'_>,
        (whole, alone): (&Reading<'_>, Option<&Reading<'_>>),
        judged: &[Match<'e, '_>],
        ambiguous: Reason,
        tell: Tell<'_, 'e>,
    ) -> Result<(), Refusal> {
        let matches = match alone {
            Some(alone) => self.matches(head, alone),
            None => self.matches(head, whole),
        };
        let mut matches = matches.map_err(|_| ambiguous)?;
        // The policy's own conditions are asked of every reading.
        matches.retain(|other| {
            let is_done = self.conditions_read.is_empty()
                && !other.rule.is_some_and(Rule::reads_query)
                && judged.iter().any(|matched| matched.is_same(other));
            let is_led_to = alone.is_none()
                || self.upstream.is_always_alone
                || other.rule.is_some_and(|rule| !rule.query.is_empty());
            is_led_to && !is_done
        });
        tell(whole, &matches)
    }

    /// Whether anything that a body may hold could be refused.
    fn may_refuse(
        &self,
        sent: &Sent,
        head: Head<'_>,
        judged: &[Match<'_, '_>],
        reading: &Reading<'_>,
        holder: Option<&Holder<'_>>,
    ) -> bool {
        let may_refuse =
            |matches: &[Match<'_, '_>]| self.may_refuse_any(sent, matches, judged, reading, holder);
        self.ask_of_possible(sent, head, reading, &may_refuse).unwrap_or(true)
    }

    fn may_refuse_any(
        &self,
        sent: &Sent,
        matches: &[Match<'_, '_>],
        judged: &[Match<'_, '_>],
        reading: &Reading<'_>,
        holder: Option<&Holder<'_>>,
    ) -> bool {
        let reads_query = |matched: &Match<'_, '_>| matched.rule.is_some_and(Rule::reads_query);
        let reads_query = sent.has_parameters
            && (!self.conditions_read.is_empty() || matches.iter().any(reads_query));
        let is_limited = matches.iter().any(Match::is_limited);
        let Some(holder) = holder else {
            // Where only a body leads to more than is public, nobody has looked for a credential.
            let presents = || {
                let found = &mut Found::default();
                let is_missing = self.find_holder(matches, &[], reading, found).err()
                    == Some(Reason::MissingCredential);
                !is_missing || self.authenticator.refuse_misspelt(reading, found).is_err()
            };
            return is_limited
                || !matches.iter().all(Match::is_open)
                || (!matches.iter().all(Match::is_public) && presents());
        };
        let counts = || {
            !is_limited || self.find_holder(matches, &[], reading, &mut Found::default()).is_ok()
        };
        if reads_query || !counts() {
            return true;
        }
        let (readings, found) = ((reading, reading), &mut Found::default());
        match self.authorizer.authorize(matches, &[], readings, holder.who(), found) {
            Err(_) => true,
            // A body that leads to GraphQL which nobody has judged.
            Ok(Verdict::Hold(_)) => {
                matches.iter().any(|other| other.is_graphql() && !other.is_decided(judged))
            }
            Ok(_) => false,
        }
    }

    /// Lets a request through, whoever asks, at a step that asks for nothing more. Of each method only if the
    /// policy or its rule knows it.
    fn let_anybody<'e>(
        &'e self,
        matches: &[Match<'e, '_>],
        step: Step,
        found: &mut Found<'e>,
    ) -> Result<(Verdict, Step), Refusal> {
        let mut places = matches.iter().enumerate();
        let Some((place, unknown)) = places.find(|(_, matched)| !self.authorizer.knows(matched))
        else {
            return Ok((Verdict::Allow(Access::Public), step));
        };
        found.refuse_reading(place);
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
        if reading.method == "OPTIONS" { self.preflight_by_options(reading) } else { None }
    }

    #[inline(never)]
    fn preflight_by_options(&self, reading: &Reading<'_>) -> Option<Verdict> {
        let may_be_one = self.preflight == RawPreflight::Allow
            && reading.has("origin")
            && reading.has("access-control-request-method")
            && (self.method_override == RawMethodOverride::Remove
                || !reading.has_method_override())
            && self.other_methods(reading).is_empty();
        let access = Access::Preflight;
        match reading.body() {
            _ if !may_be_one => None,
            Body::Whole(b"") => Some(Verdict::Allow(access)),
            // What follows an upgrade is no body, and nothing tells that it has ended.
            Body::Unread if reading.has("upgrade") => None,
            Body::Unread if reading.says_nothing_follows() => Some(Verdict::Allow(access)),
            Body::Unread if !reading.says_more_than(0) => {
                let headers = self.rules.hold_headers();
                Some(Verdict::Hold(Hold { access, headers, max_bytes: 0 }))
            }
            Body::TooLarge | Body::Unread | Body::Whole(_) => None,
        }
    }

    /// The path, if a rule looks at it: what an upstream could read in two ways must be allowed both ways, or
    /// is refused.
    fn path<'r>(&self, reading: &Reading<'r>) -> Result<Option<Path<'r>>, Reason> {
        let Some(path) = reading.path().filter(|_| self.rules.look_at_paths()) else {
            return Ok(None);
        };
        let read = || -> Result<Path<'r>, MalformedPath> {
            let mut path = Path::parse(path, self.normalization, self.encoded_slashes)?;
            path.read_last(self.upstream)?;
            self.rules.read_letters(&mut path)?;
            Ok(path)
        };
        read().map(Some).map_err(|MalformedPath| Reason::MalformedPath)
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
        if self.query_names.is_empty() {
            return Ok(Vec::new());
        }
        let ambiguous = match reading.is_query_in_another_charset() {
            true => vec![true; self.query_names.len()],
            false => self.query_names.ambiguous(reading.query()),
        };
        let mut read = self.conditions_read.iter();
        if read.any(|name| ambiguous.get(*name).is_none_or(|flag| *flag)) {
            return Err(Reason::AmbiguousQuery);
        }
        Ok(ambiguous)
    }

    /// The methods beside its own by which an upstream could treat a request.
    fn other_methods(&self, reading: &Reading<'_>) -> Vec<String> {
        let by_header =
            self.method_override == RawMethodOverride::Authorize && reading.has_method_override();
        let by_query = self.upstream.method_in_query
            && !reading.raw_query().is_empty()
            && self.upstream.may_override(reading.method);
        match by_header || by_query {
            true => Engine::methods_asked_for(reading, by_header, by_query),
            false => Vec::new(),
        }
    }

    #[cold]
    fn methods_asked_for(reading: &Reading<'_>, by_header: bool, by_query: bool) -> Vec<String> {
        let mut others = method::Others::default();
        if by_header {
            others.add_headers(reading.method, reading.headers());
        }
        if by_query {
            others.add_parameters(reading.method, reading.raw_query());
        }
        others.into_methods()
    }

    /// The rules that decide: at least one for each reading of the path and each method.
    fn matches<'e, 'm>(
        &'e self,
        head: Head<'m>,
        reading: &Reading<'_>,
    ) -> Result<Vec<Match<'e, 'm>>, Reason> {
        self.matches_of(head, &self.facts(head, reading)?)
    }

    fn facts<'f, 'r>(
        &self,
        head: Head<'f>,
        reading: &'f Reading<'r>,
    ) -> Result<Facts<'f, 'r>, Reason> {
        let ambiguous = self.ambiguous_parameters(reading)?;
        Ok(Facts {
            host: head.host,
            reading,
            ambiguous,
            is_any_query: false,
            fits: RefCell::default(),
        })
    }

    fn matches_of<'e, 'm>(
        &'e self,
        head: Head<'m>,
        facts: &Facts<'_, '_>,
    ) -> Result<Vec<Match<'e, 'm>>, Reason> {
        let mut matches = Vec::with_capacity(1);
        let segments = head.path.map(|path| path.segments.as_slice());
        let own = Match { method: head.method, segments, compared: segments, rule: None, by: None };
        self.match_methods(&own, head.other_methods, facts, &mut matches)?;
        let Some(path) = head.path else { return Ok(matches) };
        for other in &path.others {
            let (segments, compared) = (Some(&*other.segments), Some(other.compared()));
            let other = Match { segments, compared, by: Some(other.by), ..own };
            self.match_methods(&other, head.other_methods, facts, &mut matches)?;
        }
        let takes_slashes = || matches.iter().all(Match::takes_slashes);
        if matches.len() > limits::MATCHES || (path.has_slashes && !takes_slashes()) {
            return Err(Reason::MalformedPath);
        }
        Ok(matches)
    }

    /// Adds the rules for one reading of the path, by each method.
    fn match_methods<'e, 'm>(
        &'e self,
        own: &Match<'e, 'm>,
        other_methods: &'m [String],
        facts: &Facts<'_, '_>,
        matches: &mut Vec<Match<'e, 'm>>,
    ) -> Result<(), Reason> {
        // A rule that lists HEAD means what it says of it.
        let mut lists_head = self.match_method(own, facts, matches)?;
        for method in other_methods {
            let by = own.by.or(Some(Deviation::Method));
            lists_head &= self.match_method(&Match { method, by, ..*own }, facts, matches)?;
        }
        let asks = |asked: &str| {
            own.method == asked || other_methods.iter().any(|method| *method == asked)
        };
        if self.upstream.head_as_get && !lists_head && asks("HEAD") && !asks("GET") {
            let by = own.by.or(Some(Deviation::Head));
            self.match_method(&Match { method: "GET", by, ..*own }, facts, matches)?;
        }
        Ok(())
    }

    /// Adds the rules for one reading. Whether it is none of HEAD, or each rule lists that.
    fn match_method<'e, 'm>(
        &'e self,
        reading: &Match<'e, 'm>,
        facts: &Facts<'_, '_>,
        matches: &mut Vec<Match<'e, 'm>>,
    ) -> Result<bool, Reason> {
        let method = reading.method;
        let mut lists_head = true;
        let note = |rule: Option<&'e Rule>| {
            lists_head &= method != "HEAD" || rule.is_some_and(|rule| rule.lists(method));
            let matched = Match { rule, ..*reading };
            if !matched.is_idle(matches) {
                matches.push(matched);
            }
        };
        let found = self.rules.find(facts, reading.compared, method, note);
        found.map_err(|AmbiguousQuery| Reason::AmbiguousQuery)?;
        Ok(lists_head)
    }

    /// How a request that goes on is changed. Its credential is cut out of it, or goes with it.
    fn changes<'e>(
        &'e self,
        reading: &Reading<'_>,
        is_cut: bool,
        found: &Found<'e>,
    ) -> Changes<'e> {
        let set = Vec::with_capacity(self.upstream_headers.len());
        let mut changes = Changes { set, ..Changes::default() };
        for name in reading.names() {
            if self.forged_lengths.include(name)
                && let Some(header) = self.forged(name)
            {
                changes.remove.push(spelt(header, name));
            }
        }
        let is_own = |name: &str| self.is_own_header(name);
        if reading.has("connection") {
            let kept = connection::without(reading.values("connection"), is_own);
            changes.replace("connection", kept);
        }
        let mut query = None;
        if is_cut {
            let sources = &self.authenticator.sources;
            changes.remove.extend(sources.headers_to_remove(reading).map(Cow::Borrowed));
            if sources.are_parts() {
                query = self.cut_parts(reading, &mut changes);
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

    /// Cuts credentials out of headers that hold more than those, and gives the query without them if it had any.
    #[inline(never)]
    fn cut_parts(&self, reading: &Reading<'_>, changes: &mut Changes<'_>) -> Option<Vec<u8>> {
        let sources = &self.authenticator.sources;
        changes.replace("cookie", sources.cookies_without(reading));
        changes.replace(WEBSOCKET_PROTOCOL, sources.protocols_without(reading));
        for (name, url) in sources.urls_without_any_like_ours(reading) {
            if !changes.remove.iter().any(|removed| *removed == name) {
                changes.set.push((Cow::Owned(name.to_owned()), Cow::Owned(url)));
            }
        }
        sources.query_without(reading)
    }

    /// How all that may be a credential, in whatever spelling, is taken out of a request that goes no
    /// further, `forward_credential` or not.
    fn without_credentials<'e>(&'e self, reading: &Reading<'_>) -> Changes<'e> {
        let sources = &self.authenticator.sources;
        let mut changes = Changes::default();
        changes
            .remove
            .extend(sources.headers_like_ours(reading).map(|(header, name)| spelt(header, name)));
        if !sources.are_parts() {
            return changes;
        }
        changes.replace("cookie", sources.cookies_without_any_like_ours(reading));
        for (name, text) in sources.texts_without_any_like_ours(reading) {
            if !changes.remove.iter().any(|removed| *removed == name) {
                changes.set.push((Cow::Owned(name.to_owned()), Cow::Owned(text)));
            }
        }
        changes.path = sources.target_without_any_like_ours(reading);
        changes
    }

    /// The headers that the response to a request must carry.
    #[inline(never)]
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
    #[inline(never)]
    fn forged(&self, name: &str) -> Option<&str> {
        let is_same = |header: &str| is_same_header(header, name);
        let upstream = self.upstream_headers.iter().find(|(header, _)| is_same(header));
        if let Some((header, _)) = upstream {
            return Some(header);
        }
        if let Some(header) = self.target_headers.iter().find(|header| is_same(header.0)) {
            return Some(header.0);
        }
        match self.method_override {
            RawMethodOverride::Remove => {
                method::OVERRIDES.into_iter().find(|header| is_same(header))
            }
            RawMethodOverride::Authorize | RawMethodOverride::Ignore => None,
        }
    }
}

impl Changes<'_> {
    /// Leaves of a header what was kept, where something was taken out of it, and not all of it is.
    fn replace(&mut self, name: &'static str, kept: Option<Vec<u8>>) {
        match kept.filter(|_| !self.remove.iter().any(|removed| *removed == name)) {
            Some(kept) if kept.is_empty() => self.remove.push(Cow::Borrowed(name)),
            Some(kept) => self.set.push((Cow::Borrowed(name), Cow::Owned(kept))),
            None => {}
        }
    }
}

/// A header's name as the request spells it, borrowed from the policy where that spells it so, too.
fn spelt<'e>(header: &'e str, name: &str) -> Cow<'e, str> {
    if header == name { Cow::Borrowed(header) } else { Cow::Owned(name.to_owned()) }
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
        match variable {
            Variable::KeyScopes => return self.scopes().map(Cow::Owned),
            Variable::RuleName => return self.rule.map(|rule| Cow::Borrowed(rule.name())),
            _ => {}
        }
        if let Some(session) = &self.session {
            let word = match variable {
                Variable::KeyAccount => session.account(),
                Variable::KeyId => Some(session.id()),
                _ => None,
            };
            return word.map(|word| Cow::Owned(word.to_owned()));
        }
        let key = self.key?;
        let word = match variable {
            Variable::KeyAccount => key.account(),
            Variable::KeyAttribute(name) => key.attribute(name),
            Variable::KeyId => Some(key.id()),
            Variable::KeyName => key.name(),
            Variable::KeyType => key.key_type(),
            _ => None,
        };
        word.map(Cow::Borrowed)
    }
}

impl Found<'_> {
    /// The scopes of who asks, with spaces between; none if there are none.
    fn scopes(&self) -> Option<String> {
        let of_key = self.key.iter().flat_map(|key| key.granted());
        let scopes = self.session.iter().flat_map(|session| session.scopes()).chain(of_key);
        let scopes: Vec<&str> = scopes.map(Scope::as_str).collect();
        Some(scopes.join(" ")).filter(|text| !text.is_empty())
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
