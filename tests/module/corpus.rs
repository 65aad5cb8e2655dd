//! The corpus `tests/cases`, with the native module in each Envoy that it is made for.

use latchkey_testing::corpus;

#[test]
fn every_case_holds_on_envoy_1_40() {
    corpus::run_on_envoy(|setup| setup.module());
}

#[test]
fn every_case_holds_on_envoy_1_39() {
    corpus::run_on_envoy(|setup| setup.module().release("1.39"));
}

#[test]
fn every_case_holds_on_envoy_1_38() {
    corpus::run_where_the_first_decision_stays(|setup| setup.module().release("1.38"));
}
