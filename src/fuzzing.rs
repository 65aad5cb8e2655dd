//! What holds for any policy and any request: the bodies of the fuzz targets in `fuzz/`, which tests run as well.

#![expect(clippy::panic, reason = "a fuzz target fails by panicking")]

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::compile::Environment;
use crate::decision::{Access, Decision, Verdict};
use crate::effect::{Changes, Effect};
use crate::engine::{Engine, Outcome};
use crate::lint::lint;
use crate::reason::Reason;
use crate::request::{Body, Request};

/// Any bytes are a policy, or findings, whose places are in the policy; and they are so each time.
pub fn compile(bytes: &[u8]) {
    let compile = || Engine::compile(bytes, &Environment::default());
    let (pointers, again) = match (compile(), compile()) {
        (Ok(engine), Ok(again)) => {
            let look = |engine: &Engine| lint(engine, 0, |_| None, |rule| rule.name().to_owned());
            let remarks = look(&engine);
            assert_eq!(remarks, look(&again));
            let warnings = engine.warnings().iter().map(|finding| finding.pointer.clone());
            let pointers = warnings.chain(remarks.into_iter().map(|remark| remark.pointer));
            (pointers.collect::<Vec<_>>(), engine.warnings() == again.warnings())
        }
        (Err(findings), Err(again)) => {
            let is_same = findings == again;
            (findings.into_iter().map(|finding| finding.pointer).collect(), is_same)
        }
        _ => panic!("a policy is taken once, and refused once"),
    };
    assert!(again, "the findings are others each time");
    // A number or a text may be one that only this reader refuses.
    let Ok(policy) = serde_json::from_slice::<Value>(bytes) else { return };
    for pointer in pointers {
        assert!(policy.pointer(&pointer).is_some(), "`{pointer}` is nowhere in the policy");
    }
}

/// Any request is decided, and whatever it is: a scan of the rules finds the one that the index does; neither
/// a revoked key more nor a key's scopes less lets more through; and what goes on carries no credential.
///
/// The bytes are lines: method, path, host, `authorization`, `cookie`, `content-type`, `origin`,
/// `sec-websocket-protocol`, and the body.
pub fn decide(bytes: &[u8]) {
    const NAMES: [&str; 8] = [
        ":method",
        ":path",
        ":authority",
        "authorization",
        "cookie",
        "content-type",
        "origin",
        "sec-websocket-protocol",
    ];
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let headers: Vec<(&str, &[u8])> = NAMES.into_iter().zip(&mut lines).collect();
    let body = Body::Whole(lines.next().unwrap_or_default());
    scan_finds_what_the_index_does(&headers, body);
    less_lets_no_more_through(&headers, body);
    no_credential_goes_on(&headers, body);
}

type Headers<'a> = [(&'a str, &'a [u8])];

fn scan_finds_what_the_index_does(headers: &Headers<'_>, body: Body<'_>) {
    // Of a method that stands for no action another rule is told.
    if headers.first() != Some(&(":method", b"GET")) {
        return;
    }
    let (all, each) = &*PATHS;
    let rule = |engine: &Engine| rule_of(&engine.decide(&request(headers, body)));
    let scanned = each.iter().position(|engine| rule(engine).is_some());
    assert_eq!(rule(all), scanned, "by index, and by scan");
}

fn less_lets_no_more_through(headers: &Headers<'_>, body: Body<'_>) {
    let request = request(headers, body);
    let is_refused = |engine: &Engine| engine.decide(&request).reason().is_some();
    if is_refused(&PLAIN) {
        assert!(is_refused(&WITH_REVOKED), "a revoked key more lets it through");
        assert!(is_refused(&WITHOUT_SCOPES), "no scopes let it through");
    }
}

fn no_credential_goes_on(headers: &Headers<'_>, body: Body<'_>) {
    let request = request(headers, body);
    let Outcome { decision, effect, .. } = PLAIN.outcome(&request);
    let Effect::Continue(changes) = effect else { return };
    if decision.verdict != Verdict::Allow(Access::Key) {
        return;
    }
    let changed = changed(headers, &changes);
    let again = PLAIN.decide(&self::request(&borrowed(&changed), body)).reason();
    assert_eq!(again, Some(Reason::MissingCredential), "what went on has a credential");
    let Outcome { decision: forwarded, effect, .. } = FORWARDING.outcome(&request);
    let Effect::Continue(changes) = effect else {
        panic!("what `forward_credential` forwards is what is let through without")
    };
    let changed = self::changed(headers, &changes);
    let again = FORWARDING.decide(&self::request(&borrowed(&changed), body));
    assert_eq!(again.verdict, forwarded.verdict, "a credential to forward is lost");
}

