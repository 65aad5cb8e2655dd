//! `latchkey check`.

use std::collections::BTreeSet;

use super::{BROKEN, HASH, PEPPERED, TestCommand, directory, repository, systems};

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
    "line": 3,
    "column": 1,
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
fn a_file_that_does_not_parse_is_a_finding() {
    let directory = directory();
    for (name, text, code, line, column, message) in [
        ("a.yaml", "realm: a\nrealm: b\n", "duplicate", 2, 1, "duplicate field `realm`"),
        ("b.json", "{\"realm\": 1,\n \"realm\": 2}", "duplicate", 2, 8, "duplicate field `realm`"),
        (
            "c.yaml",
            "realm: [a\nkeys: []\n",
            "invalid_yaml",
            2,
            5,
            "illegal placement of ':' indicator",
        ),
        ("d.json", "{\"realm\": }", "invalid_json", 1, 11, "expected value"),
        (
            "e.yaml",
            "keys: {}\ncredentials: [{header: x-key}]\n",
            "wrong_type",
            1,
            1,
            "`keys` must be a list",
        ),
    ] {
        directory.write(name, text);
        let pointer = if name == "e.yaml" { "/keys" } else { "" };
        let at = if pointer.is_empty() { String::new() } else { format!(" (at {pointer})") };
        let command = format!("check {name} --keys keys.yaml");
        TestCommand::new(&directory, &command).prints(
            3,
            &format!("{name}:{line}:{column}: error[{code}]: {message}{at}\n1 error, 0 warnings\n"),
            "",
        );
        let json = TestCommand::new(&directory, &format!("{command} --format json"));
        let findings: serde_json::Value = serde_json::from_str(&json.everything()).unwrap();
        assert_eq!(
            findings,
            serde_json::json!([{
                "file": name, "line": line, "column": column, "severity": "error", "code": code,
                "pointer": pointer, "message": message, "help": null,
            }])
        );
    }
    for (keys, finding) in [
        ("keys:\n- id: a\n  id: b\n", "3:3: error[duplicate]: duplicate field `id`"),
        ("- id: a\n", "1:1: error[wrong_type]: a keys file must be an object with a list `keys`"),
        ("keys: []\na: 1\n", "2:1: error[unknown_field]: unknown field `a`, expected `keys`"),
        ("{}\n", "1:1: error[missing_field]: missing field `keys`"),
    ] {
        directory.write("keys.yaml", keys);
        TestCommand::new(&directory, "check policy.yaml --keys keys.yaml").prints(
            3,
            &format!("keys.yaml:{finding}\n1 error, 0 warnings\n"),
            "",
        );
    }
}

/// What is wrong with the others is told all the same, in each format.
#[test]
fn a_file_that_cannot_be_read_is_a_finding() {
    const UNREADABLE: &str = "No such file or directory (os error 2)";
    let directory = directory();
    let missing =
        format!("none.yaml: error[missing_file]: cannot read `none.yaml`: {UNREADABLE}\n");
    let broken = BROKEN.replace("1 error,", "2 errors,");
    TestCommand::new(&directory, "check policy.yaml none.yaml broken.yaml").prints(
        3,
        &format!("{missing}{broken}"),
        "",
    );
    let places = |format: &str| {
        let command = format!("check none.yaml broken.yaml --format {format}");
        let printed = TestCommand::new(&directory, &command).everything();
        serde_json::from_str::<serde_json::Value>(&printed).unwrap()
    };
    assert_eq!(
        places("json")[0],
        serde_json::json!({
            "file": "none.yaml", "line": null, "column": null, "severity": "error", "code": "missing_file",
            "pointer": "", "message": format!("cannot read `none.yaml`: {UNREADABLE}"), "help": null,
        })
    );
    assert_eq!(places("json")[1]["file"], "broken.yaml");
    let results = &places("sarif")["runs"][0]["results"];
    let rules: Vec<_> =
        results.as_array().unwrap().iter().map(|result| &result["ruleId"]).collect();
    assert_eq!(rules, ["missing_file", "unknown_field"]);
    let missing = missing.replace("none.yaml", "keys.json");
    TestCommand::new(&directory, "check policy.yaml broken.yaml --keys keys.json").prints(
        3,
        &format!("{missing}{broken}"),
        "",
    );
}

