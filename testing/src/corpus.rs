//! The corpus `tests/cases` on a real Envoy.

use std::collections::BTreeMap;

use latchkey_cli::cases::{
    Case, CaseRequest, Expect, Observation, Suite, Upstream, Value, compare, load_folder,
};

use super::{Exchange, Gateway, Report, Setup, access_log, repository};

/// Runs every case that an Envoy can be asked, each gateway set up further by `set_up`.
///
/// # Panics
/// Not all of them hold.
pub fn run_on_envoy(set_up: impl Fn(Setup) -> Setup) {
    run_with(set_up, |_, _| ());
}

/// The same for an Envoy in which the first decision about a request stays in its access log: that is what a request of
/// which the headers have gone ahead is told to be, though its body gets it refused, or would where that is only observed.
///
/// # Panics
/// Not all of them hold.
pub fn run_where_the_first_decision_stays(set_up: impl Fn(Setup) -> Setup) {
    run_with(set_up, |case, observation| {
        let is_refused = observation.upstream.is_none() && !case.expect.is_allowed();
        let has_body = !case.request.pieces().is_empty();
        let is_observed = has_body && case.expect.decision.contains(" observed deny ");
        if observation.decision.starts_with("allow ") && (is_refused || is_observed) {
            observation.decision.clone_from(&case.expect.decision);
        }
    });
}

fn run_with(set_up: impl Fn(Setup) -> Setup, excuse: impl Fn(&Case, &mut Observation)) {
    let suites =
        load_folder(&repository("tests/cases")).unwrap_or_else(|error| panic!("{error:#}"));
    // The pepper stands in Envoy's environment, so each needs a gateway of its own.
    let mut by_pepper: BTreeMap<Option<String>, Vec<Suite>> = BTreeMap::new();
    for suite in suites.into_iter().filter(Suite::runs_on_envoy) {
        by_pepper.entry(suite.pepper.clone()).or_default().push(suite);
    }
    let (mut count, mut failures) = (0, Vec::new());
    for (pepper, suites) in by_pepper {
        let policy = String::from_utf8(suites[0].policy.clone()).unwrap();
        let setup = set_up(Setup::new(policy).log_left().trusted_hops(1));
        let gateway = match &pepper {
            Some(pepper) => setup.pepper(pepper),
            None => setup,
        }
        .start();
        for suite in &suites {
            let file = suite.file.file_name().unwrap_or_default().display().to_string();
            count += suite.cases.len();
            failures
                .extend(run(&gateway, suite, &excuse).iter().map(|line| format!("{file}: {line}")));
        }
    }
    println!("{count} cases on Envoy");
    assert!(failures.is_empty(), "{} mismatches:\n{}", failures.len(), failures.join("\n"));
}

/// Runs every case of a suite; one line for each mismatch.
fn run(gateway: &Gateway, suite: &Suite, excuse: &impl Fn(&Case, &mut Observation)) -> Vec<String> {
    gateway.push(String::from_utf8_lossy(&suite.policy));
    let exchanges: Vec<Exchange> =
        suite.cases.iter().map(|case| gateway.exchange(&forwarded(&case.request))).collect();
    let mut reports = gateway.reports();
    let mut failures = Vec::new();
    for (case, exchange) in suite.cases.iter().zip(&exchanges) {
        let is_own = |report: &Report| report.request_id() == exchange.log.request_id.as_deref();
        let reached: Vec<Report> = reports.extract_if(.., |report| is_own(report)).collect();
        if reached.len() > 1 {
            failures.push(format!("{}: reached the upstream {} times", case.name, reached.len()));
        }
        let mut observation = observe(case, exchange, reached.into_iter().next());
        excuse(case, &mut observation);
        let mismatches = compare(&case.expect, &observation).err().unwrap_or_default();
        failures.extend(mismatches.iter().map(|line| format!("{}: {line}", case.name)));
    }
    failures.extend(reports.iter().map(|report| format!("nobody's request: {report:?}")));
    failures
}

/// A request by a proxy that tells whose it is.
fn forwarded(request: &CaseRequest) -> CaseRequest {
    let address = request.address.iter().map(|address| Value(address.to_string().into_bytes()));
    let headers = address.map(|address| ("x-forwarded-for".to_owned(), address));
    let headers = headers.chain(request.headers.clone()).collect();
    CaseRequest { headers, ..request.clone() }
}

fn observe(case: &Case, exchange: &Exchange, report: Option<Report>) -> Observation {
    let Exchange { response, log } = exchange;
    let (mut status, mut headers, mut body) =
        (response.status, response.headers.clone(), response.body.clone());
    if let Some((code, message)) = grpc(exchange, &case.expect) {
        (status, body) = (code, message);
        headers.retain(|(name, _)| name != "content-type");
    }
    Observation {
        request_id: log.request_id.clone().unwrap_or_default(),
        decision: exchange.decision().to_owned(),
        status,
        headers,
        body,
        upstream: report.map(upstream),
        left: Some(Upstream::new(log.left())),
        required_scope: None,
        published: log.published(),
    }
}

/// The status and the message of a refusal that Envoy has turned into a gRPC one: its status by
/// gRPC's own mapping, its message percent-encoded.
fn grpc(exchange: &Exchange, expect: &Expect) -> Option<(u16, Vec<u8>)> {
    let code = exchange.response.values("grpc-status").first()?.parse::<u16>().ok()?;
    let status = expect.status.filter(|status| grpc_code(*status) == code).unwrap_or(code);
    let message = exchange.response.values("grpc-message").concat();
    Some((status, percent_encoding::percent_decode_str(&message).collect()))
}

/// What Envoy makes of an HTTP status for a gRPC caller.
fn grpc_code(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn upstream(report: Report) -> Upstream {
    let bytes = |text: &str| access_log::bytes(text);
    Upstream {
        path: report.path.as_deref().map(bytes),
        headers: report
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), bytes(value)))
            .chain([(":method".to_owned(), bytes(&report.method))])
            .chain(report.authority.iter().map(|value| (":authority".to_owned(), bytes(value))))
            .collect(),
    }
}
