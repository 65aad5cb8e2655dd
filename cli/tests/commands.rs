//! Every command in a directory of its own, with everything that it prints.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;
use support::{Directory, TestCommand};

const TOKEN: &str = "demo-token";
/// SHA-256 of the token.
const HASH: &str = "sha256:7c43ef5ae21d43ce2743f770c68e24def1a43ee2f416d2438410c8af7af2ff2c";
/// HMAC-SHA-256 of the token under the pepper `pepper`.
const PEPPERED: &str =
    "hmac-sha256:992c432b0ab6697bc45b6da477d0e146141be216e9d1305f3fe8fb546ff40bcf";

/// What is wrong with `broken.yaml`.
const BROKEN: &str = "\
broken.yaml: error[unknown_field]: /key: unknown field `key` (did you mean `keys`?)
1 error, 0 warnings
";

/// A directory with a good policy, the files that it needs, and a broken policy.
fn directory() -> Directory {
    let directory = Directory::new();
    directory.write(
        "policy.yaml",
        "realm: demo\ncredentials:\n- {header: authorization, scheme: Bearer}\nkeys: []\n",
    );
    directory.write("keys.yaml", &format!("keys:\n- {{id: a, hash: '{HASH}', scopes: [read]}}\n"));
    directory.write(
        "peppered.yaml",
        &format!("keys:\n- {{id: a, hash: '{PEPPERED}', scopes: [read]}}\n"),
    );
    directory.write("broken.yaml", "credentials:\n- header: x-key\nkey: []\nkeys: []\n");
    directory
}

#[test]
fn check_says_that_nothing_is_wrong() {
    TestCommand::new(&directory(), "check policy.yaml --keys keys.yaml").prints(
        0,
        "0 errors, 0 warnings\n",
        "",
    );
}

#[test]
fn check_names_every_finding() {
    TestCommand::new(&directory(), "check broken.yaml").prints(3, BROKEN, "");
}

#[test]
fn check_prints_json() {
    TestCommand::new(&directory(), "check broken.yaml --format json").prints(
        3,
        r#"[
  {
    "file": "broken.yaml",
    "severity": "error",
    "code": "unknown_field",
    "pointer": "/key",
    "message": "unknown field `key`",
    "help": "did you mean `keys`?"
  }
]
"#,
        "",
    );
    TestCommand::new(&directory(), "check policy.yaml --format json").prints(0, "[]\n", "");
}

#[test]
fn check_names_the_file_that_a_key_came_from() {
    let directory = directory();
    directory.write(
        "policy.yaml",
        &format!("credentials: [{{header: x-key}}]\nkeys: [{{id: z, hash: '{PEPPERED}'}}]\n"),
    );
    directory
        .write("keys.yaml", &format!("keys:\n- {{id: a, hash: '{HASH}'}}\n- {{id: b, hash: x}}\n"));
    TestCommand::new(&directory, "check policy.yaml --keys keys.yaml")
        .with("LATCHKEY_PEPPER", "pepper")
        .prints(
            3,
            "keys.yaml: error[invalid_hash]: /keys/1/hash: a hash is `sha256:` or `hmac-sha256:` \
             and 64 hex digits (a token itself must not stand here)\n\
             1 error, 0 warnings\n",
            "",
        );
}

#[test]
fn check_denies_warnings_if_told_to() {
    let directory = directory();
    let key = format!("{{id: a, hash: '{HASH}', attributes: {{plan: pro}}}}");
    directory.write(
        "policy.yaml",
        &format!("credentials: [{{header: x-key}}]\nkeys: [{key}]\nwhere: {{plam: pro}}\n"),
    );
    let findings = "policy.yaml: warning[unknown_attribute]: /where/plam: \
                    no key has the attribute `plam` (did you mean `plan`?)\n\
                    0 errors, 1 warning\n";
    TestCommand::new(&directory, "check policy.yaml").prints(0, findings, "");
    TestCommand::new(&directory, "check policy.yaml --deny-warnings").prints(3, findings, "");
}

#[test]
fn a_pepper_comes_from_the_environment() {
    let directory = directory();
    let command = "check policy.yaml --keys peppered.yaml";
    TestCommand::new(&directory, command).prints(
        3,
        "peppered.yaml: error[missing_pepper]: /keys/0/hash: \
         an `hmac-sha256` hash needs LATCHKEY_PEPPER in the VM's environment\n\
         1 error, 0 warnings\n",
        "",
    );
    TestCommand::new(&directory, command).with("LATCHKEY_PEPPER", "pepper").prints(
        0,
        "0 errors, 0 warnings\n",
        "",
    );
}

