//! The corpus `tests/cases` on the built filter.

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use latchkey_cli::cases::{CaseRequest, Observation, REQUEST_ID, Upstream, compare, load_folder};
use latchkey_testing::host::{Host, Outcome};
use latchkey_testing::repository;
use serde_json::Value;

#[test]
fn every_case_holds_on_the_built_filter() {
    let folder = repository("tests/cases");
    let mut count = 0;
    let mut failures = Vec::new();
    for suite in load_folder(&folder).unwrap() {
        let file = suite.file.file_name().unwrap().display();
        let pepper = suite.pepper.as_deref().map(|pepper| ("LATCHKEY_PEPPER", pepper));
        let mut host = Host::load_with_environment(pepper.as_slice());
        host.set_clock(suite.clock());
        assert!(host.configure(&suite.policy), "{file}: {:#?}", host.logs());
        let policy: Value = serde_json::from_slice(&suite.policy).unwrap();
        let payload = policy["sessions"]["payload"].as_str().unwrap_or_default().to_owned();
        for case in &suite.cases {
            count += 1;
            let mismatches = match observe(&mut host, &payload, &case.request) {
                Ok(observation) => compare(&case.expect, &observation).err().unwrap_or_default(),
                Err(neither) => vec![neither],
            };
            let place = |mismatch| format!("{file}: {}: {mismatch}", case.name);
            failures.extend(mismatches.into_iter().map(place));
        }
    }
    println!("{count} cases on the built filter");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Sends one request; an error says that it was neither let through nor answered.
fn observe(host: &mut Host, payload: &str, request: &CaseRequest) -> Result<Observation, String> {
    let pieces: Vec<&[u8]> = request.pieces().into_iter().map(str::as_bytes).collect();
    host.set_claims(payload, request.verified().as_ref());
    host.set_client(request.client());
    let exchange = host.exchange_with_body(&request.header_map(), &pieces);
    let word = |(name, value): (&String, &Vec<u8>)| {
        Some((
            name.strip_prefix("latchkey.")?.to_owned(),
            String::from_utf8(value.clone()).unwrap(),
        ))
    };
    let published = exchange.filter_state.iter().filter_map(word).collect();
    let observation = Observation {
        request_id: REQUEST_ID.to_owned(),
        decision: exchange.decision(),
        status: 200,
        headers: exchange.response,
        body: Vec::new(),
        upstream: None,
        left: None,
        required_scope: None,
        published,
    };
    match exchange.outcome {
        Outcome::Continue(headers) => {
            Ok(Observation { upstream: Some(Upstream::new(headers)), ..observation })
        }
        Outcome::Reply { status, body, .. } => {
            let left = Some(Upstream::new(exchange.request));
            Ok(Observation { status, body, left, ..observation })
        }
        neither => Err(neither.to_string()),
    }
}
