//! `latchkey test`.

use super::{TestCommand, directory};

pub(crate) const CASES: &str = r#"{
  "cases": [
    {"name": "a good key reads",
     "request": {"headers": [["authorization", "Bearer demo-token"]]},
     "expect": {"decision": "allow key:a", "upstream": {"headers": {"authorization": null}}}},
    {"name": "no key",
     "expect": {"decision": "deny missing_credential", "status": 401,
                "body": {"error": "unauthorized", "message": "Invalid or missing API key"}}}
  ]
}"#;

#[test]
fn test_passes() {
    let directory = directory();
    directory.write("cases.json", CASES);
    TestCommand::new(&directory, "test policy.yaml cases.json --keys keys.yaml").prints(
        0,
        "2 cases, 0 failed\n",
        "",
    );
}

#[test]
fn test_runs_on_the_policy_that_it_is_given() {
    let directory = directory();
    directory.write("cases.json", &CASES.replacen('{', r#"{"policy_file": "none.yaml","#, 1));
    TestCommand::new(&directory, "test policy.yaml cases.json --keys keys.yaml").prints(
        0,
        "2 cases, 0 failed\n",
        "",
    );
}

#[test]
fn a_case_asks_as_a_key() {
    let directory = directory();
    let cases = r#"{"cases": [
        {"name": "a reads", "request": {"as": "a"}, "expect": {"decision": "allow key:a"}}
    ]}"#;
    directory.write("cases.json", cases);
    let test = "test policy.yaml cases.json --keys keys.yaml";
    TestCommand::new(&directory, test).prints(0, "1 case, 0 failed\n", "");
    directory.write("cases.json", &cases.replace(r#""as": "a""#, r#""as": "b""#));
    let error = "error: cases.json: case `a reads`: the policy has no key `b`\n";
    TestCommand::new(&directory, test).prints_error(1, error);
}

#[test]
fn test_names_every_mismatch() {
    let directory = directory();
    directory.write("cases.json", &CASES.replace("401", "403").replace("Invalid", "No"));
    TestCommand::new(&directory, "test policy.yaml cases.json").prints(
        1,
        "failed: a good key reads\n  \
           decision: expected `allow key:a`, got `deny unknown_key`\n  \
           upstream: expected the request, got nothing\n\
         failed: no key\n  \
           status: expected `403`, got `401`\n  \
           body: expected `{\"error\":\"unauthorized\",\"message\":\"No or missing API key\"}`, \
           got `{\"error\":\"unauthorized\",\"message\":\"Invalid or missing API key\"}`\n\
         2 cases, 2 failed\n",
        "",
    );
}

#[test]
fn test_takes_the_pepper_from_the_cases_or_the_environment() {
    let directory = directory();
    directory.write("cases.json", CASES);
    let command = "test policy.yaml cases.json --keys peppered.yaml";
    TestCommand::new(&directory, command).with("LATCHKEY_PEPPER", "pepper").prints(
        0,
        "2 cases, 0 failed\n",
        "",
    );
    directory.write("cases.json", &CASES.replacen('{', r#"{"pepper": "pepper","#, 1));
    TestCommand::new(&directory, command).prints(0, "2 cases, 0 failed\n", "");
}

#[test]
fn test_does_not_run_a_policy_that_is_refused() {
    let directory = directory();
    directory.write("cases.json", CASES);
    TestCommand::new(&directory, "test broken.yaml cases.json").prints(
        1,
        "",
        "error: `broken.yaml` is refused: `latchkey check` says why (1 finding)\n",
    );
}

#[test]
fn the_example_of_test_holds() {
    let directory = directory();
    let help = TestCommand::new(&directory, "test --help").output();
    let (_, example) = help.split_once("where cases.json holds").unwrap();
    directory.write("cases.json", example);
    directory.write(
        "policy.yaml",
        // The hash is the one of the word `TOKEN`.
        "credentials: [{header: authorization, scheme: Bearer}]\n\
         keys: [{id: reporting, account: ws_1, scopes: [read], hash: \
         'sha256:f98103e9217f099208569d295c1b276f1821348636c268c854bb2a086e0037cd'}]\n\
         upstream_headers: {x-workspace-id: '{key.account}'}\n\
         errors: {reasons: {insufficient_scope: \
         {message: This operation requires a read-write key}}}\n",
    );
    let command = "test policy.yaml cases.json";
    TestCommand::new(&directory, command).prints(0, "2 cases, 0 failed\n", "");
}
