//! GraphQL documents and requests that the policy allows, on real servers: none may run a field that it forbids.
//!
//! A server's `POST /documents` takes an array of `{query, operationName}` and answers with an array of texts, one for
//! each: empty where the document does not parse; `ran` and the fields that ran; or, where the document does not
//! validate, `read` and the fields that stand in the operation as its parser cut it: with other arguments they would run.
//! Fields are `NAME` at the root of a query, `mutation.NAME` at that of a mutation, `.NAME` below where the field has
//! fields of its own, and `__schema` and `__type` wherever they stand.

mod documents;
mod judge;

use std::thread;

use serde_json::{Value, json};

use crate::round::{self, Random};
use crate::server::Server;
use latchkey_testing::Connection;

/// Servers whose libraries are given documents.
const LIBRARIES: [&str; 1] = ["graphql-js"];

/// How many documents are sent at a time.
const BATCH: usize = 1000;

#[test]
#[ignore = "run by make differential"]
fn no_library_runs_a_field_that_is_forbidden() {
    let judge = judge::Judge::new();
    let servers = round::servers(&LIBRARIES);
    let mut random = Random::new(1);
    let (count, mut sent) = (round::count(200_000), 0);
    for _ in 0..count.div_ceil(BATCH) {
        let documents: Vec<String> = (0..BATCH).map(|_| documents::soup(&mut random)).collect();
        let allowed: Vec<&str> =
            documents.iter().map(String::as_str).filter(|text| judge.allows(text)).collect();
        sent += allowed.len();
        let of_server = |server: &Server| failures(&judge, server, &allowed);
        let failures: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> =
                servers.iter().map(|server| scope.spawn(move || of_server(server))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
    println!("{count} documents, {sent} of them allowed, on {} servers", servers.len());
}

/// What a server did that it must not, each shrunk.
fn failures(judge: &judge::Judge, server: &Server, documents: &[&str]) -> Vec<String> {
    let answers = ask(server, documents);
    assert_eq!(answers.len(), documents.len(), "{}", server.name());
    let failed = documents.iter().zip(&answers).filter(|(_, answer)| judge::is_forbidden(answer));
    failed
        .take(3)
        .map(|(document, _)| {
            let answer = |text: &str| ask(server, &[text]).remove(0);
            let small = round::shrunk(document, |text| {
                judge.allows(text) && judge::is_forbidden(&answer(text))
            });
            format!("{}: {}: {}", server.name(), Value::from(&*small), answer(&small))
        })
        .collect()
}

/// What a server makes of each document.
fn ask(server: &Server, documents: &[&str]) -> Vec<String> {
    let body: Value = documents.iter().map(|document| json!({"query": document})).collect();
    let body = body.to_string();
    let head = format!(
        "POST /documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = Connection::open(server.address()).and_then(|mut connection| {
        connection.write((head + &body).as_bytes())?;
        connection.response(false)
    });
    let answer = answer.unwrap_or_else(|error| {
        panic!("{} did not answer: {error}\n{}", server.name(), server.last_lines())
    });
    let is_ok = answer.status == 200;
    assert!(is_ok, "{}: {}\n{}", server.name(), answer.text(), server.last_lines());
    serde_json::from_slice(&answer.body).unwrap()
}
