//! The corpus `tests/cases` on a real Envoy.

use latchkey_testing::corpus;

#[test]
fn every_case_holds_on_envoy() {
    corpus::run_on_envoy(|setup| setup);
}
