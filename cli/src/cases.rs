//! Files of cases: requests to a policy and what must come of each. `latchkey test` runs them
//! for users; the corpus `tests/cases` runs on the core, on the built .wasm and on real Envoy.
//! Every subject fills an [`Observation`], and [`compare`] judges them all alike.

pub(crate) mod core;
mod stand_in;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use latchkey::{Changes, Claim, Claims, Engine, Environment, Finding};
use serde::Deserialize;

pub(crate) use self::stand_in::StandIn;
use crate::document::{self, Document, Fields};
use crate::policy::Policy;

/// The time of a request where its file names none: 2026-06-01T00:00:00Z.
pub const NOW: i64 = 1_780_272_000;

/// The `x-request-id` of every request, except on Envoy, which makes its own.
pub const REQUEST_ID: &str = "11111111-2222-4333-8444-555555555555";

/// The words of a policy's `publish`.
pub const PUBLISHED: [&str; 4] = ["account", "key", "reason", "rule"];

/// The port of every client, except on Envoy.
const CLIENT_PORT: u16 = 50_000;

/// Header names and values, `:method`, `:path`, `:authority` and `:scheme` among them.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A file of cases, loaded and checked.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file that the cases came from.
    pub file: PathBuf,
    /// The policy as compact JSON.
    pub policy: Vec<u8>,
    /// The value of `LATCHKEY_PEPPER`, if the policy needs one.
    pub pepper: Option<String>,
    /// The time of every request in Unix seconds, if the file names one.
    pub now: Option<i64>,
    /// At least one; their names differ.
    pub cases: Vec<Case>,
}

impl Suite {
    /// Loads a file that holds or names its policy.
    ///
    /// # Errors
    /// The file or its policy cannot be read, or it is not a file of cases: the message names the
    /// file, and the place or the case.
    pub fn load(file: &Path) -> Result<Suite> {
        let raw: File = document::load_as(file)?;
        let place = file.display();
        let policy = match (&raw.policy, &raw.policy_file) {
            (Some(policy), None) => Policy::of(file, policy.clone(), None)?.to_json()?,
            (None, Some(other)) => Policy::load(&beside(file, other), None)?.to_json()?,
            (None, None) => bail!("{place}: `policy` or `policy_file` is missing"),
            (Some(_), Some(_)) => bail!("{place}: `policy` and `policy_file` exclude each other"),
        };
        raw.into_suite(file, policy)
    }

    /// Loads the cases of a file to run them on `policy` (compact JSON), whatever policy the
    /// file itself holds or names.
    ///
    /// # Errors
    /// As for [`Suite::load`].
    pub fn load_for_policy(file: &Path, policy: Vec<u8>) -> Result<Suite> {
        document::load_as::<File>(file)?.into_suite(file, policy)
    }

    /// This suite as subjects can run it: the cases that present what they present, and those that ask as a key, on a
    /// policy of which those keys have tokens of their own. A policy that is refused stays as it is.
    ///
    /// # Errors
    /// The policy has no such key: the message names the file and the case.
    pub fn parts(mut self) -> Result<Vec<Suite>> {
        let is_of_key = |case: &Case| case.request.key.is_some();
        let (asked, presented): (Vec<Case>, Vec<Case>) =
            self.cases.into_iter().partition(is_of_key);
        self.cases = presented;
        if asked.is_empty() {
            return Ok(vec![self]);
        }
        let pepper = self.pepper.as_ref().map(String::as_bytes);
        let Ok(engine) = Engine::compile(&self.policy, &Environment { pepper }) else {
            self.cases.extend(asked);
            return Ok(vec![self]);
        };
        let ids: Vec<&str> = asked.iter().filter_map(|case| case.request.key.as_deref()).collect();
        for (case, id) in asked.iter().zip(&ids) {
            let is_known = engine.keys().any(|key| key.id() == *id);
            let place = self.file.display();
            ensure!(is_known, "{place}: case `{}`: the policy has no key `{id}`", case.name);
        }
        let policy: Document = serde_json::from_slice(&self.policy)?;
        let stand_in = StandIn::new(&policy, &engine, pepper, ids)?;
        let now = self.clock();
        let present = |case: &Case| {
            let request = stand_in.present(case.request.key.as_deref()?, now, &case.request);
            Some(Case { request: CaseRequest { key: None, ..request }, ..case.clone() })
        };
        let cases = asked.iter().filter_map(present).collect();
        let of_keys = Suite { policy: stand_in.policy.clone(), cases, ..self.clone() };
        Ok([self, of_keys].into_iter().filter(|suite| !suite.cases.is_empty()).collect())
    }

