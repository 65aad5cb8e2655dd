//! Sessions that Envoy's `jwt_authn` filter verifies: really signed tokens, and forged ones.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rsa::pkcs1v15;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::Sha256;

use latchkey_testing::{Gateway, Setup, system};

const SECRET_KEY: &str = "flowyte_sk_demoAgents0000000000000000000000";

/// Far from any time at which this test runs.
const FUTURE: u64 = 4_102_444_800;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The issuer of the dashboard's sessions, with one of the two common kinds of key.
enum Issuer {
    Es256(ecdsa::SigningKey),
    Rs256(Box<rsa::RsaPrivateKey>),
}

impl Issuer {
    /// Issuers with this secret; they sign nothing but what this test makes.
    fn es256(secret: u8) -> Issuer {
        Issuer::Es256(ecdsa::SigningKey::from_slice(&[secret; 32]).unwrap())
    }

    fn rs256(secret: u8) -> Issuer {
        let mut random = ChaCha8Rng::from_seed([secret; 32]);
        Issuer::Rs256(Box::new(rsa::RsaPrivateKey::new(&mut random, 2048).unwrap()))
    }

    /// One of each kind.
    fn both(secret: u8) -> [Issuer; 2] {
        [Issuer::es256(secret), Issuer::rs256(secret)]
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Issuer::Es256(_) => "ES256",
            Issuer::Rs256(_) => "RS256",
        }
    }

    fn jwks(&self) -> String {
        let mut key = match self {
            Issuer::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = (encoded(point.x().unwrap()), encoded(point.y().unwrap()));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Issuer::Rs256(key) => {
                let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
                json!({"kty": "RSA", "n": encoded(n), "e": encoded(e)})
            }
        };
        key["alg"] = json!(self.algorithm());
        key["kid"] = json!("1");
        json!({"keys": [key]}).to_string()
    }

    /// `authorization` with a token of these claims.
    fn bearer(&self, claims: &Value) -> String {
        self.bearer_with(&json!({"alg": self.algorithm(), "kid": "1", "typ": "JWT"}), claims)
    }

    fn bearer_with(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = match self {
            Issuer::Es256(key) => {
                let signature: ecdsa::Signature =
                    ecdsa::signature::Signer::sign(key, text.as_bytes());
                signature.to_bytes().to_vec()
            }
            Issuer::Rs256(key) => {
                let key = pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new((**key).clone());
                let signature = rsa::signature::Signer::sign(&key, text.as_bytes());
                rsa::signature::SignatureEncoding::to_vec(&signature)
            }
        };
        format!("Bearer {text}.{}", encoded(signature))
    }

    /// What of the public key a forger could take for the secret of an HMAC.
    fn public_texts(&self) -> Vec<Vec<u8>> {
        let der = match self {
            Issuer::Es256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Issuer::Rs256(key) => key.to_public_key().to_public_key_der().unwrap().into_vec(),
        };
        let base64 = BASE64_STANDARD.encode(&der);
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let pem = ["-----BEGIN PUBLIC KEY-----", &lines.join("\n"), "-----END PUBLIC KEY-----"];
        let pem = pem.join("\n");
        vec![der, (pem.clone() + "\n").into(), pem.into(), self.jwks().into(), Vec::new()]
    }
}

/// Header and claims of a token.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()))
}

/// A token that is authenticated by a secret, as if the issuer shared one.
fn by_hmac(secret: &[u8], kid: Option<&str>, claims: &Value) -> String {
    let text = unsigned(&json!({"alg": "HS256", "kid": kid, "typ": "JWT"}), claims);
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    hmac.update(text.as_bytes());
    format!("Bearer {text}.{}", encoded(hmac.finalize().into_bytes()))
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
    Setup::of_system("flowyte").file("jwks.json", issuer.jwks()).start()
}

#[test]
fn a_verified_session_is_the_same_tenant_as_its_organizations_key() {
    for issuer in Issuer::both(7) {
        let gateway = gateway(&issuer);
        let session = issuer.bearer(&claims());
        let exchange = gateway.get("/v1/agents", &[("authorization", &session)]);
        assert_eq!(exchange.outcome(), ("allow session:usr_1", 200), "{}", issuer.algorithm());
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
        // A session may do what its scopes say, and no more: as the key of the same scopes may.
        for (path, status) in [
            ("/v1/agents", 200),
            ("/v1/billing/wallet", 403),
            ("/v1/campaigns", 403),
            ("/v1/organizations/org_demo/agents", 200),
            ("/v1/organizations/org_other/agents", 403),
        ] {
            for authorization in [&session, &key] {
                let exchange = gateway.get(path, &[("authorization", authorization)]);
                assert_eq!(exchange.response.status, status, "{path}: {}", exchange.decision());
                assert_eq!(exchange.log.account.as_deref(), Some("org_demo"), "{path}");
            }
        }
        let posted = gateway.raw(
            format!(
                "POST /v1/agents HTTP/1.1\r\nhost: a\r\nauthorization: {session}\r\n\
                 content-length: 0\r\n\r\n"
            )
            .as_bytes(),
        );
        assert_eq!(posted.outcome(), ("deny insufficient_scope", 403));
    }
}

