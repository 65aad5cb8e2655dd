//! Sessions that Envoy's `jwt_authn` filter verifies: really signed tokens, and forged ones.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::harness::{Gateway, Setup, repository};

const SECRET_KEY: &str = "flowyte_sk_demoAgents0000000000000000000000";

/// Far from any time at which this test runs.
const FUTURE: u64 = 4_102_444_800;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The issuer of the dashboard's sessions.
struct Issuer(SigningKey);

impl Issuer {
    /// An issuer with this secret; it signs nothing but what this test makes.
    fn new(secret: u8) -> Issuer {
        Issuer(SigningKey::from_slice(&[secret; 32]).unwrap())
    }

    fn jwks(&self) -> String {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = (encoded(point.x().unwrap()), encoded(point.y().unwrap()));
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": x, "y": y});
        json!({"keys": [key]}).to_string()
    }

    /// `authorization` with a token of these claims.
    fn bearer(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature: Signature = self.0.sign(text.as_bytes());
        format!("Bearer {text}.{}", encoded(signature.to_bytes()))
    }
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "1", "typ": "JWT"})
}

fn claims() -> Value {
    json!({
        "iss": "https://auth.flowyte.example",
        "aud": "https://api.flowyte.example",
        "sub": "usr_1",
        "org_id": "org_demo",
        "scope": "agents:read",
        "exp": FUTURE,
    })
}

fn gateway(issuer: &Issuer) -> Gateway {
    let policy =
        latchkey_cli::policy::Policy::load(&repository("envoy/systems/flowyte.yaml"), None);
    let policy = String::from_utf8(policy.unwrap().to_json().unwrap()).unwrap();
    Setup::new(policy).system("flowyte").file("jwks.json", issuer.jwks()).start()
}

#[test]
fn a_verified_session_is_the_same_tenant_as_its_organizations_key() {
    let issuer = Issuer::new(7);
    let gateway = gateway(&issuer);
    let session = issuer.bearer(&header(), &claims());
    let exchange = gateway.get("/v1/agents", &[("authorization", &session)]);
    assert_eq!(exchange.outcome(), ("allow session:usr_1", 200));
    let by_session = gateway.report();
    let key = format!("Bearer {SECRET_KEY}");
    let exchange = gateway.get("/v1/agents", &[("authorization", &key)]);
    assert_eq!(exchange.outcome(), ("allow key:agents-reader", 200));
    let by_key = gateway.report();
    assert_eq!(by_session.values("x-account-id"), ["org_demo"]);
    assert_eq!(by_session.values("x-account-id"), by_key.values("x-account-id"));
    for report in [by_session, by_key] {
        assert!(report.values("authorization").is_empty(), "{report:?}");
    }
    // A session may do what its scopes say, and no more.
    let posted = gateway.raw(
        format!(
            "POST /v1/agents HTTP/1.1\r\nhost: a\r\nauthorization: {session}\r\n\
             content-length: 0\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(posted.outcome(), ("deny insufficient_scope", 403));
}

#[test]
fn what_the_issuer_did_not_sign_is_no_session() {
    let issuer = Issuer::new(7);
    let gateway = gateway(&issuer);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        issuer.bearer(&header(), &claims)
    };
    let unsigned = format!(
        "Bearer {}.{}.",
        encoded(json!({"alg": "none"}).to_string()),
        encoded(claims().to_string())
    );
    for (what, bearer) in [
        ("another issuer's key", Issuer::new(8).bearer(&header(), &claims())),
        ("an expired token", with("exp", json!(1_000_000_000))),
        ("another audience", with("aud", json!("https://other.example"))),
        ("another issuer's name", with("iss", json!("https://evil.example"))),
        ("no signature", unsigned),
        ("no subject", with("sub", json!(""))),
        ("no organization", with("org_id", json!(5))),
    ] {
        let exchange = gateway.get("/v1/agents", &[("authorization", &bearer)]);
        assert_eq!(exchange.response.status, 401, "{what}: {:?}", exchange.decision());
        assert!(exchange.decision().starts_with("deny "), "{what}");
    }
    assert!(gateway.reports().is_empty());
}

#[test]
fn a_known_key_beside_a_session_is_ambiguous() {
    let issuer = Issuer::new(7);
    let gateway = gateway(&issuer);
    let session = issuer.bearer(&header(), &claims());
    // Two headers of one name, which Envoy joins.
    let key = format!("Bearer {SECRET_KEY}");
    for headers in [[&session, &key], [&key, &session]] {
        let headers = headers.map(|value| ("authorization", value.as_str()));
        let exchange = gateway.get("/v1/agents", &headers);
        assert_eq!(exchange.outcome(), ("deny ambiguous_credential", 401));
    }
}