#[test]
fn all_that_is_wrong_with_files_of_rules_is_told() {
    let directory = directory();
    directory.write(
        "policy.yaml",
        "credentials: [{header: x-key}]\nmode: bad\nkeys: []\nrules_from: [none.yaml, text.yaml, own.yaml, gone.yaml]\n",
    );
    directory.write("text.yaml", "rules: all\n");
    directory.write("own.yaml", "rules:\n- {acess: deny}\n");
    let missing = |column: usize, name: &str, index: usize| {
        format!(
            "policy.yaml:4:{column}: error[missing_file]: cannot read `{name}`: No such file or directory (os error 2) \
             (at /rules_from/{index})\n"
        )
    };
    TestCommand::new(&directory, "check policy.yaml").prints(
        3,
        &format!(
            "policy.yaml:2:1: error[invalid_value]: `bad` is not one of `enforce`, `observe` (at /mode)\n{}{}\
             text.yaml:1:1: error[wrong_type]: `rules` must be a list (at /rules)\n\
             own.yaml:2:4: error[unknown_field]: unknown field `acess` (at /rules/0/acess)\n  \
             help: did you mean `access`?\n5 errors, 0 warnings\n",
            missing(14, "none.yaml", 0),
            missing(46, "gone.yaml", 3)
        ),
        "",
    );
}

#[test]
fn check_names_the_file_that_a_key_came_from() {
    let directory = directory();
    directory.write(
        "policy.yaml",
        &format!(
            "credentials: [{{header: x-key}}]\nkeys: [{{id: z, scopes: [], hash: '{PEPPERED}'}}]\n"
        ),
    );
    let key = format!("{{id: a, hash: '{HASH}', scopes: []}}");
    directory.write("keys.yaml", &format!("keys:\n- {key}\n- {{id: b, hash: x, scopes: []}}\n"));
    TestCommand::new(&directory, "check policy.yaml --keys keys.yaml")
        .with("LATCHKEY_PEPPER", "pepper")
        .prints(
            3,
            "keys.yaml:3:11: error[invalid_hash]: a hash is `sha256:` or `hmac-sha256:` \
             and 64 hex digits (at /keys/1/hash)\n  \
             help: the token itself must not be written here\n\
             1 error, 0 warnings\n",
            "",
        );
}

#[test]
fn check_names_the_file_that_a_rule_came_from() {
    let directory = directory();
    directory.write("generated.yaml", "rules:\n- {paths: [/a]}\n- {paths: [/b]}\n");
    directory.write("own.yaml", "rules:\n- {paths: [/b]}\n- paths: [/c]\n  acess: deny\n");
    let policy =
        "credentials: [{header: x-key}]\nkeys: []\nrules_from: [generated.yaml, own.yaml]\n";
    directory.write("policy.yaml", policy);
    TestCommand::new(&directory, "check policy.yaml").prints(
        3,
        "own.yaml:4:3: error[unknown_field]: unknown field `acess` (at /rules/1/acess)\n  \
         help: did you mean `access`?\n1 error, 0 warnings\n",
        "",
    );
    directory.write("own.yaml", "rules:\n- {paths: [/b]}\n");
    TestCommand::new(&directory, "check policy.yaml").prints(
        0,
        "own.yaml:2:3: warning[unreachable_rule]: this rule never matches: all that it would match is taken by \
         `generated.yaml:3` before it (at /rules/0)\n  \
         help: the first rule that matches decides; move the narrower one up\n0 errors, 1 warning\n",
        "",
    );
    directory.write("own.yaml", "rules:\n- {paths: [/b/**], name: b}\n- {paths: [/b/c]}\n");
    TestCommand::new(&directory, "check policy.yaml").prints(
        0,
        "own.yaml:3:3: warning[unreachable_rule]: this rule never matches: all that it would match is taken by \
         `b` before it (at /rules/1)\n  \
         help: the first rule that matches decides; move the narrower one up\n0 errors, 1 warning\n",
        "",
    );
    directory.write("policy.yaml", &policy.replace("own.yaml", "mine.yaml"));
    let json = TestCommand::new(&directory, "check policy.yaml --format json").everything();
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        findings,
        serde_json::json!([{
            "file": "policy.yaml", "line": 3, "column": 30, "severity": "error", "code": "missing_file",
            "pointer": "/rules_from/1", "help": null,
            "message": "cannot read `mine.yaml`: No such file or directory (os error 2)",
        }])
    );
}