#[test]
fn what_the_issuer_did_not_sign_is_no_session() {
    for (issuer, another) in Issuer::both(7).into_iter().zip(Issuer::both(8)) {
        let gateway = gateway(&issuer);
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            issuer.bearer(&claims)
        };
        let algorithm = issuer.algorithm();
        let other_kid = json!({"alg": algorithm, "kid": "2", "typ": "JWT"});
        let mut tampered = issuer.bearer(&claims());
        let rights = json!({"scope": "agents:read agents:write"});
        let (head, rest) = tampered.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        tampered = format!("{head}.{}.{signature}", encoded(rights.to_string()));
        let mut forged = vec![
            ("another issuer's key", another.bearer(&claims())),
            ("an unknown key id", another.bearer_with(&other_kid, &claims())),
            ("an expired token", with("exp", json!(1_000_000_000))),
            ("a token that is not good yet", with("nbf", json!(FUTURE - 1))),
            ("another audience", with("aud", json!("https://other.example"))),
            ("another issuer's name", with("iss", json!("https://evil.example"))),
            ("other claims under a good signature", tampered),
            ("no subject", with("sub", json!(""))),
            ("no organization", with("org_id", json!(5.5))),
            ("several organizations", with("org_id", json!(["org_demo"]))),
        ];
        for none in ["none", "None", "NONE"] {
            let header = json!({"alg": none, "kid": "1", "typ": "JWT"});
            forged.push(("no signature", format!("Bearer {}.", unsigned(&header, &claims()))));
        }
        for secret in issuer.public_texts() {
            for kid in [Some("1"), None] {
                forged.push(("the public key as a secret", by_hmac(&secret, kid, &claims())));
            }
        }
        for (what, bearer) in forged {
            let exchange = gateway.get("/v1/agents", &[("authorization", &bearer)]);
            let outcome = (exchange.response.status, exchange.decision());
            assert_eq!(outcome.0, 401, "{algorithm}, {what}: {outcome:?}");
            assert!(outcome.1.starts_with("deny "), "{algorithm}, {what}: {outcome:?}");
        }
        assert!(gateway.reports().is_empty());
    }
}

#[test]
fn what_is_told_of_a_session_says_that_it_is_one() {
    let issuer = Issuer::es256(7);
    let mut policy: Value = serde_json::from_str(&system("flowyte")).unwrap();
    policy["publish"] = json!(["key", "account", "rule", "reason"]);
    let setup = Setup::new(policy).system("flowyte").file("jwks.json", issuer.jwks());
    let gateway = setup.start();
    let session = issuer.bearer(&claims());
    let told = |path: &str, authorization: &str| {
        let published = gateway.get(path, &[("authorization", authorization)]).log.published();
        published.into_iter().filter(|(word, _)| word != "rule").collect::<Vec<_>>()
    };
    let of = |word: &str, text: &str| (word.to_owned(), text.to_owned());
    let account = of("account", "org_demo");
    assert_eq!(told("/v1/agents", &session), [of("key", "session:usr_1"), account.clone()]);
    let key = format!("Bearer {SECRET_KEY}");
    assert_eq!(told("/v1/agents", &key), [of("key", "agents-reader"), account.clone()]);
    let refused = [of("key", "session:usr_1"), account, of("reason", "denied_by_rule")];
    assert_eq!(told("/v1/campaigns", &session), refused);
}