    /// The time of every request in Unix seconds.
    #[must_use]
    pub fn clock(&self) -> i64 {
        self.now.unwrap_or(NOW)
    }

    /// Whether real Envoy can run this as it is: its clock cannot be set, and it takes a token to
    /// have claims.
    #[must_use]
    pub fn runs_on_envoy(&self) -> bool {
        self.now.is_none() && self.cases.iter().all(|case| case.request.claims.is_none())
    }
}

/// Loads every `.json` file of `folder`, in the order of their names, in their [parts](Suite::parts).
///
/// # Errors
/// There is no such file, or one of them cannot be loaded.
pub fn load_folder(folder: &Path) -> Result<Vec<Suite>> {
    let unreadable = || format!("cannot read `{}`", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let file = entry.with_context(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    ensure!(!files.is_empty(), "`{}` holds no `.json` file of cases", folder.display());
    files.sort();
    let suites = files.iter().map(|file| Suite::load(file)?.parts());
    Ok(suites.collect::<Result<Vec<_>>>()?.concat())
}

/// One request and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The law being tested, in a few words.
    pub name: String,
    /// What is asked.
    #[serde(default)]
    pub request: CaseRequest,
    /// What must come of it.
    pub expect: Expect,
}

/// A request as a client sends it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaseRequest {
    /// The method; default `GET`.
    pub method: String,
    /// The request target as it stands on the wire; default `/`. None: there is no `:path`,
    /// as with CONNECT.
    pub path: Option<String>,
    /// The host asked for; default `api.example.com`.
    pub authority: String,
    /// In place of a credential: the id of the key as which it is asked.
    #[serde(rename = "as")]
    pub key: Option<String>,
    /// Names and values in order; a repeated name is sent repeatedly.
    pub headers: Vec<(String, Value)>,
    /// A body, sent with its content-length.
    pub body: Option<String>,
    /// In place of `body`: one sent in these pieces, without a length. An empty piece is an empty frame over
    /// HTTP/2, and nothing over HTTP/1, whose body ends with an empty chunk in any case.
    pub chunks: Vec<String>,
    /// The address of the client; none: nobody can tell it. On Envoy, those that it trusts have to say so.
    pub address: Option<IpAddr>,
    /// The claims of a session that a filter before this one has verified: texts, numbers, lists of
    /// texts. On Envoy it takes a token to have them.
    pub claims: Option<Fields<Claim>>,
    /// On Envoy: send this over HTTP/2.
    pub http2: bool,
}

impl Default for CaseRequest {
    fn default() -> Self {
        CaseRequest {
            method: "GET".to_owned(),
            path: Some("/".to_owned()),
            authority: "api.example.com".to_owned(),
            key: None,
            headers: Vec::new(),
            body: None,
            chunks: Vec::new(),
            address: None,
            claims: None,
            http2: false,
        }
    }
}

impl CaseRequest {
    /// The header map as Envoy hands it to a filter: names in lower case, an absolute-form
    /// target taken apart, repeated `authorization` joined with `,` and, over HTTP/2, repeated
    /// `cookie` with `; `.
    #[must_use]
    pub fn header_map(&self) -> Headers {
        let (authority, path) = match &self.path {
            Some(path) if !self.http2 => match absolute_form(path) {
                Some((authority, path)) => (authority, Some(path)),
                None => (self.authority.as_str(), Some(path.as_str())),
            },
            path => (self.authority.as_str(), path.as_deref()),
        };
        let mut map = vec![(":method".to_owned(), self.method.clone().into_bytes())];
        map.extend(path.map(|path| (":path".to_owned(), path.into())));
        map.push((":authority".to_owned(), authority.into()));
        map.push((":scheme".to_owned(), "http".into()));
        map.push(("x-request-id".to_owned(), REQUEST_ID.into()));
        for (name, Value(value)) in &self.headers {
            let name = name.to_ascii_lowercase();
            let separator: Option<&[u8]> = match name.as_str() {
                "authorization" => Some(b","),
                "cookie" if self.http2 => Some(b"; "),
                _ => None,
            };
            let earlier = map.iter_mut().find(|(earlier, _)| *earlier == name);
            match (separator, earlier) {
                (Some(separator), Some((_, earlier))) => {
                    earlier.extend_from_slice(separator);
                    earlier.extend_from_slice(value);
                }
                _ => map.push((name, value.clone())),
            }
        }
        if let Some(body) = &self.body {
            map.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        }
        map
    }