#[test]
fn check_denies_warnings_if_told_to() {
    let directory = directory();
    let key = format!("{{id: a, hash: '{HASH}', scopes: [], attributes: {{plan: pro}}}}");
    directory.write(
        "policy.yaml",
        &format!("credentials: [{{header: x-key}}]\nkeys: [{key}]\nwhere: {{plam: pro}}\n"),
    );
    let findings = "policy.yaml:3:9: warning[unknown_attribute]: \
                    no key has the attribute `plam` (at /where/plam)\n  \
                    help: did you mean `plan`?\n\
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
        "peppered.yaml:2:11: error[missing_pepper]: \
         an `hmac-sha256` hash needs LATCHKEY_PEPPER in the VM's environment (at /keys/0/hash)\n\
         1 error, 0 warnings\n",
        "",
    );
    TestCommand::new(&directory, command).with("LATCHKEY_PEPPER", "pepper").prints(
        0,
        "0 errors, 0 warnings\n",
        "",
    );
}

/// Every warning there is, in a policy and its keys.
#[test]
fn check_warns_of_what_is_doubtful() {
    let directory = directory();
    directory.write(
        "policy.yaml",
        "credentials: [{header: x-key}]
key_types:
  live: {scopes: ['a:read'], max_active_per_account: 1}
  publishable: {scopes: ['b:read']}
keys: []
where: {plan: pro}
rules:
- {paths: ['/a/**'], require: ['a:{action}']}
- {paths: [/a/b], name: ghp_16C7e42F292c6912E7710c838347Ae178B4a, require: ['a:read'], mode: observe}
- {paths: ['/n/:id'], require: ['n:read'], where: {region: us}}
- {paths: ['/p/{x}', /q], where: {region: '{x}'}, require: ['a:read']}
- {paths: ['/%73'], query: {animal: ['*']}, require: ['a:read']}
- {paths: [/s], query: {ANIMAL: ['*']}, require: ['a:read']}
- {paths: [/Q], require: ['a:read']}
- {access: public}
",
    );
    let mut keys = "keys:\n".to_owned();
    for (index, fields) in [
        "type: live, account: x, attributes: {region: eu}",
        "type: live, account: x",
        "type: live",
        "",
        "scopes: [], expires_at: 2026-01-01T00:00:00Z",
        "scopes: [], expires_at: 2026-06-11T00:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        keys.push_str(&format!("- {{id: k{index}, hash: 'sha256:{index:064}', {fields}}}\n"));
    }
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    keys.push_str(&format!("- {{id: k.6, hash: 'sha256:{nothing}', scopes: []}}\n"));
    keys.push_str(&format!("- {{id: k-6, hash: 'sha256:{:064}', scopes: []}}\n", 7));
    let dated = "scopes: [], not_before: 20260701}";
    keys.push_str(&format!("- {{id: k8, hash: 'sha256:{:064}', {dated}\n", 8));
    directory.write("keys.yaml", &keys);
    let command = "check policy.yaml --keys keys.yaml --now 2026-06-01T00:00:00Z";
    TestCommand::new(&directory, command).prints(
        0,
        "\
policy.yaml:4:3: warning[publishable_without_origins]: keys of the type `publishable` look publishable, and work from any origin (at /key_types/publishable)
  help: `origins_required: true` makes sure that each names the pages that may use it
policy.yaml:4:26: warning[unused_scope]: no rule asks for this scope (at /key_types/publishable/scopes/0)
  help: without a rule a request needs its action on `*`, which only a scope such as `*:read` covers
policy.yaml:6:9: warning[unknown_attribute]: no key has the attribute `plan` (at /where/plan)
policy.yaml:9:3: warning[unreachable_rule]: this rule never matches: all that it would match is taken by `rules[0]` before it (at /rules/1)
  help: the first rule that matches decides; move the narrower one up
policy.yaml:9:19: warning[plaintext_token]: this looks like a token in plaintext (at /rules/1/name)
  help: keep its hash only; whoever read this file has the token, so rotate it
policy.yaml:9:88: warning[not_enforced]: whatever this rule asks of a good key, it only observes (at /rules/1/mode)
  help: leave `mode` out once the log shows no refusal that should not be
policy.yaml:10:12: warning[invalid_path]: `/n/:id` has a segment that is taken as it stands (at /rules/2/paths/0)
  help: a parameter is written `{name}`
policy.yaml:10:33: warning[ungranted_scope]: no key has a scope that covers this one (at /rules/2/require/0)
  help: nobody passes it; give the scope to a key or to a key type
policy.yaml:10:52: warning[unmet_condition]: no key has the `region` that is asked for here (at /rules/2/where/region)
  help: nobody passes it; compare it with the keys; letter case counts
policy.yaml:11:35: warning[unknown_parameter]: a path of this rule has no `{x}`: nobody meets this there (at /rules/3/where/region)
  help: write a rule of its own for that path
policy.yaml:12:12: warning[encoded_path]: `/%73` means `/s`: segments are decoded before they are compared (at /rules/4/paths/0)
  help: write it decoded, so that rules for the same path look alike
policy.yaml:13:3: warning[clashing_parameters]: this rule reads `ANIMAL` and `rules[4]` reads `animal`: some upstream takes one for the other, so a request with either is refused where the other is looked at (at /rules/5)
  help: read the parameter in the one spelling that the upstream documents
policy.yaml:14:12: warning[stricter_by_reading]: `/Q` and `/q` of `rules[3]` are one path to an upstream that does not tell letters by their case: who asks for either must be let in by both (at /rules/6/paths/0)
  help: if the upstream does not, name its framework in `upstream`, or write `exact`; else let both ask the same
policy.yaml:15:3: warning[public_everything]: this rule lets every request in without a key (at /rules/7)
  help: name the `paths` that are public
keys.yaml:3:3: warning[too_many_active_keys]: active key 2 of type `live` for account `x`, which may have at most 1 (at /keys/1)
  help: revoke what is not needed; only a key that ends within 30 days after the next one started is an overlap
keys.yaml:4:3: warning[missing_account]: the type `live` counts keys per account, and this key has none (at /keys/2)
  help: say whose key it is with `account`
keys.yaml:5:3: warning[no_scopes]: the key has neither scopes nor a type (at /keys/3)
  help: it passes only where a rule says `access: authenticated`; if that is meant, write `scopes: []`
keys.yaml:6:105: warning[expired_key]: this key expired at 2026-01-01T00:00:00Z (at /keys/4/expires_at)
  help: remove it, or rotate it if it is still needed
keys.yaml:7:105: warning[key_expires_soon]: this key expires at 2026-06-11T00:00:00Z (at /keys/5/expires_at)
  help: `latchkey key rotate` makes its successor, if it has none yet
keys.yaml:8:13: warning[hash_of_nothing]: this is the hash of an empty text, and no token is empty (at /keys/6/hash)
  help: hash the token itself; the variable it stood in was empty
keys.yaml:9:4: warning[same_metric]: `k-6` and `k.6` are the same name to Prometheus, which writes `.` and `-` as `_` (at /keys/7/id)
  help: let ids differ in letters or digits, or make labels of them with the `stats_tags` of `envoy/envoy.yaml`
keys.yaml:10:105: warning[date_as_seconds]: `20260701` is seconds, so this key is good from 1970-08-23T11:58:21Z on (at /keys/8/not_before)
  help: write a date as `\"2099-01-01T00:00:00Z\"`
0 errors, 22 warnings
",
        "",
    );
    let json = TestCommand::new(&directory, &format!("{command} --format json")).output();
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(findings.as_array().unwrap().len(), 22);
    assert_eq!(
        findings[18],
        serde_json::json!({
            "file": "keys.yaml", "line": 7, "column": 105, "severity": "warning",
            "code": "key_expires_soon", "pointer": "/keys/5/expires_at",
            "message": "this key expires at 2026-06-11T00:00:00Z",
            "help": "`latchkey key rotate` makes its successor, if it has none yet",
        })
    );

    // And the help and the documentation name these and no others.
    let told: BTreeSet<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    let help = TestCommand::new(&directory, "check --help").output();
    let help = help.split("Warnings:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named = help.lines().filter(|line| !line.starts_with("   "));
    let named: BTreeSet<&str> = named.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(named, told);
    let documentation = std::fs::read_to_string(repository("docs/configuration.md")).unwrap();
    let rows = documentation.split("\n## Warnings\n").nth(1).unwrap().lines();
    let documented: BTreeSet<&str> =
        rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(documented, told);
}

#[test]
fn check_shows_people_twenty_findings_of_a_kind() {
    let directory = directory();
    let key = |index| format!("- {{id: k{index}, hash: 'sha256:{index:064}'}}\n");
    let keys: String = (0..25).map(key).collect();
    directory.write("keys.yaml", &format!("keys:\n{keys}"));
    let output = TestCommand::new(&directory, "check policy.yaml --keys keys.yaml").output();
    assert_eq!(output.matches("warning[no_scopes]").count(), 20);
    assert!(
        output.ends_with(
            "and 5 more of no_scopes; `--format json` shows all\n0 errors, 25 warnings\n"
        ),
        "{output}"
    );
}

#[test]
fn how_many_more_there_are_is_told_last() {
    let directory = directory();
    let keys: String = (0..1_100).map(|index| format!("- {{id: k{index}, hash: x}}\n")).collect();
    directory.write("policy.yaml", &format!("credentials: [{{header: x-key}}]\nkeys:\n{keys}"));
    let told = TestCommand::new(&directory, "check policy.yaml").everything();
    let end = "policy.yaml:1:1: error[too_large]: 100 more findings\n\
               and 980 more of invalid_hash; `--format json` shows all\n1001 errors, 0 warnings\n";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn what_the_repository_ships_has_no_findings() {
    for policy in systems() {
        let command = format!("check {} --deny-warnings", policy.display());
        TestCommand::new(&directory(), &command).prints(0, "0 errors, 0 warnings\n", "");
    }
}

#[test]
fn check_tells_of_which_version_a_module_is() {
    let directory = directory();
    let own = env!("CARGO_PKG_VERSION");
    let module = std::fs::read(super::wasm()).unwrap();
    let file = directory.path().join("latchkey.wasm");
    std::fs::write(&file, &module).unwrap();
    let output = TestCommand::new(&directory, "check policy.yaml --wasm latchkey.wasm").output();
    let (line, rest) = output.split_once('\n').unwrap();
    let digest = line.strip_prefix(&format!("latchkey.wasm: latchkey {own}, sha256 ")).unwrap();
    assert_eq!((digest.len(), rest), (64, "0 errors, 0 warnings\n"));
    TestCommand::new(&directory, "check --wasm latchkey.wasm").prints(
        0,
        &format!("{line}\n0 errors, 0 warnings\n"),
        "",
    );

    // A build of another version, and one from before there were any.
    for (version, told) in
        [("0.1.x", "of version 0.1.x"), ("\0.1.0", "older than versions in modules")]
    {
        let mark = format!("(latchkey_build {own})");
        let place = module.windows(mark.len()).position(|part| part == mark.as_bytes()).unwrap();
        let mut other = module.clone();
        let place = place + mark.len() - 1 - own.len();
        other[place..place + version.len()].copy_from_slice(version.as_bytes());
        std::fs::write(&file, &other).unwrap();
        let output = TestCommand::new(&directory, "check --wasm latchkey.wasm").output();
        let warning = format!(
            "latchkey.wasm: warning[other_version]: the module is {told}, and this is {own}: it may take other policies\n"
        );
        assert!(output.contains(&warning), "{output}");
    }
    directory.write("latchkey.wasm", "no module");
    let error = "error: `latchkey.wasm` is not the filter: it is not a WebAssembly module\n";
    TestCommand::new(&directory, "check --wasm latchkey.wasm").prints_error(1, error);
}

#[test]
fn check_tells_what_a_module_is_trusted_with_and_what_a_policy_needs_beside_it() {
    let directory = directory();
    let system = |name: &str| repository(&format!("envoy/systems/{name}.yaml"));
    let (sessions, holds) = (system("flowyte"), system("flotiq"));
    let (sessions, holds) = (sessions.display(), holds.display());
    let (wasm, module) = (super::wasm(), latchkey_testing::module().display().to_string());
    let lines = |option: &str| {
        let command = format!("check {sessions} {holds} {option}");
        let output = TestCommand::new(&directory, &command).output();
        output.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let trusted = "it is trusted with all of Envoy, in whose process it runs; the Wasm filter runs in a sandbox";
    let handed = "`sessions` reach the module by a filter that `render --to envoy --module` prints, and not in \
                  Envoy Gateway";
    let switch = "`hold: headers` takes `allow_on_headers_stop_iteration` beside the filter, which `render --to envoy` \
                  and `--to ecds` print, and which Istio and Envoy Gateway lack";
    let none = "0 errors, 0 warnings".to_owned();
    assert_eq!(
        lines(&format!("--module {module}")),
        [format!("{module}: {trusted}"), format!("{sessions}: {handed}"), none.clone()]
    );
    assert_eq!(lines(&format!("--wasm {wasm}")), [format!("{holds}: {switch}"), none]);
}
