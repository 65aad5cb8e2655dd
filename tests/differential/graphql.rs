//! GraphQL documents and requests that the policy allows, on real servers: none may run a field that it forbids.
//!
//! A server's `POST /documents` takes an array of `{query, operationName}` and answers with an array of texts, one for
//! each: empty where the document does not parse; `ran` and the fields that ran; or, where the document does not
//! validate, `read` and the fields that stand in the operation as its parser cut it: with other arguments they would run.
//! Fields are `NAME` at the root of a query, `mutation.NAME` at that of a mutation, `.NAME` below where the field has
//! fields of its own, and `__schema` and `__type` wherever they stand.
//!
//! Documents as people and the clients of GraphQL write them are all allowed.
//!
//! Servers with an HTTP layer have it at `/graphql`, and tell at `GET /ran` in an array of one such text what has run
//! since they were last asked.

mod documents;
mod judge;
pub(crate) mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::{io, thread};

use serde_json::{Value, json};

use crate::round::{self, Random};
use crate::server::Server;
use latchkey_testing::{Connection, Response};

/// Servers whose libraries are given documents.
pub(crate) const LIBRARIES: [&str; 8] = [
    "async-graphql",
    "gqlgen",
    "graph-gophers",
    "graphql-core",
    "graphql-go",
    "graphql-java",
    "graphql-js",
    "graphql-ruby",
];

/// At most so many documents are sent at a time.
const BATCH: usize = 500;

/// What each server must be seen to run before it is believed to run nothing else.
const FORBIDDEN: &str = "{secret2}";

#[test]
#[ignore = "run by make differential"]
fn no_library_runs_a_field_that_is_forbidden() {
    let judge = judge::Judge::new();
    let servers = round::servers(&LIBRARIES);
    for server in &servers {
        let answer = ask(server, "/documents", &[FORBIDDEN]).remove(0);
        assert!(judge::is_forbidden(&answer), "{} tells nothing: {answer}", server.name());
    }
    let mut random = Random::new(1);
    let (count, mut made, mut sent) = (round::count(80_000), 0, 0);
    let mut failures = BTreeMap::new();
    while made < count {
        let mut allowed = Vec::new();
        while allowed.len() < BATCH && made < count {
            let document = documents::soup(&mut random);
            made += 1;
            if judge.allows(&document) {
                allowed.push(document);
            }
        }
        sent += allowed.len();
        let of_server = |server: &Server| (server.name().to_owned(), failed(server, &allowed));
        let found: Vec<(String, Vec<String>)> = thread::scope(|scope| {
            let threads: Vec<_> =
                servers.iter().map(|server| scope.spawn(|| of_server(server))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (name, documents) in found {
            failures.entry(name).or_insert_with(Vec::new).extend(documents);
        }
    }
    println!("{count} documents, {sent} of them allowed, on {} servers", servers.len());
    let lines: Vec<String> = servers
        .iter()
        .flat_map(|server| report(&judge, server, &failures[server.name()]))
        .collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
#[ignore = "run by make differential"]
fn no_ordinary_document_is_refused() {
    let judge = judge::Judge::new();
    let mut random = Random::new(2);
    let (count, mut refused) = (round::count(2_000).min(100_000), BTreeSet::new());
    for server in round::servers(&["graphql-js"]) {
        let mut sent = 0;
        for _ in 0..count.div_ceil(BATCH) {
            let documents: Vec<String> =
                (0..BATCH).map(|_| documents::ordinary(&mut random)).collect();
            let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
            let answers = ask(&server, "/documents", &texts);
            for (document, answer) in documents.iter().zip(&answers) {
                assert!(answer.starts_with("ran "), "not ordinary: {document}: {answer}");
            }
            let printed = ask(&server, "/print", &texts);
            let printed = printed
                .iter()
                .flat_map(|texts| serde_json::from_str::<Vec<String>>(texts).unwrap());
            let all: Vec<String> = documents.iter().cloned().chain(printed).collect();
            sent += all.len();
            refused.extend(all.into_iter().filter(|text| !judge.allows(text)).take(3));
        }
        println!("{sent} documents of ordinary clients");
    }
    let lines: Vec<String> =
        refused.into_iter().map(|text| Value::from(text).to_string()).collect();
    assert!(lines.is_empty(), "refused:\n{}", lines.join("\n"));
}

/// Those of the documents of which a server runs what is forbidden.
fn failed(server: &Server, documents: &[String]) -> Vec<String> {
    let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
    let answers = ask(server, "/documents", &texts);
    assert_eq!(answers.len(), documents.len(), "{}", server.name());
    let failed = documents.iter().zip(&answers).filter(|(_, answer)| judge::is_forbidden(answer));
    failed.map(|(document, _)| document.clone()).collect()
}

/// How many documents failed on a server, and the first of them, shrunk, with what ran.
fn report(judge: &judge::Judge, server: &Server, failed: &[String]) -> Vec<String> {
    let answer = |text: &str| ask(server, "/documents", &[text]).remove(0);
    let fails = |text: &str| judge.allows(text) && judge::is_forbidden(&answer(text));
    let small: BTreeSet<String> =
        failed.iter().take(8).map(|document| round::shrunk(document, fails)).collect();
    let lines = small.iter().map(|text| format!("  {}: {}", Value::from(&**text), answer(text)));
    let count = (!failed.is_empty()).then(|| format!("{}: {}", server.name(), failed.len()));
    count.into_iter().chain(lines).collect()
}

/// What a server makes of each document.
fn ask(server: &Server, path: &str, documents: &[&str]) -> Vec<String> {
    let body: Value = documents.iter().map(|document| json!({"query": document})).collect();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    answers(server, (head + &body).as_bytes())
}

/// What a server says in an array of texts.
fn answers(server: &Server, request: &[u8]) -> Vec<String> {
    let answer = sent(server, request).unwrap_or_else(|error| {
        panic!("{} did not answer: {error}\n{}", server.name(), server.last_lines())
    });
    let is_ok = answer.status == 200;
    assert!(is_ok, "{}: {}\n{}", server.name(), answer.text(), server.last_lines());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A server's response to a request, over a connection of its own.
fn sent(server: &Server, request: &[u8]) -> io::Result<Response> {
    let mut connection = Connection::open(server.address())?;
    connection.write(request)?;
    connection.response(request.starts_with(b"HEAD "))
}