    /// The pieces of the body: none where there is no body.
    #[must_use]
    pub fn pieces(&self) -> Vec<&str> {
        self.body.iter().chain(&self.chunks).map(String::as_str).collect()
    }

    /// The client's address as Envoy writes it, with a port.
    #[must_use]
    pub fn client(&self) -> Option<Vec<u8>> {
        self.address.map(|address| SocketAddr::new(address, CLIENT_PORT).to_string().into_bytes())
    }

    /// The verified claims.
    #[must_use]
    pub fn verified(&self) -> Option<Claims> {
        self.claims.as_ref().map(|claims| claims.0.clone())
    }
}

/// Header bytes: a text, or `{"hex": "fffe"}` for what no text can hold.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "RawValue")]
pub struct Value(pub Vec<u8>);

/// What must come of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The filter state, exactly.
    pub decision: String,
    /// The status that the client gets.
    pub status: Option<u16>,
    /// Response headers by name.
    #[serde(default)]
    pub headers: Fields<Values>,
    /// The body of a refusal: a text exactly, anything else as compact JSON in written order.
    pub body: Option<Document>,
    /// What the upstream sees of an allowed request.
    pub upstream: Option<ExpectUpstream>,
    /// What is left of a refused request for the proxy's own logs.
    pub left: Option<ExpectUpstream>,
    /// The scopes that were required, separated by spaces.
    pub required_scope: Option<String>,
    /// What the policy has told besides the decision, by the words of its `publish`; `null` in the file is nothing.
    #[serde(default)]
    pub published: Fields<Option<String>>,
}

impl Expect {
    /// Whether the request must reach the upstream.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.decision.starts_with("allow ")
    }
}

/// What the upstream must see of an allowed request, or the proxy itself of a refused one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectUpstream {
    /// The `:path`, exactly.
    pub path: Option<String>,
    /// Request headers by name.
    pub headers: Fields<Values>,
}

/// Every value that a header must have, in order; `null` in the file, none here: it is absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawValues")]
pub struct Values(pub Vec<Value>);

/// What one subject, be it core, .wasm or Envoy, made of one request.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The request's id, which `{request_id}` in an expectation stands for.
    pub request_id: String,
    /// The filter state `latchkey`.
    pub decision: String,
    /// The status that the client gets; an upstream that lets nothing go wrong answers 200.
    pub status: u16,
    /// The headers of the response.
    pub headers: Headers,
    /// The body of the response.
    pub body: Vec<u8>,
    /// The request that reached the upstream; none where nothing did.
    pub upstream: Option<Upstream>,
    /// What is left of a refused request, for the proxy's own logs; none where the subject cannot tell.
    pub left: Option<Upstream>,
    /// The scopes that were required, separated by spaces; none where the subject cannot tell.
    pub required_scope: Option<String>,
    /// What was told besides the decision, by the words of `publish`.
    pub published: Vec<(String, String)>,
}

/// A request as the upstream sees it, or the proxy itself.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The `:path`; none with CONNECT.
    pub path: Option<Vec<u8>>,
    /// Its headers; the names with a colon may be among them.
    pub headers: Headers,
}

impl Upstream {
    /// The request of these headers, `:path` among them.
    #[must_use]
    pub fn new(headers: Headers) -> Upstream {
        let path = headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.clone());
        Upstream { path, headers }
    }
}

/// What there is of the request `headers` once a filter has changed it.
#[must_use]
pub fn apply(headers: &[(&str, &[u8])], changes: &Changes<'_>) -> Upstream {
    let Changes { remove, set, path } = changes;
    let path = path.as_ref().map(|path| (":path".to_owned(), path.clone()));
    let set: Headers =
        set.iter().map(|(name, value)| (name.to_string(), value.to_vec())).chain(path).collect();
    let mut headers: Headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    headers.retain(|(name, _)| !remove.iter().any(|gone| gone.eq_ignore_ascii_case(name)));
    replace(&mut headers, &set);
    Upstream::new(headers)
}

