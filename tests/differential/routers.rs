//! Generated requests through Envoy with the filter to real routers, each with the same routes: no handler may run that
//! the policy forbids, and what ordinary clients send must come through.
//!
//! A handler answers 200, and where there is none 404, with JSON that tells what the framework understood:
//!
//! - `handler`: `root`, `health`, `docs.get`, `docs.create`, `docs.update`, `docs.delete`, `admin`, `search`, `orgs`,
//!   `public.get`, `public.delete`, `typed`, or `none`; `trpc`, with the procedures that `ran`, is tRPC's alone
//! - `method`: the one in force, after the framework's own middleware for overrides, or the one that is usual for it,
//!   switched on in all the ways that its documentation shows
//! - `params`: those of the path
//! - `hydrate`: the values of that parameter in every way in which the framework's handlers read parameters, those that
//!   take them from other places than the query too; null if there is none. What a handler must ask for by the
//!   body's name, as Express's `request.body`, is not among them
//! - `types`: the same of `type[]`, or of `type` where the framework reads brackets as a list; null from proxies, which
//!   read no lists
//! - `type`, `account`, `key`, `connection`: the headers `x-type`, `x-account-id`, `x-key-id` and `connection`
//! - `credentials`: what stands where the policy's credentials may
//! - whatever else has come, so that no token is in there unseen

mod clients;
mod front;
mod policy;
mod readings;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use serde_json::Value;

use crate::round::{self, Random};
use crate::server::Server;

use front::{Answer, Front};
use requests::Attempt;

/// The servers, each with its framework's name in a policy; `cautious` where it has none. Of those the protocols that they
/// speak, HTTP/1 but for these, see [`front::SPEAKS_HTTP2`].
pub(crate) const SERVERS: [(&str, &str); 41] = [
    ("actix", "actix"),
    ("aiohttp", CAUTIOUS),
    ("axum", "axum"),
    ("chi", "chi"),
    ("django-asgi", "django"),
    ("django-uvicorn", "django"),
    ("django-wsgi", "django"),
    ("drf", "drf"),
    ("echo4", "echo"),
    ("echo5", "echo"),
    ("express4", "express"),
    ("express5", "express"),
    ("fastapi", "fastapi"),
    ("fastify4", "fastify"),
    ("fastify5", "fastify"),
    ("fiber2", "fiber"),
    ("fiber3", "fiber"),
    ("flask", "flask"),
    ("gin", "gin"),
    ("hapi", "hapi"),
    ("hertz", CAUTIOUS),
    ("hono", "hono"),
    ("httpd", CAUTIOUS),
    ("jersey", "jersey"),
    ("koa", "koa"),
    ("laravel", "laravel"),
    ("nestjs", "nestjs"),
    ("net-http", "go"),
    ("nginx", CAUTIOUS),
    ("php", "php"),
    ("php-lighttpd", "php"),
    ("php-nginx", "php"),
    ("rails", "rails"),
    ("sinatra", "sinatra"),
    ("spring-jetty", "spring"),
    ("spring-tomcat", "spring"),
    ("spring-undertow", "spring"),
    ("starlette", "fastapi"),
    ("symfony", "symfony"),
    ("trpc", "trpc"),
    ("webflux", "webflux"),
];

const CAUTIOUS: &str = "cautious";

/// Under which nothing is read otherwise: what runs there shows what the others are for.
const EXACT: &str = "exact";

/// Of suffixes [`CAUTIOUS`] knows the usual ones, and `_method` in JSON it leaves alone, so that no JSON is waited for where
/// no rule reads the query. Nor does it take a path for a shorter one, as most would be. Who needs more names the framework.
const BEYOND_CAUTIOUS: [&str; 4] =
    ["suffix", "`_method` in JSON", "the rest of a path", "a shorter path"];

/// How many failures of a server are shown.
const SHOWN: usize = 5;

/// One in so many requests is sent past each policy even if nothing ran under [`EXACT`] that is forbidden.
const CHECKED: usize = 8;

