//! Generated requests through Envoy with the filter to real routers, each with the same routes: no handler may run that
//! the policy forbids, and what ordinary clients send must come through.
//!
//! A handler answers 200, and where there is none 404, with JSON that tells what the framework understood:
//!
//! - `handler`: `root`, `health`, `docs.get`, `docs.create`, `docs.update`, `docs.delete`, `admin`, `search`, `orgs`,
//!   `public.get`, `public.delete`, `typed`, or `none`
//! - `method`: the one in force, after the middleware for overrides that is usual for the framework
//! - `params`: those of the path
//! - `hydrate`: the values of that parameter of the query, null if there is none; `types`: those of `type[]`, or of
//!   `type` where the framework reads brackets as a list; null from proxies, which read no lists
//! - `type`, `account`, `key`, `connection`: the headers `x-type`, `x-account-id`, `x-key-id` and `connection`
//! - `credentials`: what stands where the policy's credentials may
//! - whatever else has come, so that no token is in there unseen

mod clients;
mod front;
mod known;
mod policy;
mod requests;

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;

use crate::round::{self, Random};
use crate::server::Server;

use front::{Answer, Front};
use requests::Attempt;

/// The servers. Of those the protocols that they speak, HTTP/1 but for these, see [`front::SPEAKS_HTTP2`].
const SERVERS: [&str; 17] = [
    "aiohttp",
    "django-asgi",
    "django-uvicorn",
    "django-wsgi",
    "express4",
    "express5",
    "fastify4",
    "fastify5",
    "flask",
    "httpd",
    "net-http",
    "nginx",
    "php",
    "php-lighttpd",
    "php-nginx",
    "spring-tomcat",
    "starlette",
];

/// How many failures of a server are shown.
const SHOWN: usize = 5;

#[test]
#[ignore = "run by make differential"]
fn routers_run_what_is_allowed_and_nothing_else() {
    let servers = round::servers(&SERVERS);
    let front = Front::start(&servers);
    let count = round::count(1000);
    let results: Vec<Result<Tally, Vec<String>>> = thread::scope(|scope| {
        let of_server = |(number, server)| {
            let front = &front;
            scope.spawn(move || run(front, server, number, count))
        };
        let threads: Vec<_> = (100..).zip(&servers).map(of_server).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut failures = Vec::new();
    for (server, result) in servers.iter().zip(results) {
        match result {
            Ok(tally) => println!("{}: {}", server.name(), tally.text()),
            Err(own) => failures.extend(own),
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
    known: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn text(&self) -> String {
        let Tally { ordinary, generated, refused, ran, known } = self;
        let known: String =
            known.iter().map(|(kind, count)| format!(", {count} known: {kind}")).collect();
        format!(
            "{ordinary} ordinary requests; {generated} generated, {refused} refused, {ran} ran{known}"
        )
    }
}

/// Sends all requests to one server.
fn run(front: &Front, server: &Server, number: u64, count: usize) -> Result<Tally, Vec<String>> {
    let mut tally = Tally::default();
    let mut failures: Vec<String> = clients::requests()
        .iter()
        .filter_map(|client| {
            tally.ordinary += 1;
            client.failure(server.name(), &front.send(server.name(), &client.attempt))
        })
        .collect();
    let mut random = Random::new(number);
    for _ in 0..count {
        let attempt = requests::attempt(&mut random);
        let answer = front.send(server.name(), &attempt);
        tally.generated += 1;
        match &answer {
            Answer::Refused(_) => tally.refused += 1,
            Answer::Ran { .. } => tally.ran += 1,
            Answer::Other(_) => {}
        }
        if policy::violation(&attempt, &answer).is_none() {
            continue;
        }
        let fails = |attempt: &Attempt| {
            policy::violation(attempt, &front.send(server.name(), attempt)).is_some()
        };
        if let Some(kind) = known::kind(server.name(), &attempt, fails) {
            *tally.known.entry(kind).or_default() += 1;
            continue;
        }
        let small = attempt.shrunk(fails);
        let answer = front.send(server.name(), &small);
        let violation = policy::violation(&small, &answer).unwrap_or_default();
        let name = server.name();
        failures.push(format!("{name}: {violation}\n  {}\n  {}", small.text(), answer.text()));
        if failures.len() >= SHOWN {
            break;
        }
    }
    if failures.is_empty() { Ok(tally) } else { Err(failures) }
}

/// A member of a report that is a text.
fn text<'r>(report: &'r Value, name: &str) -> Option<&'r str> {
    report[name].as_str()
}