/// How one case went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// One line for each mismatch; none where the case went well.
    pub mismatches: Vec<String>,
}

/// Runs every case of `suite` on the core.
///
/// # Errors
/// The core refuses the policy: its findings.
pub fn run_on_core(suite: &Suite) -> Result<Vec<Outcome>, Vec<Finding>> {
    let environment = Environment { pepper: suite.pepper.as_ref().map(String::as_bytes) };
    let engine = Engine::compile(&suite.policy, &environment)?;
    let outcome = |case: &Case| {
        let (_, observation) = core::observe(&engine, suite.clock(), &case.request);
        let mismatches = compare(&case.expect, &observation).err().unwrap_or_default();
        Outcome { case: case.name.clone(), mismatches }
    };
    Ok(suite.cases.iter().map(outcome).collect())
}

/// Judges what a subject did by what it had to do.
///
/// # Errors
/// One line for each mismatch, naming what was expected and what came.
pub fn compare(expect: &Expect, observation: &Observation) -> Result<(), Vec<String>> {
    let mut report = Report { request_id: &observation.request_id, mismatches: Vec::new() };
    report.text("decision", &expect.decision, observation.decision.as_bytes());
    if let Some(status) = expect.status {
        report.text("status", &status.to_string(), observation.status.to_string().as_bytes());
    }
    report.headers("response header", &expect.headers, &observation.headers);
    match &expect.body {
        None => {}
        Some(Document::String(text)) => report.text("body", text, &observation.body),
        Some(document) => match document.to_json() {
            Ok(json) => report.text("body", &json, &observation.body),
            Err(error) => report.mismatches.push(format!("body: {error:#}")),
        },
    }
    match &observation.upstream {
        None if expect.is_allowed() => {
            report.mismatches.push("upstream: expected the request, got nothing".to_owned());
        }
        Some(_) if !expect.is_allowed() => {
            report.mismatches.push("upstream: expected nothing, got the request".to_owned());
        }
        _ => {}
    }
    report.request("upstream", expect.upstream.as_ref(), observation.upstream.as_ref());
    report.request("left", expect.left.as_ref(), observation.left.as_ref());
    for (name, expected) in &expect.published.0 {
        let observed = observation.published.iter().filter(|(own, _)| own == name);
        let observed: Vec<&[u8]> = observed.map(|(_, value)| value.as_bytes()).collect();
        let expected: Vec<Value> = expected.iter().map(|text| Value(text.clone().into())).collect();
        report.values(&format!("published `{name}`"), &expected, &observed);
    }
    if let (Some(expect), Some(observed)) = (&expect.required_scope, &observation.required_scope) {
        report.text("required scope", expect, observed.as_bytes());
    }
    if report.mismatches.is_empty() { Ok(()) } else { Err(report.mismatches) }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: Option<Document>,
    policy_file: Option<PathBuf>,
    pepper: Option<String>,
    now: Option<String>,
    cases: Vec<Case>,
}

impl File {
    fn into_suite(self, file: &Path, policy: Vec<u8>) -> Result<Suite> {
        let place = file.display();
        let now = match &self.now {
            None => None,
            Some(text) => Some(latchkey::parse_timestamp(text).with_context(|| {
                format!("{place}: `now`: `{text}` is not an RFC 3339 time, such as `2026-06-01T00:00:00Z`")
            })?),
        };
        ensure!(!self.cases.is_empty(), "{place}: `cases` is empty");
        let mut names = HashSet::new();
        for case in &self.cases {
            ensure!(names.insert(&case.name), "{place}: two cases are named `{}`", case.name);
            check(case).with_context(|| format!("{place}: case `{}`", case.name))?;
        }
        Ok(Suite { file: file.to_owned(), policy, pepper: self.pepper, now, cases: self.cases })
    }
}

/// Finds expectations that no subject could ever meet or break.
fn check(case: &Case) -> Result<()> {
    let Expect { decision, body, upstream, left, .. } = &case.expect;
    let allowed = case.expect.is_allowed();
    ensure!(
        allowed || decision.starts_with("deny "),
        "`decision` must start with `allow ` or `deny `, not `{decision}`"
    );
    ensure!(!allowed || body.is_none(), "`body` is for refusals: the upstream answers this one");
    ensure!(allowed || upstream.is_none(), "`upstream` is for allowed requests");
    ensure!(!allowed || left.is_none(), "`left` is for refusals: the upstream sees what goes on");
    for (name, _) in &case.expect.published.0 {
        ensure!(
            PUBLISHED.contains(&name.as_str()),
            "`published` has `{name}`, which is not one of `{}`",
            PUBLISHED.join("`, `")
        );
    }
    let CaseRequest { body, chunks, .. } = &case.request;
    ensure!(body.is_none() || chunks.is_empty(), "`body` and `chunks` exclude each other");
    Ok(())
}

