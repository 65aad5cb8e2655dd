//! Whether a proxy is protected: each HTTP chain that sends requests on has Latchkey, and the guard behind it.
//!
//! A proxy is judged by its configuration, as Envoy dumps it. Measured on Envoy 1.40.0: of an extension that comes by
//! discovery the dump shows the configuration that was offered last, taken or not, under the version with which it came first;
//! the version that was taken last, and when, are statistics.

mod dump;
mod filter;
mod guard;
mod route;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use self::dump::{Dump, Listener, State, field, items, text};
use self::filter::{Filter, MODULE, forges_decision, hands_sessions_over, holds_latchkey};
use self::guard::{Guard, RBAC};
use self::route::Route;

pub(crate) use self::dump::dumps;
pub(crate) use self::filter::{OnFailure, Policy};

/// What there is to say of one proxy. The fields are those of `doctor --format json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The name under which it stands in a document of several dumps.
    pub(crate) proxy: Option<String>,
    pub(crate) protected: bool,
    pub(crate) policies: Vec<Policy>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) findings: Vec<Finding>,
}

/// A filter chain of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Chain {
    pub(crate) listener: String,
    /// Its name, or its number in the listener, or `default`; with ` (upgrade TYPE)` for the filters of an upgrade.
    pub(crate) chain: String,
    pub(crate) status: Status,
}

/// What becomes of requests in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It sends on nothing, or only what its filters have judged.
    Protected,
    /// Its routes redirect or answer by themselves, or it has none.
    AnswersItself,
    /// Probes and statistics of a mesh.
    Mesh,
    /// Requests that leave the workload.
    Outbound,
    /// It sends requests only to other listeners of this Envoy, which are judged themselves.
    PassesOn,
    /// It is not HTTP.
    Tcp,
    /// An internal listener, to which only chains that are protected send.
    Inner,
    /// There is an error in it.
    NotProtected,
}

/// One thing that is wrong, or doubtful, in a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// What kind of mistake it is; stable across releases.
    pub(crate) code: &'static str,
    pub(crate) listener: Option<String>,
    pub(crate) chain: Option<String>,
    /// The routes that are concerned; empty for all of them.
    pub(crate) routes: Vec<String>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

impl Finding {
    /// One that is about no listener.
    fn new(severity: Severity, code: &'static str, message: String, help: &'static str) -> Finding {
        let (listener, chain, routes) = (None, None, Vec::new());
        Finding { severity, code, listener, chain, routes, message, help }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The proxy is not protected, or does not do what it was told.
    Error,
    /// Something else will not work.
    Warning,
    /// Something to know.
    Note,
}

/// What Envoy's statistics say of an extension.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// The version that it took last; empty where it has none.
    pub(crate) version: String,
    /// When it took that, in Unix milliseconds.
    pub(crate) taken: Option<i64>,
}

/// Judges a proxy by a dump of its configuration, and by what its statistics say of the extension of a name, where they can
/// be asked.
///
/// # Errors
/// The dump does not tell of listeners, or the statistics cannot be read.
pub(crate) fn examine(
    proxy: Option<String>,
    dump: &Value,
    in_force: &dyn Fn(&str) -> Result<Option<InForce>>,
) -> Result<Report> {
    let dump = Dump::new(dump);
    ensure!(
        dump.has_listeners,
        "the dump does not tell of listeners: it must be of the whole configuration"
    );
    let mut examiner = Examiner::new(&dump, in_force);
    examiner.examine()?;
    Ok(examiner.report(proxy))
}

struct Examiner<'d, 'v> {
    dump: &'d Dump<'v>,
    in_force: &'d dyn Fn(&str) -> Result<Option<InForce>>,
    policies: Vec<Known<'v>>,
    chains: Vec<Chain>,
    findings: Vec<Finding>,
    /// Internal listeners to which requests come that nobody has judged.
    exposed: BTreeSet<&'v str>,
}

/// A policy that some filter has.
struct Known<'v> {
    /// What it was read from.
    config: &'v Value,
    policy: Policy,
    /// What is wrong with it, wherever it runs.
    faults: Vec<Fault>,
}

