//! Shows the native module what requests are, so that the compiler learns what an allowed request runs and what few run.
//!
//! `latchkey-training FILE` loads the module, which was built with `-Cprofile-generate`, as Envoy would. The module leaves a
//! profile when this ends; `make module` builds by that. The same is asked every time, and nothing here looks at a clock, so
//! that two builds of one commit are equal.

#[allow(unsafe_code, reason = "a border of C")]
mod envoy;

use std::env;
use std::fs;

use latchkey_cli::cases::Suite;
use latchkey_testing::{policies, repository};

use crate::envoy::{Envoy, Request, header};

/// How often what is most of a service's traffic is asked. The corpus, which has every rare case, is asked once.
const TIMES: usize = 5_000;

fn main() {
    let argument = env::args().nth(1).expect("usage: latchkey-training FILE");
    if argument == "--version" {
        // The module asks the program in which it runs.
        println!("{}", envoy::VERSION);
        return;
    }
    let envoy = Envoy::load(&argument);
    let traffic = ask_what_most_ask(&envoy);
    let cases = ask_the_corpus(&envoy);
    println!("trained on {traffic} requests and {cases} cases");
}

/// Bearer tokens with policies as services have them: most requests are allowed.
fn ask_what_most_ask(envoy: &Envoy) -> usize {
    let with_account = r#"{"upstream_headers":{"x-account-id":"{key.account}"},"#;
    let policies = [policies::with(10, 1), policies::with(2_000, 100)];
    let filters = policies.map(|policy| envoy.configure(&policy.replacen('{', with_account, 1)));
    let good = format!("Bearer {}", policies::token(0));
    let unknown = "Bearer lk_live_000000000000000000unknown".to_owned();
    let mut count = 0;
    for (method, headers, key, times, status) in [
        ("GET", FEW, Some(&good), TIMES, None),
        ("GET", MANY, Some(&good), TIMES, None),
        ("GET", FEW, Some(&unknown), TIMES / 10, Some(401)),
        ("GET", FEW, None, TIMES / 10, Some(401)),
        ("POST", FEW, Some(&good), TIMES / 10, Some(403)),
    ] {
        let mut request = Request::new(method, "/v1/service0/items/7");
        request.headers.extend(headers.iter().map(|(name, value)| header(name, value)));
        request.headers.extend(key.map(|key| header("authorization", key)));
        for filter in &filters {
            for _ in 0..times {
                assert_eq!(filter.ask(&request), status, "{method} with {key:?}");
                count += 1;
            }
        }
    }
    count
}

/// Every case that an Envoy can be asked.
fn ask_the_corpus(envoy: &Envoy) -> usize {
    let folder = fs::read_dir(repository("tests/cases")).expect("the corpus");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let suites = files.iter().map(|file| Suite::load(file).expect("cases"));
    // A pepper would have to stand in the environment, and the token of a key that only its id names is another each time.
    let is_same_each_time =
        |suite: &Suite| suite.cases.iter().all(|case| case.request.key.is_none());
    let suites = suites.filter(|suite| {
        suite.runs_on_envoy() && suite.pepper.is_none() && is_same_each_time(suite)
    });
    let ask = |suite: Suite| {
        let policy = String::from_utf8(suite.policy).expect("a policy is JSON");
        let filter = envoy.configure(&policy);
        for case in &suite.cases {
            let request = Request {
                headers: case.request.header_map(),
                pieces: case.request.pieces().into_iter().map(str::to_owned).collect(),
                address: case.request.client().unwrap_or_default(),
            };
            let status = filter.ask(&request);
            assert_eq!(status.is_none(), case.expect.is_allowed(), "{}", case.name);
        }
        suite.cases.len()
    };
    suites.map(ask).sum()
}

/// What a client in a program sends.
const FEW: &[(&str, &str)] =
    &[("user-agent", "okhttp/4.12.0"), ("accept", "application/json"), ("accept-encoding", "gzip")];

/// What a browser sends.
const MANY: &[(&str, &str)] = &[
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("sec-ch-ua", r#""Chromium";v="142", "Not:A-Brand";v="24""#),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", r#""Linux""#),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json, text/plain, */*"),
    ("origin", "https://app.example.com"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", "https://app.example.com/reports/2026/11"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("priority", "u=1, i"),
    ("cookie", "theme=dark; session_hint=1; consent=necessary%2Cstatistics"),
    ("x-requested-with", "XMLHttpRequest"),
    ("x-trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("if-none-match", r#""5d8c72a5edda8d6a""#),
];
