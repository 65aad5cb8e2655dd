//! `latchkey explain`: what becomes of one request, step by step.

pub(crate) mod curl;
mod redaction;
mod request;
mod steps;

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;

use anyhow::{Result, bail};
use clap::Args;
use latchkey::{Body, Claim, Decision, Deviation, ReadAs, Request};

use self::redaction::Redaction;
use self::steps::{Step, steps};
use crate::cases::{self, Observation, StandIn};
use crate::document::Fields;
use crate::finding;
use crate::policy::{self, PolicyFiles};
use crate::style::{BOLD, DIM, ERROR, GOOD};
use crate::{Exit, time};

/// Say what becomes of one request, and why
///
/// The request is written as for curl. Prints the steps in the order in which they are taken, with
/// the rule and the key that decided, then what the client gets or what the upstream sees. Nothing
/// is sent anywhere, and no token is printed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, after_long_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// The time of the request, RFC 3339; default the system's
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    now: Option<i64>,
    /// Ask as the key of this id, with a token made up for it in place of the request's own
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The address of the client, as the proxy knows it; without it nobody can tell
    #[arg(long)]
    address: Option<IpAddr>,
    /// A claim of the session that a filter before Latchkey has verified, such as `sub=u1`
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Claim)>,
    /// A whole command for curl, in quotes or word by word, with or without the word `curl`
    ///
    /// In quotes it is split as a shell does, with what browsers write in it. The words are read as if they stood there.
    #[arg(long = "curl", value_name = "COMMAND")]
    _curl: Option<String>, // [`curl::spread`] has put its words here
    #[command(flatten)]
    request: request::RequestArguments,
}

fn claim(text: &str) -> Result<(String, Claim), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is `name=value`")?;
    Ok((name.to_owned(), Claim::Text(value.to_owned())))
}

const EXAMPLE: &str = "Example:\n  \
    latchkey explain policy.yaml -X POST -H 'authorization: Bearer TOKEN' \
    https://api.example.com/v1/events";

const AFTER: &str = "\
Examples:
  latchkey explain policy.yaml -X POST -H 'authorization: Bearer TOKEN' https://api.example.com/v1/events
  latchkey explain policy.yaml --keys keys.yaml -H @headers.txt https://api.example.com/v1/reports
  latchkey explain policy.yaml --keys keys.yaml --key reporting curl 'https://api.example.com/v1/reports' -d '{}'
  latchkey explain policy.yaml --keys keys.yaml --key reporting --curl \"$(pbpaste)\"

--key takes no token: a random one takes the key's place in a copy of the policy, and stands in the request where the policy
looks for one first. What else is asked of the key, such as its end, its origins and its addresses, stays as it is.

-H @FILE reads headers from a file, one a line, so that a token stays out of the shell's history.
The path is taken as it is written, as by curl with --path-as-is.

Exit codes: 0 allowed, 2 denied, 1 failed.";

/// Prints the explanation; a refusal ends with [`Exit::Denied`].
///
/// # Errors
/// A file cannot be read or parsed, the policy is refused, the request is none, or the output
/// cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let (url, mut request) = arguments.request.request()?;
    request.address = arguments.address;
    request.claims = (!arguments.claims.is_empty()).then(|| Fields(arguments.claims.clone()));
    let policy = arguments.files.load()?;
    let mut engine = match policy.compile()? {
        Ok(engine) => engine,
        Err(mut findings) => {
            finding::locate(&mut findings);
            finding::print(&findings, &mut anstream::stderr())?;
            bail!("`{}` is refused, so no proxy serves it", arguments.files.policy.display());
        }
    };
    let now = arguments.now.unwrap_or_else(time::now);
    if let Some(id) = &arguments.key {
        let stand_in =
            StandIn::new(policy.document(), &engine, policy::pepper().as_deref(), [id.as_str()])?;
        request = stand_in.present(id, now, &request);
        engine = stand_in.engine;
    }
    let headers = request.header_map();
    let (decision, observation) = cases::core::observe(&engine, now, &request);
    let Some(decision) = decision else {
        bail!("nothing can be decided about it, so it is answered with {}", observation.status);
    };

    let redaction = Redaction::new(&engine, &headers);
    let mut text = String::new();
    writeln!(text, "{BOLD}{} {}{BOLD:#}", request.method, redaction.target(&url))?;
    writeln!(text, "{DIM}at {}{DIM:#}", time::display(now))?;
    if let Some(id) = &arguments.key {
        writeln!(text, "{DIM}as `{id}`, with a token made up for it{DIM:#}")?;
    }
    writeln!(text)?;
    for step in steps(&policy, &engine, &decision, &observation, &request, now) {
        print_step(&step, &mut text)?;
    }
    let body = request.body.as_deref().unwrap_or_default().as_bytes();
    let (borrowed, clock) = (cases::borrowed(&headers), || Some(now));
    let whole = Request { body: Body::Whole(body), ..Request::new(&borrowed, &clock) };
    let readings = engine.readings(&whole);
    print_readings(&readings, &decision, &mut text)?;
    print_outcome(&decision, &observation, &redaction, &request.method, &mut text)?;
    output.write_all(redaction.hide(&text).as_bytes())?;
    Ok(if decision.reason().is_none() { Exit::Fine } else { Exit::Denied })
}