#[test]
fn claims_are_read_by_their_kind() {
    let issuer = Issuer::es256(7);
    let gateway = gateway(&issuer);
    let (agents, demo) = (json!("agents:read"), json!("org_demo"));
    for (scope, organization, account, status) in [
        (json!(["openid", "agents:read"]), demo.clone(), Some("org_demo"), 200),
        // Each item is one scope, whatever words it has.
        (json!(["may agents:read that"]), demo.clone(), None, 403),
        (json!({"x agents:read y": []}), demo.clone(), None, 403),
        (json!(["agents:read", 1]), demo.clone(), None, 403),
        (json!(true), demo.clone(), None, 403),
        (json!([]), demo, None, 403),
        (agents.clone(), json!("Ärzte & Co"), Some("Ärzte & Co"), 200),
        (agents.clone(), json!(0), Some("0"), 200),
        (agents.clone(), json!(42), Some("42"), 200),
        (agents.clone(), json!(35_184_372_088_831_u64), Some("35184372088831"), 200),
        (agents.clone(), json!(35_184_372_088_832_u64), None, 401),
        (agents.clone(), json!(-1), None, 401),
        (agents, json!({"id": "org_demo"}), None, 401),
    ] {
        let mut claims = claims();
        claims["scope"] = scope;
        claims["org_id"] = organization;
        let bearer = issuer.bearer(&claims);
        let exchange = gateway.get("/v1/agents", &[("authorization", &bearer)]);
        assert_eq!(exchange.response.status, status, "{claims}: {}", exchange.decision());
        if status == 200 {
            let report = gateway.report();
            // The upstream says each byte as a character.
            let told: Vec<u8> =
                report.values("x-account-id").concat().chars().map(|byte| byte as u8).collect();
            assert_eq!(str::from_utf8(&told).ok(), account, "{claims}");
        }
    }
}

#[test]
fn a_known_key_beside_a_session_is_ambiguous() {
    let issuer = Issuer::es256(7);
    let gateway = gateway(&issuer);
    let session = issuer.bearer(&claims());
    // Two headers of one name, which Envoy joins.
    let key = format!("Bearer {SECRET_KEY}");
    for headers in [[&session, &key], [&key, &session]] {
        let headers = headers.map(|value| ("authorization", value.as_str()));
        let exchange = gateway.get("/v1/agents", &headers);
        assert_eq!(exchange.outcome(), ("deny ambiguous_credential", 401));
    }
}

/// Envoy compares the scheme as it is written, so its configuration lists the usual spellings.
#[test]
fn the_scheme_of_a_session_may_be_written_in_small_and_in_capital_letters() {
    let issuer = Issuer::es256(7);
    let gateway = gateway(&issuer);
    let session = issuer.bearer(&claims());
    let (_, token) = session.split_once(' ').unwrap();
    let forged = Issuer::es256(8).bearer(&claims());
    let (_, forged) = forged.split_once(' ').unwrap();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let with = |token: &str| format!("{scheme} {token}");
        let exchange = gateway.get("/v1/agents", &[("authorization", &with(token))]);
        assert_eq!(exchange.outcome(), ("allow session:usr_1", 200), "{scheme}");
        assert!(gateway.report().values("authorization").is_empty(), "{scheme}");
        let exchange = gateway.get("/v1/agents", &[("authorization", &with(forged))]);
        assert_eq!(exchange.response.status, 401, "{scheme}: {}", exchange.decision());
        // A key beside it is seen, whichever of them is found first.
        for other in ["Bearer", "bearer"] {
            let key = format!("{other} {SECRET_KEY}");
            for headers in [[with(token), key.clone()], [key, with(token)]] {
                let headers = headers.each_ref().map(|value| ("authorization", value.as_str()));
                let exchange = gateway.get("/v1/agents", &headers);
                assert_eq!(exchange.outcome(), ("deny ambiguous_credential", 401), "{scheme}");
            }
        }
    }
    for other in [format!("bEARER {token}"), format!("Bearer\t{token}")] {
        let exchange = gateway.get("/v1/agents", &[("authorization", &other)]);
        assert_eq!(exchange.response.status, 401, "{other}: {}", exchange.decision());
    }
    assert!(gateway.reports().is_empty());
}

/// What only some upstreams would read as a key is one beside a session as well.
#[test]
fn a_credential_in_another_spelling_beside_a_session_is_ambiguous() {
    let issuer = Issuer::es256(7);
    let mut policy: Value = serde_json::from_str(&system("flowyte")).unwrap();
    let credentials = policy["credentials"].as_array_mut().unwrap();
    credentials.extend(["header", "query", "cookie"].map(|place| json!({place: "x-api_key"})));
    let setup = Setup::new(policy).system("flowyte").file("jwks.json", issuer.jwks());
    let gateway = setup.start();
    let mut claims = claims();
    // A token longer than any that is looked up, as most are.
    claims["more"] = json!("x".repeat(600));
    let session = issuer.bearer(&claims);
    let session = ("authorization", session.as_str());
    let exchange = gateway.get("/v1/agents?a=b", &[session, ("cookie", "a=b")]);
    assert_eq!(exchange.outcome(), ("allow session:usr_1", 200));
    for (path, header) in [
        ("/v1/agents", ("x_api_key", "k")),
        ("/v1/agents", ("cookie", "x-api.key=k")),
        ("/v1/agents?x-api.key=k", ("x-other", "a")),
    ] {
        let exchange = gateway.get(path, &[session, header]);
        assert_eq!(exchange.outcome(), ("deny ambiguous_credential", 401), "{path} {header:?}");
    }
}