/// A request at the beginning of 1970.
fn request<'a>(headers: &'a Headers<'a>, body: Body<'a>) -> Request<'a> {
    let mut request = Request::new(headers, &|| Some(0));
    request.body = body;
    request
}

/// The headers as they go on.
fn changed<'a>(headers: &Headers<'a>, changes: &'a Changes<'_>) -> Vec<(&'a str, Cow<'a, [u8]>)> {
    let is_gone = |name: &str| {
        changes.remove.iter().any(|own| own == name)
            || changes.set.iter().any(|(set, _)| *set == name)
    };
    let kept = headers.iter().filter(|(name, _)| !is_gone(name));
    let mut changed: Vec<_> = kept.map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
    changed.extend(changes.set.iter().map(|(name, value)| (&**name, Cow::Borrowed(&**value))));
    if let Some(path) = &changes.path {
        changed.retain(|(name, _)| *name != ":path");
        changed.push((":path", Cow::Borrowed(path)));
    }
    changed
}

fn borrowed<'a>(headers: &'a [(&'a str, Cow<'a, [u8]>)]) -> Vec<(&'a str, &'a [u8])> {
    headers.iter().map(|(name, value)| (*name, &**value)).collect()
}

/// The place of the rule that decided.
fn rule_of(decision: &Decision<'_>) -> Option<usize> {
    decision.rule().map(|rule| rule.index)
}

/// The SHA-256 of `a`.
const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

/// The SHA-256 of `b`.
const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

fn engine(policy: &Value) -> Engine {
    Engine::compile(policy.to_string().as_bytes(), &Environment::default())
        .unwrap_or_else(|findings| panic!("a policy of the fuzz targets is refused: {findings:?}"))
}

/// A policy whose one key has the token `a`, with other fields.
fn policy(other: &Value) -> Engine {
    let mut policy = json!({
        "credentials": [
            {"header": "authorization", "scheme": "Bearer"}, {"header": "authorization"}, {"basic": "password"},
            {"query": "k"}, {"cookie": "k"}, {"websocket_protocol": "k."},
        ],
        "keys": [key("a", A, &["x:read"])],
        "rules": [
            {"paths": ["/{r}/**"], "require": ["{r}:{action}", "{query.q|x}:read"]},
            {"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}"}},
        ],
    });
    if let (Some(policy), Some(other)) = (policy.as_object_mut(), other.as_object()) {
        policy.extend(other.clone());
    }
    engine(&policy)
}

fn key(id: &str, digest: &str, scopes: &[&str]) -> Value {
    json!({"id": id, "hash": format!("sha256:{digest}"), "scopes": scopes})
}

static PLAIN: LazyLock<Engine> = LazyLock::new(|| policy(&json!({})));

static FORWARDING: LazyLock<Engine> =
    LazyLock::new(|| policy(&json!({"forward_credential": true})));

static WITHOUT_SCOPES: LazyLock<Engine> =
    LazyLock::new(|| policy(&json!({"keys": [key("a", A, &[])]})));

static WITH_REVOKED: LazyLock<Engine> = LazyLock::new(|| {
    let revoked =
        json!({"id": "b", "hash": format!("sha256:{B}"), "scopes": ["*:*"], "disabled": true});
    policy(&json!({"keys": [key("a", A, &["x:read"]), revoked]}))
});

/// Rules with paths and hosts of every kind in one policy, and in a policy each.
static PATHS: LazyLock<(Engine, Vec<Engine>)> = LazyLock::new(|| {
    let rules = [
        json!({"paths": ["/x/y", "/x/{n}/z"]}),
        json!({"paths": ["/{n}/y/**"], "hosts": ["*.example.com"]}),
        json!({"paths": ["/x/{rest...}"], "hosts": ["example.com", "a.example.com"]}),
        json!({"paths": ["/x", "/%61/b", "/{a}/{b}/{c}"], "methods": ["GET"]}),
        json!({"paths": ["/graphql", "/x/*"]}),
        json!({"paths": ["/y/**", "/"]}),
        json!({"paths": ["/{n}.json", "/v{n}/x", "/v{n}.json/**"]}),
        json!({"paths": ["/v{n}", "/{n}:go", "/v%31{n}/{m}"]}),
    ];
    let public = |rule: &Value| {
        let mut rule = rule.clone();
        if let Some(rule) = rule.as_object_mut() {
            rule.insert("access".to_owned(), json!("public"));
            // A host that is none is refused where a rule looks at hosts, so each does.
            rule.entry("hosts").or_insert_with(|| json!(["example.com", "*.example.com"]));
        }
        rule
    };
    let rules: Vec<Value> = rules.iter().map(public).collect();
    let each = rules.iter().map(|rule| policy(&json!({"rules": [rule]}))).collect();
    (policy(&json!({"rules": rules})), each)
});