fn print_step(step: &Step, text: &mut String) -> Result<()> {
    let Step { name, mark, text: says } = step;
    let (colour, word) = match mark {
        steps::Mark::Allowed => (GOOD, "allow"),
        steps::Mark::Denied => (ERROR, "deny"),
        steps::Mark::NotReached => (DIM, "-"),
        steps::Mark::Passed => (GOOD, "ok"),
    };
    let line = format!("  {colour}{word:<6}{colour:#}{name:<12}{says}");
    writeln!(text, "{}", line.trim_end())?;
    Ok(())
}

/// What upstreams could read, where that is more than one thing.
fn print_readings(
    readings: &[ReadAs<'_>],
    decision: &Decision<'_>,
    text: &mut String,
) -> Result<()> {
    if readings.len() < 2 {
        return Ok(());
    }
    writeln!(text, "\nAn upstream may read, and all of it must be allowed\n")?;
    for (place, reading) in readings.iter().enumerate() {
        let rule = reading.rule.map_or("no rule".to_owned(), |rule| format!("`{}`", rule.name()));
        let path = reading.path.as_deref().unwrap_or_default();
        let by = reading.by.map_or("as it stands", Deviation::as_str);
        let is_refused = decision.refused_reading() == Some(place);
        let (colour, word) = if is_refused { (ERROR, "deny") } else { (DIM, "-") };
        writeln!(text, "  {colour}{word:<6}{colour:#}{} {path}: {rule}, {by}", reading.method)?;
    }
    Ok(())
}

fn print_outcome(
    decision: &Decision<'_>,
    observation: &Observation,
    redaction: &Redaction<'_>,
    method: &str,
    text: &mut String,
) -> Result<()> {
    let colour = if decision.reason().is_none() { GOOD } else { ERROR };
    writeln!(text, "\n{colour}{decision}{colour:#}")?;
    match &observation.upstream {
        Some(upstream) => {
            writeln!(text, "\nThe upstream sees\n")?;
            let path = upstream.path.as_deref().unwrap_or_default();
            let path = redaction.target(&String::from_utf8_lossy(path));
            writeln!(text, "  {method} {path}")?;
            for (name, value) in &upstream.headers {
                let name = if name == ":authority" { "host" } else { name };
                if !name.starts_with(':') {
                    writeln!(text, "  {name}: {}", redaction.value(name, value))?;
                }
            }
            if !observation.headers.is_empty() {
                writeln!(text, "\nThe client's answer gets\n")?;
                print_headers(observation, redaction, text)?;
            }
        }
        None => {
            writeln!(text, "\nThe client gets\n")?;
            writeln!(text, "  {}", observation.status)?;
            print_headers(observation, redaction, text)?;
            let body = String::from_utf8_lossy(&observation.body);
            if !body.is_empty() {
                writeln!(text)?;
                for line in body.lines() {
                    writeln!(text, "  {line}")?;
                }
            }
        }
    }
    Ok(())
}

fn print_headers(
    observation: &Observation,
    redaction: &Redaction<'_>,
    text: &mut String,
) -> Result<()> {
    for (name, value) in &observation.headers {
        writeln!(text, "  {name}: {}", redaction.value(name, value))?;
    }
    Ok(())
}
