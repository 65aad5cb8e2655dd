//! A quota for each account, in Envoy's local rate limit behind Latchkey.

use latchkey_testing::Setup;

#[test]
fn two_keys_of_one_account_share_its_quota() {
    let gateway = Setup::of_system("flotiq").start();
    let get = |token: &str| {
        let forged = ("x-account-id", "acc_forged");
        let exchange = gateway.get("/api/v1/content/Product", &[("x-auth-token", token), forged]);
        exchange.response.status
    };
    let (one, other) = ("demoReadWrite0000000000000000000", "demoReadOnly00000000000000000000");
    // Refused requests do not count.
    assert_eq!(get("demoUnknown0000000000000000000000"), 401);
    for number in 0..10 {
        assert_eq!(get(if number % 2 == 0 { one } else { other }), 200, "{number}");
    }
    assert_eq!(get(one), 429);
    assert_eq!(get(other), 429);
    assert_eq!(get("demoOtherAccount0000000000000000"), 200);
}