fn beside(file: &Path, other: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(other)
}

/// `http://host/path` as a client speaks it to a proxy; Envoy makes it `:authority` and `:path`.
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    match rest.find('/') {
        None => Some((rest, "/")),
        Some(slash) => rest.split_at_checked(slash),
    }
}

fn replace(headers: &mut Headers, set: &Headers) {
    for (name, _) in set {
        headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
    }
    headers.extend(set.iter().cloned());
}

/// Headers as the core takes them.
pub fn borrowed(headers: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

/// Collects mismatches.
struct Report<'a> {
    request_id: &'a str,
    mismatches: Vec<String>,
}

impl Report<'_> {
    fn text(&mut self, what: &str, expected: &str, observed: &[u8]) {
        self.values(what, &[Value(expected.into())], &[observed]);
    }

    /// Holds a request against what is expected of it, where either is known.
    fn request(
        &mut self,
        what: &str,
        expect: Option<&ExpectUpstream>,
        observed: Option<&Upstream>,
    ) {
        let (Some(expect), Some(observed)) = (expect, observed) else { return };
        if let Some(path) = &expect.path {
            let observed = observed.path.as_deref().unwrap_or_default();
            self.text(&format!("{what} path"), path, observed);
        }
        self.headers(&format!("{what} header"), &expect.headers, &observed.headers);
    }

    fn headers(&mut self, what: &str, expected: &Fields<Values>, observed: &Headers) {
        for (name, Values(expected)) in &expected.0 {
            let observed: Vec<&[u8]> = observed
                .iter()
                .filter(|(header, _)| header.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_slice())
                .collect();
            self.values(&format!("{what} `{name}`"), expected, &observed);
        }
    }

    fn values(&mut self, what: &str, expected: &[Value], observed: &[&[u8]]) {
        let expected: Vec<Vec<u8>> = expected.iter().map(|value| self.with_id(value)).collect();
        if expected != observed {
            let expected = shown(expected.iter().map(Vec::as_slice));
            let observed = shown(observed.iter().copied());
            self.mismatches.push(format!("{what}: expected {expected}, got {observed}"));
        }
    }

    fn with_id(&self, Value(value): &Value) -> Vec<u8> {
        match std::str::from_utf8(value) {
            Ok(text) => text.replace("{request_id}", self.request_id).into_bytes(),
            Err(_) => value.clone(),
        }
    }
}

fn shown<'a>(values: impl Iterator<Item = &'a [u8]>) -> String {
    let shown = |value| match std::str::from_utf8(value) {
        Ok(text) => format!("`{text}`"),
        Err(_) => format!("`{}`", value.escape_ascii()),
    };
    let values: Vec<String> = values.map(shown).collect();
    if values.is_empty() { "none".to_owned() } else { values.join(" and ") }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a header value must be a text or {\"hex\": \"fffe\"}")]
enum RawValue {
    Text(String),
    Hex(Hex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

impl TryFrom<RawValue> for Value {
    type Error = String;

    fn try_from(raw: RawValue) -> Result<Value, String> {
        match raw {
            RawValue::Text(text) => Ok(Value(text.into_bytes())),
            RawValue::Hex(Hex { hex: text }) => {
                let mut bytes = vec![0; text.len() / 2];
                hex::decode_to_slice(&text, &mut bytes)
                    .map_err(|_| format!("`{text}` is not made of pairs of hex digits"))?;
                Ok(Value(bytes))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a header's value, a list of its values, or null")]
enum RawValues {
    Absent,
    Several(Vec<Value>),
    Single(Value),
}

impl From<RawValues> for Values {
    fn from(raw: RawValues) -> Values {
        match raw {
            RawValues::Absent => Values(Vec::new()),
            RawValues::Several(values) => Values(values),
            RawValues::Single(value) => Values(vec![value]),
        }
    }
}