const CASES: &str = r#"{
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
fn render_prints_json_for_the_plugin() {
    TestCommand::new(&directory(), "render policy.yaml --keys keys.yaml --to json").prints(
        0,
        &format!(
            "{{\"realm\":\"demo\",\
             \"credentials\":[{{\"header\":\"authorization\",\"scheme\":\"Bearer\"}}],\
             \"keys\":[{{\"id\":\"a\",\"hash\":\"{HASH}\",\"scopes\":[\"read\"]}}]}}\n"
        ),
        "",
    );
}

#[test]
fn render_prints_the_file_that_envoy_watches() {
    let command = "render policy.yaml --keys keys.yaml --to ecds --wasm /etc/envoy/latchkey.wasm";
    TestCommand::new(&directory(), command).prints(0, &ecds(HASH, "read", ""), "");
}

#[test]
fn render_hands_the_pepper_over_where_it_is_needed() {
    let directory = directory();
    directory
        .write("keys.yaml", &format!("keys:\n- {{id: a, hash: '{PEPPERED}', scopes: [read]}}\n"));
    let environment =
        "        environment_variables:\n          host_env_keys: [LATCHKEY_PEPPER]\n";
    let command = "render policy.yaml --keys keys.yaml --to ecds --wasm /etc/envoy/latchkey.wasm";
    TestCommand::new(&directory, command).with("LATCHKEY_PEPPER", "pepper").prints(
        0,
        &ecds(PEPPERED, "read", environment),
        "",
    );
}

fn ecds(hash: &str, scope: &str, environment: &str) -> String {
    format!(
        r#"resources:
- "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: latchkey
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: latchkey
      failure_policy: FAIL_RELOAD
      allow_on_headers_stop_iteration: true
      vm_config:
        vm_id: latchkey
        runtime: envoy.wasm.runtime.v8
        code:
          local:
            filename: "/etc/envoy/latchkey.wasm"
{environment}      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: |
          {{
            "realm": "demo",
            "credentials": [
              {{"header":"authorization","scheme":"Bearer"}}
            ],
            "keys": [
              {{"id":"a","hash":"{hash}","scopes":["{scope}"]}}
            ]
          }}
"#
    )
}

#[test]
fn what_yaml_forbids_or_breaks_lines_at_survives_rendering() {
    let directory = directory();
    let odd = "\u{7f} \u{85} \u{2028} \u{feff} é \u{1f511} \\n \\\" \\u0000 # : - '";
    directory.write(
        "policy.json",
        &format!(
            r#"{{"credentials": [{{"header": "x-key"}}], "keys": [{{"id": "a", "hash": "{HASH}", "name": "{odd}"}}]}}"#
        ),
    );
    let json = TestCommand::new(&directory, "render policy.json --to json").output();
    let yaml =
        TestCommand::new(&directory, "render policy.json --to ecds --wasm x:#.wasm").output();
    let rendered: serde_json::Value = yaml_serde::from_str(&yaml).unwrap();
    let config = &rendered["resources"][0]["typed_config"]["config"];
    assert_eq!(config["vm_config"]["code"]["local"]["filename"], "x:#.wasm");
    let value = config["configuration"]["value"].as_str().unwrap();
    let [before, after] =
        [&json, value].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
    assert_eq!(before, after);
}

#[test]
fn render_refuses_a_policy_with_errors() {
    TestCommand::new(&directory(), "render broken.yaml --to json").prints(3, "", BROKEN);
}

#[test]
fn a_file_that_does_not_parse_is_a_failure_with_its_place() {
    let directory = directory();
    directory.write("twice.yaml", "realm: a\nrealm: b\n");
    for command in ["check twice.yaml", "render twice.yaml --to json"] {
        TestCommand::new(&directory, command).prints(
            1,
            "",
            "error: twice.yaml:2:1: duplicate field `realm`\n",
        );
    }
}

#[test]
fn wrong_usage_is_2() {
    TestCommand::new(&directory(), "render policy.yaml --to ecds").prints(
        2,
        "",
        "error: the following required arguments were not provided:\n  --wasm <PATH>\n\n\
         Usage: latchkey render --to <TO> --wasm <PATH> <POLICY>\n\n\
         For more information, try '--help'.\n",
    );
}

#[test]
fn every_command_shows_an_example() {
    for command in ["check", "render", "test"] {
        let help = TestCommand::new(&directory(), &format!("{command} --help")).output();
        assert!(help.contains(&format!("Example:\n  latchkey {command} ")), "{help}");
    }
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

#[test]
fn no_output_names_a_token() {
    let directory = directory();
    directory.write("cases.json", CASES);
    for command in [
        "check policy.yaml --keys keys.yaml",
        "render policy.yaml --keys keys.yaml --to json",
        "test policy.yaml cases.json --keys keys.yaml",
    ] {
        let output = TestCommand::new(&directory, command).output();
        assert!(!output.contains(TOKEN), "{output}");
    }
}