#[test]
#[ignore = "run by make differential"]
fn routers_run_what_is_allowed_and_nothing_else() {
    let names: Vec<&str> = SERVERS.iter().map(|(name, _)| *name).collect();
    let servers = round::servers(&names);
    let servers: Vec<(Server, Vec<&str>)> = servers
        .into_iter()
        .map(|server| {
            let (_, framework) = SERVERS.iter().find(|(name, _)| *name == server.name()).unwrap();
            let mut policies = vec![EXACT, CAUTIOUS, framework];
            policies.dedup();
            (server, policies)
        })
        .collect();
    let front = Front::start(&servers);
    let count = round::count(1000);
    let results: Vec<(Tally, Vec<String>)> = thread::scope(|scope| {
        let of_server = |(number, (server, policies)): (u64, &(Server, Vec<&'static str>))| {
            let (front, name, policies) = (&front, server.name().to_owned(), policies.clone());
            scope.spawn(move || run(front, &name, &policies[1..], number, count))
        };
        let threads: Vec<_> = (100..).zip(&servers).map(of_server).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut failures = Vec::new();
    for ((server, policies), (tally, own)) in servers.iter().zip(results) {
        println!("{}: {}", server.name(), tally.text());
        let framework = policies[policies.len() - 1];
        seen.entry(framework).or_default().extend(tally.otherwise.keys());
        failures.extend(own);
    }
    for (framework, seen) in seen {
        for told in readings::unseen(framework, |kind| seen.contains(kind)) {
            println!("not seen of {framework}: {told}");
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n\n"));
}

/// What came of the requests to one server.
#[derive(Debug, Default)]
struct Tally {
    ordinary: usize,
    generated: usize,
    refused: usize,
    ran: usize,
    /// What ran under [`EXACT`] alone, though it is forbidden, by the reading that made it run.
    otherwise: BTreeMap<&'static str, usize>,
    /// What ran under [`CAUTIOUS`] by what only a framework's name has: see [`BEYOND_CAUTIOUS`].
    beyond: usize,
}

impl Tally {
    fn text(&self) -> String {
        let Tally { ordinary, generated, refused, ran, otherwise, beyond } = self;
        let otherwise: String =
            otherwise.iter().map(|(kind, count)| format!(", {count} by {kind}")).collect();
        format!(
            "{ordinary} ordinary requests; {generated} generated, as they stand {refused} refused, {ran} ran{otherwise}; {beyond} under cautious by what only its name has"
        )
    }
}

/// Sends all requests to one server, past each of the policies, and tells what failed.
fn run(
    front: &Front,
    server: &str,
    policies: &[&'static str],
    number: u64,
    count: usize,
) -> (Tally, Vec<String>) {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for client in clients::requests() {
        for upstream in policies {
            tally.ordinary += 1;
            let answer = front.send(server, upstream, &client.attempt);
            failures.extend(client.failure(&format!("{server}, {upstream}"), &answer));
        }
    }
    let framework = policies[policies.len() - 1];
    if runs_for_head(front, server) {
        *tally.otherwise.entry(readings::HEAD).or_default() += 1;
        if framework != CAUTIOUS && !readings::runs_for_head(framework) {
            failures.push(format!("{server} runs for HEAD what it runs for GET"));
        }
    }
    let fails = |upstream: &str, attempt: &Attempt| {
        policy::violation(attempt, &front.send(server, upstream, attempt)).is_some()
    };
    let mut random = Random::new(number);
    for index in 0..count {
        let attempt = requests::attempt(&mut random);
        let answer = front.send(server, EXACT, &attempt);
        tally.generated += 1;
        match &answer {
            Answer::Refused(_) => tally.refused += 1,
            Answer::Ran { .. } => tally.ran += 1,
            Answer::Other(_) => {}
        }
        let is_read_otherwise = policy::violation(&attempt, &answer).is_some();
        if is_read_otherwise {
            let kind = readings::kinds(&attempt, |attempt| fails(EXACT, attempt)).next();
            *tally.otherwise.entry(kind.unwrap_or("several")).or_default() += 1;
        } else if index % CHECKED != 0 {
            continue;
        }
        for upstream in policies {
            if !fails(upstream, &attempt) {
                continue;
            }
            let is_beyond = || {
                let mut kinds = readings::kinds(&attempt, |attempt| fails(upstream, attempt));
                kinds.any(|kind| BEYOND_CAUTIOUS.contains(&kind))
            };
            if *upstream == CAUTIOUS && policies.len() > 1 && is_beyond() {
                tally.beyond += 1;
                continue;
            }
            let small = attempt.shrunk(|attempt| fails(upstream, attempt));
            let answer = front.send(server, upstream, &small);
            let violation = policy::violation(&small, &answer).unwrap_or_default();
            failures.push(format!(
                "{server}, {upstream}: {violation}\n  {}\n  {}",
                small.text(),
                answer.text()
            ));
        }
        if failures.len() >= SHOWN {
            break;
        }
    }
    (tally, failures)
}

/// Whether a server runs for HEAD what it has for GET alone. The status tells: no report comes.
fn runs_for_head(front: &Front, server: &str) -> bool {
    let mut clients = clients::requests().into_iter().map(|client| client.attempt);
    let head = clients.find(|attempt| attempt.request.method == "HEAD").unwrap();
    matches!(front.send(server, EXACT, &head), Answer::Other(Some(200)))
}

/// A member of a report that is a text.
fn text<'r>(report: &'r Value, name: &str) -> Option<&'r str> {
    report[name].as_str()
}