/// The filters of one way through a chain.
struct Way<'v> {
    chain: String,
    filters: Vec<Filter<'v>>,
    /// For each filter that is Latchkey the place of its policy.
    policies: Vec<Option<usize>>,
}

impl<'v> Way<'v> {
    /// The places of the filters that are Latchkey and not turned off for a route, each with the place of its policy.
    fn running(&self, route: &Route<'v>) -> impl Iterator<Item = (usize, usize)> {
        let latchkeys = self.filters.iter().zip(&self.policies).enumerate();
        latchkeys.filter_map(|(index, (filter, policy))| {
            filter.on_route(&route.layers).and_then(|_| Some((index, (*policy)?)))
        })
    }
}

/// A finding's severity, code, message and help, which are the same for all routes of a way.
type Fault = (Severity, &'static str, String, &'static str);

impl<'d, 'v> Examiner<'d, 'v> {
    fn new(
        dump: &'d Dump<'v>,
        in_force: &'d dyn Fn(&str) -> Result<Option<InForce>>,
    ) -> Examiner<'d, 'v> {
        let (policies, chains, findings) = (Vec::new(), Vec::new(), Vec::new());
        Examiner { dump, in_force, policies, chains, findings, exposed: BTreeSet::new() }
    }

    fn examine(&mut self) -> Result<()> {
        for listener in &self.dump.listeners {
            if let Some(refusal) = listener.refusal {
                let message = format!("Envoy refuses the newest of this listener: {refusal}");
                let help = "what was there before goes on serving, if anything was: correct what the control plane sends";
                self.add(Severity::Error, "update_refused", listener, None, message, help);
            }
        }
        // Internal listeners last: whether they matter depends on who sends to them.
        let (inner, outer): (Vec<Listener<'v>>, Vec<_>) =
            self.dump.listeners.iter().copied().partition(Listener::is_internal);
        for listener in &outer {
            self.listener(listener)?;
        }
        let mut judged = BTreeSet::new();
        while let Some(listener) = inner.iter().find(|listener| {
            self.exposed.contains(listener.name) && !judged.contains(listener.name)
        }) {
            judged.insert(listener.name);
            for listener in inner.iter().filter(|other| other.name == listener.name) {
                self.listener(listener)?;
            }
        }
        for listener in inner.iter().filter(|listener| !judged.contains(listener.name)) {
            for (chain, _) in listener.chains() {
                self.chain(listener, chain, Status::Inner);
            }
        }
        self.tell_of_nothing();
        Ok(())
    }

    /// A proxy without anything to protect is not what anybody wanted to hear of.
    fn tell_of_nothing(&mut self) {
        let is = |wanted: &[Status]| self.chains.iter().any(|chain| wanted.contains(&chain.status));
        if is(&[Status::Protected, Status::NotProtected]) {
            return;
        }
        let (code, message) = if is(&[Status::AnswersItself, Status::PassesOn, Status::Inner]) {
            ("no_route", "no HTTP chain has a route to an upstream")
        } else {
            ("no_http", "no listener takes HTTP")
        };
        let message = format!("{message}, so there is nothing that Latchkey protects");
        let help = "is this the proxy that clients reach, and does it have its configuration yet?";
        self.findings.push(Finding::new(Severity::Error, code, message, help));
    }

    fn listener(&mut self, listener: &Listener<'v>) -> Result<()> {
        let status = if self.dump.is_of_mesh(listener) {
            Some(Status::Mesh)
        } else if self.dump.is_outbound(listener) {
            Some(Status::Outbound)
        } else {
            None
        };
        for (name, chain) in listener.chains() {
            match status {
                Some(status) => self.chain(listener, name, status),
                None => self.filter_chain(listener, name, chain)?,
            }
        }
        Ok(())
    }

    fn filter_chain(
        &mut self,
        listener: &Listener<'v>,
        name: String,
        chain: &'v Value,
    ) -> Result<()> {
        let filters: Vec<Filter<'v>> =
            items(chain, "filters").iter().map(|filter| Filter::new(filter, self.dump)).collect();
        let manager = filters.iter().find(|filter| filter.kind.ends_with(".HttpConnectionManager"));
        let Some(manager) = manager.map(|filter| filter.config) else {
            for filter in &filters {
                let weighted = items(filter.config, "weighted_clusters.clusters").iter();
                let clusters = weighted.map(|cluster| text(cluster, "name"));
                for cluster in clusters.chain([text(filter.config, "cluster")]) {
                    self.exposed
                        .extend(self.dump.internal_listeners(cluster).into_iter().flatten());
                }
            }
            let message =
                "this chain is not HTTP: Latchkey does not judge what comes here".to_owned();
            let help = "nothing to do, unless HTTP was meant: then declare the port so";
            self.add(Severity::Note, "not_http", listener, Some(&name), message, help);
            self.chain(listener, name, Status::Tcp);
            return Ok(());
        };
        let configs = self.dump.route_configs(manager);
        let mut routes: Vec<Route<'v>> = Vec::new();
        for config in &configs {
            routes.extend(config.map(route::routes).into_iter().flatten());
            if config.is_none_or(|config| field(config, "vhds").is_some()) {
                let message =
                    "its routes are not all in the dump, so what they turn off or on is not known";
                let help = "ask again once Envoy has its routes";
                let code = "routes_unknown";
                self.add(Severity::Note, code, listener, Some(&name), message.to_owned(), help);
                let (label, layers) = (String::new(), Vec::new());
                routes.push(Route { label, layers, cluster: None, goes_on: true });
            }
        }
        routes.retain(|route| route.goes_on);
        if routes.is_empty() {
            self.chain(listener, name, Status::AnswersItself);
            return Ok(());
        }
        let forging = filters.iter().any(forges_decision);
        for (chain, filters) in self.ways(manager, &name) {
            let policies: Result<_> = filters.iter().map(|filter| self.policy(filter)).collect();
            let way = Way { chain, filters, policies: policies? };
            self.way(listener, &way, &routes, forging);
        }
        Ok(())
    }

    /// The filters of a connection manager, and those that it has for upgrades of their own.
    fn ways(&self, manager: &'v Value, chain: &str) -> Vec<(String, Vec<Filter<'v>>)> {
        let filters = |message, list: &str| {
            items(message, list).iter().map(|filter| Filter::new(filter, self.dump)).collect()
        };
        let mut ways = vec![(chain.to_owned(), filters(manager, "http_filters"))];
        for upgrade in items(manager, "upgrade_configs") {
            let filters: Vec<Filter<'v>> = filters(upgrade, "filters");
            if !filters.is_empty() {
                let chain = format!("{chain} (upgrade {})", text(upgrade, "upgrade_type"));
                ways.push((chain, filters));
            }
        }
        ways
    }

    fn way(&mut self, listener: &Listener<'v>, way: &Way<'v>, routes: &[Route<'v>], forging: bool) {
        let mut faults: BTreeMap<Fault, BTreeSet<&str>> = BTreeMap::new();
        let mut faulty = 0;
        for route in routes {
            let found = self.route(way, route);
            faulty += usize::from(found.iter().any(|fault| fault.0 == Severity::Error));
            for fault in found {
                faults.entry(fault).or_default().insert(&route.label);
            }
        }
        if forging || way.filters.iter().any(forges_decision) {
            let message = "a filter writes `wasm.latchkey` itself, so the guard cannot tell what Latchkey decided";
            let help = "take it out: Latchkey alone writes that filter state";
            faults.insert(
                (Severity::Error, "forged_decision", message.to_owned(), help),
                BTreeSet::new(),
            );
            faulty = routes.len();
        }
        let passes_on = faulty == routes.len() && self.passes_on(routes);
        if passes_on {
            faults.clear();
        }
        for route in routes {
            for fault in self.policy_faults(way, route) {
                faults.entry(fault.clone()).or_default().insert(&route.label);
            }
        }
        let status = match passes_on {
            _ if faults.keys().any(|fault| fault.0 == Severity::Error) => Status::NotProtected,
            true => Status::PassesOn,
            false => Status::Protected,
        };
        let all: BTreeSet<&str> = routes.iter().map(|route| &*route.label).collect();
        for ((severity, code, message, help), concerned) in faults {
            let routes = if concerned == all { BTreeSet::new() } else { concerned };
            self.findings.push(Finding {
                severity,
                code,
                listener: Some(label(listener)),
                chain: Some(way.chain.clone()),
                routes: routes.into_iter().map(str::to_owned).collect(),
                message,
                help,
            });
        }
        self.chain(listener, way.chain.clone(), status);
    }

    /// Whether all routes lead to internal listeners with HTTP chains of their own, which are judged then.
    fn passes_on(&mut self, routes: &[Route<'v>]) -> bool {
        let next = |route: &Route<'v>| self.dump.internal_listeners(route.cluster?);
        let Some(next) = routes.iter().map(next).collect::<Option<Vec<_>>>() else { return false };
        let next: BTreeSet<&str> = next.into_iter().flatten().collect();
        let has_http = |name: &str| {
            let named = self
                .dump
                .listeners
                .iter()
                .filter(|listener| listener.is_internal() && listener.name == name);
            named.flat_map(Listener::chains).any(|(_, chain)| {
                let mut filters = items(chain, "filters").iter();
                filters.any(|filter| {
                    Filter::new(filter, self.dump).kind.ends_with(".HttpConnectionManager")
                })
            })
        };
        let passes_on = next.iter().all(|name| has_http(name));
        if passes_on {
            self.exposed.extend(next);
        }
        passes_on
    }

    /// What is wrong with a way for the requests of a route.
    fn route(&self, way: &Way<'v>, route: &Route<'v>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add =
            |severity, code, message: String, help| faults.push((severity, code, message, help));
        let guards: Vec<Guard> =
            way.filters.iter().map(|filter| judge(filter, &route.layers)).collect();
        let running: Vec<usize> = way.running(route).map(|(index, _)| index).collect();
        let holding = guards.iter().enumerate().filter(|(_, guard)| **guard == Guard::Holds);
        let holding: Vec<usize> = holding.map(|(index, _)| index).collect();
        let (Some(&first), Some(&last)) = (running.first(), running.last()) else {
            let is_off = way.policies.iter().any(Option::is_some);
            let is_conditional = way.filters.iter().any(|filter| holds_latchkey(filter.config));
            let effect = if holding.is_empty() {
                "every request goes on, whoever sends it"
            } else {
                "the guard refuses every request"
            };
            let (code, what, help) = if is_off {
                (
                    "latchkey_off",
                    "Latchkey is turned off",
                    "turn it on in `typed_per_filter_config`, or let a rule of the policy say `access: public`",
                )
            } else if is_conditional {
                (
                    "latchkey_conditional",
                    "Latchkey runs only if another filter has it run",
                    "make it a filter of its own, for all requests",
                )
            } else {
                (
                    "no_latchkey",
                    "there is no Latchkey",
                    "add the filter, as `latchkey render` prints it; in a mesh, see whether its target is this proxy",
                )
            };
            add(Severity::Error, code, format!("{what}: {effect}"), help);
            return faults;
        };
        if !holding.iter().any(|index| *index > last) {
            let weak = guards.iter().skip(last + 1).find_map(|guard| match guard {
                Guard::Weak(why) => Some(*why),
                _ => None,
            });
            let is_off = way.filters.iter().skip(last + 1).any(|filter| {
                filter.kind == RBAC
                    && filter.on_route(&route.layers).is_none()
                    && guard::judge(filter.config) == Guard::Holds
            });
            let (code, message, help) = if !holding.is_empty() {
                (
                    "guard_before_latchkey",
                    "the guard comes before Latchkey, and refuses every request".to_owned(),
                    "put it right behind Latchkey",
                )
            } else if is_off {
                ("guard_off", format!("the guard is turned off: {UNGUARDED}"), GUARD_HELP)
            } else if let Some(why) = weak {
                ("weak_guard", format!("the guard does not hold, {why}: {UNGUARDED}"), GUARD_HELP)
            } else {
                ("no_guard", format!("there is no guard behind Latchkey: {UNGUARDED}"), GUARD_HELP)
            };
            add(Severity::Error, code, message, help);
        }
        self.neighbours(way, route, first, &mut faults);
        faults
    }

    /// What is wrong with what stands before and behind Latchkey.
    fn neighbours(&self, way: &Way<'v>, route: &Route<'v>, first: usize, faults: &mut Vec<Fault>) {
        let mut add = |severity, code, message: &str, help| {
            faults.push((severity, code, message.to_owned(), help))
        };
        let places = |kind: &str| {
            let filters = way.filters.iter().enumerate();
            let found = filters.filter(|(_, filter)| {
                filter.kind.contains(kind) && filter.on_route(&route.layers).is_some()
            });
            found.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let policy =
            way.policies.get(first).copied().flatten().and_then(|index| self.policies.get(index));
        let policy = policy.map(|known| &known.policy);
        if policy.is_some_and(|policy| policy.only_observes) {
            add(
                Severity::Error,
                "only_observed",
                "the policy only observes: every request goes on, whatever is decided",
                "leave `mode` out once the log shows no refusal that should not be",
            );
        } else if policy.is_some_and(|policy| policy.observes) {
            add(
                Severity::Warning,
                "rule_only_observed",
                "a rule of the policy only observes: any good key gets through there",
                "leave its `mode` out once the log shows no refusal that should not be",
            );
        }
        let tokens = places(".http.jwt_authn.");
        if policy.is_some_and(|policy| policy.has_sessions)
            && !tokens.iter().any(|index| *index < first)
        {
            if tokens.is_empty() {
                add(
                    Severity::Error,
                    "no_jwt_authn",
                    "the policy has `sessions`, and no jwt_authn verifies them: every session is answered with 401",
                    "put jwt_authn before Latchkey",
                );
            } else {
                add(
                    Severity::Error,
                    "jwt_authn_after_latchkey",
                    "the policy has `sessions`, and jwt_authn comes after Latchkey: every session is answered with 401",
                    "put jwt_authn before Latchkey; on Istio by the phase AUTHZ of the plugin",
                );
            }
        }
        let is_handed_over = || {
            let copies = way
                .filters
                .iter()
                .take(first)
                .skip_while(|filter| !filter.kind.contains(".http.jwt_authn."));
            copies
                .filter(|filter| filter.on_route(&route.layers).is_some())
                .any(hands_sessions_over)
        };
        let is_module = way.filters.get(first).is_some_and(|filter| filter.kind == MODULE);
        if is_module
            && policy.is_some_and(|policy| policy.has_sessions)
            && tokens.iter().any(|index| *index < first)
            && !is_handed_over()
        {
            add(
                Severity::Error,
                "sessions_not_handed_over",
                "the policy has `sessions`, and nothing hands them to the native module: every session is answered with 401",
                "put a set_filter_state filter between jwt_authn and Latchkey, as `render --to envoy --module` prints it",
            );
        }
        let cors = places(".http.cors.");
        let is_asked_for = cors
            .iter()
            .filter_map(|index| way.filters.get(*index))
            .any(|filter| route.layers.iter().any(|layer| layer.get(filter.name).is_some()));
        if is_asked_for && !cors.iter().any(|index| *index < first) {
            add(
                Severity::Warning,
                "cors_after_latchkey",
                "CORS comes after Latchkey: scripts in browsers cannot read a refusal",
                "put the CORS filter before Latchkey",
            );
        }
        if places(".http.cache").iter().any(|index| *index < first) {
            add(
                Severity::Error,
                "cache_before_latchkey",
                "a cache comes before Latchkey, and answers whoever asks",
                "put it behind the guard",
            );
        }
        if places(".http.health_check.").iter().any(|index| *index < first) {
            add(
                Severity::Note,
                "health_check_before_latchkey",
                "a health check comes before Latchkey, and answers its path to whoever asks",
                "nothing to do, if that is meant",
            );
        }
    }

    /// What is wrong with the policies that run for a route.
    fn policy_faults(&self, way: &Way<'v>, route: &Route<'v>) -> impl Iterator<Item = &Fault> {
        let policies = way.running(route).filter_map(|(_, policy)| self.policies.get(policy));
        policies.flat_map(|known| &known.faults)
    }

    /// The policy of a filter that is Latchkey, by its place in `policies`.
    fn policy(&mut self, filter: &Filter<'v>) -> Result<Option<usize>> {
        let is_of = |known: &Known<'v>| {
            std::ptr::eq(known.config, filter.config) && known.policy.filter == filter.name
        };
        if let Some(index) = self.policies.iter().position(is_of) {
            return Ok(Some(index));
        }
        let Some(latchkey) = filter.latchkey() else { return Ok(None) };
        let version = filter.discovered.map(|extension| extension.version);
        let mut policy = latchkey.policy(filter.name, version);
        let mut faults: Vec<Fault> = Vec::new();
        let mut add = |severity, code, message: &str, help| {
            faults.push((severity, code, format!("filter `{}`: {message}", filter.name), help));
        };
        if let Some(refusal) = filter.discovered.and_then(|extension| extension.refusal) {
            let message = format!("Envoy refuses the newest policy: {refusal}");
            add(Severity::Error, "update_refused", &message, REFUSED_HELP);
        }
        if let Some(message) = self.ask(&mut policy)? {
            add(Severity::Error, "update_refused", &message, REFUSED_HELP);
        }
        if !latchkey.is_here {
            let message = if filter.kind.is_empty() {
                "Envoy has not received it, and answers every request with 500"
            } else {
                "another filter stands in its place, as Istio arranges where it cannot get the module"
            };
            let help = "is the module there, and does it have the digest that was named? the log of the \
                        control plane or of Envoy says";
            add(Severity::Error, "not_delivered", message, help);
        } else if let Some(mistake) = &policy.mistake {
            let help = "render it from a policy that `latchkey check` accepts";
            add(Severity::Error, "no_policy", mistake, help);
        }
        match policy.on_failure {
            OnFailure::Close if latchkey.is_here => {
                let message =
                    "a worker in which it has crashed answers with 503 until the next policy";
                let help = "write `FAIL_RELOAD` where that can be written: Envoy itself, and Istio from 1.27";
                add(Severity::Note, "no_reload", message, help);
            }
            OnFailure::Open => {
                let message = "`FAIL_OPEN` lets every request through once it has crashed";
                let help = "say `failure_policy: FAIL_RELOAD`, `failStrategy: FAIL_CLOSE` on Istio, or `failOpen: false`";
                add(Severity::Error, "fail_open", message, help);
            }
            OnFailure::Close | OnFailure::Exit | OnFailure::Reload => {}
        }
        self.policies.push(Known { config: filter.config, policy, faults });
        Ok(Some(self.policies.len() - 1))
    }

    /// Asks the statistics which version of a policy is in force; what there is to say where it is not the one offered last.
    fn ask(&self, policy: &mut Policy) -> Result<Option<String>> {
        let Some(version) = &policy.version else { return Ok(None) };
        let Some(InForce { version: served, taken }) = (self.in_force)(&policy.filter)? else {
            return Ok(None);
        };
        // What is offered again unchanged is taken under its new version, and the dump keeps the old one: then
        // something was taken since this configuration came.
        let offered =
            self.dump.extensions.get(&*policy.filter).and_then(|extension| extension.offered);
        let taken_since = taken.zip(offered).is_some_and(|(taken, offered)| taken >= offered);
        let is_refused = served != *version && !taken_since;
        let message = is_refused.then(|| match &*served {
            "" => format!("Envoy refuses version {version} and answers every request with 500"),
            served => format!("Envoy refuses version {version} and goes on serving {served}"),
        });
        policy.version_in_force = Some(served).filter(|served| !served.is_empty());
        Ok(message)
    }

    fn report(self, proxy: Option<String>) -> Report {
        let Examiner { policies, chains, mut findings, .. } = self;
        let mut policies: Vec<Policy> = policies.into_iter().map(|known| known.policy).collect();
        // Envoy Gateway gives each chain its own copy of one filter.
        policies.dedup_by(|one, other| one.filter == other.filter && one.sha256 == other.sha256);
        findings.sort_by_key(|finding| finding.severity);
        let mut told = Vec::new();
        findings.retain(|finding| {
            let is_new = !told.contains(finding);
            if is_new {
                told.push(finding.clone());
            }
            is_new
        });
        let protected = !findings.iter().any(|finding| finding.severity == Severity::Error);
        Report { proxy, protected, policies, chains, findings }
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        listener: &Listener<'_>,
        chain: Option<&str>,
        message: String,
        help: &'static str,
    ) {
        let (listener, chain) = (Some(label(listener)), chain.map(str::to_owned));
        let finding = Finding::new(severity, code, message, help);
        self.findings.push(Finding { listener, chain, ..finding });
    }

    fn chain(&mut self, listener: &Listener<'_>, chain: String, status: Status) {
        self.chains.push(Chain { listener: label(listener), chain, status });
    }
}

const UNGUARDED: &str = "a worker in which Latchkey fails to start lets every request through";
const GUARD_HELP: &str = "put the guard behind Latchkey, as `latchkey render` prints it";
const REFUSED_HELP: &str = "Envoy's log says why, behind `update rejected`; once that is corrected, push or apply it again";

/// A listener's name, and its state unless it serves.
fn label(listener: &Listener<'_>) -> String {
    match listener.state {
        State::Warming => format!("{} (warming)", listener.label()),
        State::Active | State::Refused | State::Static => listener.label(),
    }
}

/// What a filter does about Latchkey's decision on a route, which may have rules of its own for it.
fn judge(filter: &Filter<'_>, layers: &[&Value]) -> Guard {
    if filter.kind != RBAC {
        return Guard::None;
    }
    match filter.on_route(layers) {
        None => Guard::None,
        Some(None) => guard::judge(filter.config),
        Some(Some((_, config))) => field(config, "rbac").map_or(Guard::None, guard::judge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What Envoy 1.40.0 told after Istio's pilot 1.31 had offered a plugin anew that it had not changed, and what of it
    /// differs where the plugin is refused.
    #[test]
    fn what_is_offered_again_is_not_refused() {
        let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}ConfigDump");
        let name =
            "extensions.istio.io/trafficextension/default.latchkey~istio-translated-wasmplugin";
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "route_config": {"virtual_hosts": [{"routes": [{"route": {"cluster": "a"}}]}]},
            "http_filters": [{"name": name, "config_discovery": {}}],
        });
        let listener = json!({"name": "virtualInbound", "filter_chains": [{"filters": [{"typed_config": manager}]}]});
        let plugin = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "default.latchkey~istio-translated-wasmplugin",
                "root_id": "latchkey",
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": "/latchkey.wasm"}}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{}"},
                "failure_policy": "FAIL_RELOAD",
            },
        });
        let dump = json!({"configs": [
            {"@type": kind("Ecds"), "ecds_filters": [{
                "version_info": "2026-11-26T22:47:34Z/3",
                "ecds_filter": {"name": name, "typed_config": plugin},
                "last_updated": "2026-11-26T22:47:34.978Z",
            }]},
            {"@type": kind("Listeners"), "dynamic_listeners": [{
                "name": "virtualInbound", "active_state": {"listener": listener},
            }]},
        ]});
        let is_refused = |version: &str, taken: Option<i64>| {
            let ask = |_: &str| Ok(Some(InForce { version: version.to_owned(), taken }));
            let report = examine(None, &dump, &ask).unwrap();
            report.findings.iter().any(|finding| finding.code == "update_refused")
        };
        assert!(!is_refused("2026-11-26T22:47:34Z/3", Some(1_795_733_254_995)));
        assert!(!is_refused("2026-11-26T22:47:38Z/4", Some(1_795_733_258_072)));
        assert!(is_refused("2026-11-26T22:47:30Z/2", Some(1_795_733_250_490)));
        assert!(is_refused("2026-11-26T22:47:30Z/2", None));
    }
}
