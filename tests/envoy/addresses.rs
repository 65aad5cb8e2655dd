//! Whom Envoy takes for the client, where a key is for some addresses only.

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Gateway, Key, Setup};
use serde_json::json;

/// What is decided about a client that writes `x-forwarded-for` itself, with a key for a network and one for loopback.
fn decisions(change: impl Fn(Setup) -> Setup, forwarded: Option<&str>) -> [String; 2] {
    let (network, loopback) = (Key::new("network"), Key::new("loopback"));
    let key = |key: &Key, addresses: &[&str]| json!({"id": key.id, "hash": key.hash(), "scopes": ["*:*"], "addresses": addresses});
    let policy = json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [
            key(&network, &["203.0.113.0/24", "2001:db8::/32"]),
            key(&loopback, &["127.0.0.0/8"]),
        ],
    });
    let gateway: Gateway = change(Setup::new(policy)).start();
    [network, loopback].map(|key| {
        let authorization = key.bearer();
        let own = [("authorization", authorization.as_str())];
        let forwarded = forwarded.map(|addresses| ("x-forwarded-for", addresses));
        let headers: Vec<(&str, &str)> = own.into_iter().chain(forwarded).collect();
        gateway.get("/", &headers).decision().to_owned()
    })
}

const OF_NETWORK: [&str; 2] = ["allow key:network", "deny address_not_allowed key:loopback"];
const OF_LOOPBACK: [&str; 2] = ["deny address_not_allowed key:network", "allow key:loopback"];
const OF_NEITHER: [&str; 2] =
    ["deny address_not_allowed key:network", "deny address_not_allowed key:loopback"];

#[test]
fn who_connects_is_the_client_whatever_it_says() {
    let decisions = |forwarded| decisions(|setup| setup, forwarded);
    assert_eq!(decisions(None), OF_LOOPBACK);
    assert_eq!(decisions(Some("203.0.113.5")), OF_LOOPBACK);
}

#[test]
fn behind_a_proxy_that_is_trusted_the_client_is_whom_that_one_names() {
    let decisions = |forwarded| decisions(|setup| setup.trusted_hops(1), forwarded);
    assert_eq!(decisions(None), OF_LOOPBACK);
    assert_eq!(decisions(Some("203.0.113.5")), OF_NETWORK);
    assert_eq!(decisions(Some("198.51.100.1, 203.0.113.5")), OF_NETWORK);
    assert_eq!(decisions(Some("2001:db8::5")), OF_NETWORK);
    assert_eq!(decisions(Some("::ffff:203.0.113.5")), OF_NETWORK);
    // What stands before it, the client may have written.
    assert_eq!(decisions(Some("203.0.113.5, 198.51.100.1")), OF_NEITHER);
}

/// As the document warns of it.
#[test]
fn an_envoy_that_is_told_nothing_believes_everybody() {
    let is_told_nothing = |setup: Setup| {
        let change = |text: &str| replaced(text, "                use_remote_address: true\n", "");
        setup.change_bootstrap(change)
    };
    assert_eq!(decisions(is_told_nothing, Some("203.0.113.5")), OF_NETWORK);
}
