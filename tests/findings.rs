//! Every broken configuration and exactly what is said about it.
//!
//! A finding is written here as `code pointer: message (help)`, a warning with `warning ` before it.

use std::fmt::Write;

use latchkey::{Code, Engine, Environment, Finding, Severity};

/// A fragment of a policy, beside one credential source and no keys, and its findings.
type Table = &'static [(&'static str, &'static [&'static str])];

/// Checks a table of fragments; `policy` makes a policy of each.
#[track_caller]
fn check(table: Table, policy: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for (fragment, expected) in table {
        let found = findings(&policy(fragment));
        if found != *expected {
            let _ = write!(wrong, "\n{fragment}\n  expected {expected:#?}\n  got {found:#?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Everything that is found in a policy, warnings of a good one included.
fn findings(json: &str) -> Vec<String> {
    findings_with(json.as_bytes(), None)
}

fn findings_with(json: &[u8], pepper: Option<&[u8]>) -> Vec<String> {
    raw_findings(json, pepper).iter().map(shown).collect()
}

fn raw_findings(json: &[u8], pepper: Option<&[u8]>) -> Vec<Finding> {
    match Engine::compile(json, &Environment { pepper }) {
        Ok(engine) => engine.warnings().to_vec(),
        Err(findings) => findings,
    }
}

fn shown(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "",
        Severity::Warning => "warning ",
    };
    format!("{severity}{} {finding}", finding.code.as_str())
}

/// A policy without keys, and `fields`.
fn with(fields: &str) -> String {
    format!(r#"{{"credentials": [{{"header": "x-key"}}], "keys": [], {fields}}}"#)
}

/// A policy with these credential sources.
fn sources(list: &str) -> String {
    format!(r#"{{"credentials": {list}, "keys": []}}"#)
}

/// A policy with one key, `fields` of it beside its id and hash, and two key types.
fn key(fields: &str) -> String {
    keys(&format!(r#"{{"id": "a", "hash": "{}", {fields}}}"#, hash(1)))
}

/// A policy with these keys and two key types.
fn keys(list: &str) -> String {
    let types = r#"{"secret": {}, "publishable": {"origins_required": true}}"#;
    format!(r#"{{"credentials": [{{"header": "x-key"}}], "key_types": {types}, "keys": [{list}]}}"#)
}

/// A policy with one key type.
fn key_type(fields: &str) -> String {
    with(&format!(r#""key_types": {{"t": {{{fields}}}}}"#))
}

/// A policy with one rule.
fn rule(fields: &str) -> String {
    with(&format!(r#""rules": [{{{fields}}}]"#))
}

/// A policy with these rules.
fn rules(list: &str) -> String {
    with(&format!(r#""rules": [{list}]"#))
}

/// A policy with these words for refusals.
fn errors(fields: &str) -> String {
    with(&format!(r#""errors": {{{fields}}}"#))
}

/// A hash for each number.
fn hash(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// `count` texts, parted by commas.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

#[test]
fn a_good_policy_has_no_findings() {
    check(
        &[
            (r#""realm": "flokit""#, &[]),
            (r#""rules": [], "methods": {}, "key_types": {}, "errors": {}, "metrics": {}"#, &[]),
            (r#""upstream_headers": {}, "response_headers": {}"#, &[]),
        ],
        with,
    );
}

#[test]
fn what_is_no_json_says_where() {
    for (document, expected) in [
        ("", "invalid_json /: not JSON: EOF while parsing a value at line 1 column 0"),
        ("{", "invalid_json /: not JSON: EOF while parsing an object at line 1 column 1"),
        ("keys: []", "invalid_json /: not JSON: expected value at line 1 column 1"),
        (r#"{"keys": [],}"#, "invalid_json /: not JSON: key must be a string at line 1 column 13"),
        (r#"{"keys": []} {}"#, "invalid_json /: not JSON: trailing characters at line 1 column 14"),
        ("[]", "wrong_type /: expected an object, found a list"),
        ("null", "wrong_type /: expected an object, found null"),
        ("\"sk_live_1\"", "wrong_type /: expected an object, found a string"),
        ("17", "wrong_type /: expected an object, found a number"),
    ] {
        assert_eq!(findings(document), [expected], "{document}");
    }
    assert_eq!(findings_with(b"{\"\xff\": 1}", None), ["invalid_json /: not JSON: not UTF-8"]);
}

#[test]
fn credentials_and_keys_must_be_there() {
    assert_eq!(
        findings("{}"),
        [
            "missing_field /: field `credentials` is missing (say where a token may stand, such as \
             `[{header: authorization, scheme: Bearer}]`)",
            "missing_field /: field `keys` is missing (a policy without keys says `keys: []`)",
        ]
    );
    assert_eq!(
        findings(r#"{"credentials": [], "keys": []}"#),
        ["empty /credentials: a policy needs at least one credential source"]
    );
    assert_eq!(
        findings(r#"{"credentials": null, "keys": null}"#),
        [
            "wrong_type /credentials: expected a list, found null",
            "wrong_type /keys: expected a list, found null",
        ]
    );
}

#[test]
fn an_unknown_field_is_found_at_every_level() {
    check(
        &[
            (
                r#""rulez": []"#,
                &["unknown_field /rulez: unknown field `rulez` (did you mean `rules`?)"],
            ),
            (r#""zebra": 1"#, &["unknown_field /zebra: unknown field `zebra`"]),
            (
                r#""key_types": {"t": {"prefx": "a"}}"#,
                &[
                    "unknown_field /key_types/t/prefx: unknown field `prefx` (did you mean `prefix`?)",
                ],
            ),
            (
                r#""key_types": {"t": {"format": {"length": 1, "charset": "hex", "chars": 1}}}"#,
                &["unknown_field /key_types/t/format/chars: unknown field `chars` (did you mean \
                     `charset`?)"],
            ),
            (
                r#""rules": [{"path": ["/a"]}]"#,
                &["unknown_field /rules/0/path: unknown field `path` (did you mean `paths`?)"],
            ),
            (
                r#""rules": [{}, {"deny": {"status": 403, "mesage": "x"}}]"#,
                &[
                    "unknown_field /rules/1/deny/mesage: unknown field `mesage` (did you mean `message`?)",
                ],
            ),
            (
                r#""errors": {"unauthorised": {}}"#,
                &[
                    "unknown_field /errors/unauthorised: unknown field `unauthorised` (did you mean \
                     `unauthorized`?)",
                ],
            ),
            (
                r#""errors": {"forbidden": {"cod": "x"}}"#,
                &[
                    "unknown_field /errors/forbidden/cod: unknown field `cod` (did you mean `code`?)",
                    "empty /errors/forbidden: this wording says nothing",
                ],
            ),
            (
                r#""errors": {"reasons": {"expired_key": {"code": "a", "stauts": 401}}}"#,
                &[
                    "unknown_field /errors/reasons/expired_key/stauts: unknown field `stauts` (did you \
                     mean `status`?)",
                ],
            ),
            (
                r#""metrics": {"perkey": true}"#,
                &[
                    "unknown_field /metrics/perkey: unknown field `perkey` (did you mean `per_key`?)",
                ],
            ),
            (r#""a/b~c": 1"#, &["unknown_field /: unknown field"]),
        ],
        with,
    );
    check(
        &[(
            r#"[{"header": "x-key", "schema": "Bearer"}]"#,
            &[
                "unknown_field /credentials/0/schema: unknown field `schema` (did you mean `scheme`?)",
            ],
        )],
        sources,
    );
    check(
        &[
            (
                r#""scope": ["read"]"#,
                &["unknown_field /keys/0/scope: unknown field `scope` (did you mean `scopes`?)"],
            ),
            (
                r#""expires": 1"#,
                &[
                    "unknown_field /keys/0/expires: unknown field `expires` (did you mean `expires_at`?)",
                ],
            ),
        ],
        key,
    );
}

#[test]
fn a_field_that_stands_twice_is_found() {
    check(
        &[
            (r#""realm": "a", "realm": "b""#, &["duplicate /: two fields `realm`"]),
            (
                r#""rules": [{"name": "a", "name": "b"}]"#,
                &["duplicate /rules/0: two fields `name`"],
            ),
            (r#""key_types": {"t": {}, "t": {}}"#, &["duplicate /key_types: two fields `t`"]),
            (
                r#""methods": {"SEARCH": "read", "SEARCH": "create"}"#,
                &["duplicate /methods: two fields `SEARCH`"],
            ),
            (
                r#""errors": {"body": {"a": 1, "a": 2}}"#,
                &["duplicate /errors/body: two fields `a`"],
            ),
        ],
        with,
    );
    check(
        &[
            (r#""name": "a", "name": "b""#, &["duplicate /keys/0: two fields `name`"]),
            (
                r#""attributes": {"a": "1", "a": "2"}"#,
                &["duplicate /keys/0/attributes: two fields `a`"],
            ),
        ],
        key,
    );
}

#[test]
fn a_value_of_a_wrong_type_is_found_in_its_place() {
    check(
        &[
            (r#""realm": 1"#, &["wrong_type /realm: expected a string, found a number"]),
            (
                r#""forward_credential": "yes""#,
                &["wrong_type /forward_credential: expected a boolean, found a string"],
            ),
            (r#""key_types": []"#, &["wrong_type /key_types: expected an object, found a list"]),
            (
                r#""key_types": {"t": []}"#,
                &["wrong_type /key_types/t: expected an object, found a list"],
            ),
            (r#""where": "plan""#, &["wrong_type /where: expected an object, found a string"]),
            (r#""where": {"id": 1}"#, &["wrong_type /where/id: expected a string, found a number"]),
            (
                r#""where": {"id": ["a", 1]}"#,
                &["wrong_type /where/id/1: expected a string, found a number"],
            ),
            (
                r#""methods": {"SEARCH": true}"#,
                &["wrong_type /methods/SEARCH: expected a string, found a boolean"],
            ),
            (r#""rules": {}"#, &["wrong_type /rules: expected a list, found an object"]),
            (r#""rules": ["a"]"#, &["wrong_type /rules/0: expected an object, found a string"]),
            (
                r#""rules": [{"hosts": "a.example"}]"#,
                &["wrong_type /rules/0/hosts: expected a list, found a string"],
            ),
            (
                r#""rules": [{"paths": ["/a", null]}]"#,
                &["wrong_type /rules/0/paths/1: expected a string, found null"],
            ),
            (
                r#""rules": [{"query": {"a": "1"}}]"#,
                &["wrong_type /rules/0/query/a: expected a list, found a string"],
            ),
            (
                r#""rules": [{"require": "read"}]"#,
                &["wrong_type /rules/0/require: expected a list, found a string"],
            ),
            (
                r#""rules": [{"deny": "no"}]"#,
                &["wrong_type /rules/0/deny: expected an object, found a string"],
            ),
            (
                r#""upstream_headers": {"x-a": 1}"#,
                &["wrong_type /upstream_headers/x-a: expected a string, found a number"],
            ),
            (
                r#""errors": {"forbidden": {"status": "403"}}"#,
                &["wrong_type /errors/forbidden/status: expected a whole number, found a string"],
            ),
            (
                r#""metrics": {"per_key": 1}"#,
                &["wrong_type /metrics/per_key: expected a boolean, found a number"],
            ),
        ],
        with,
    );
    check(
        &[
            (r#""type": 1"#, &["wrong_type /keys/0/type: expected a string, found a number"]),
            (r#""name": []"#, &["wrong_type /keys/0/name: expected a string, found a list"]),
            (
                r#""account": 17"#,
                &["wrong_type /keys/0/account: expected a string, found a number"],
            ),
            (
                r#""scopes": "read""#,
                &["wrong_type /keys/0/scopes: expected a list, found a string"],
            ),
            (
                r#""scopes": ["read", 1]"#,
                &["wrong_type /keys/0/scopes/1: expected a string, found a number"],
            ),
            (
                r#""not_before": true"#,
                &[
                    "wrong_type /keys/0/not_before: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, found a \
                     boolean",
                ],
            ),
            (
                r#""disabled": "no""#,
                &["wrong_type /keys/0/disabled: expected a boolean, found a string"],
            ),
            (
                r#""suspended": 1"#,
                &["wrong_type /keys/0/suspended: expected a boolean, found a number"],
            ),
            (
                r#""origins": "https://a.example""#,
                &["wrong_type /keys/0/origins: expected a list, found a string"],
            ),
            (
                r#""origins": ["https://a.example", 1]"#,
                &["wrong_type /keys/0/origins/1: expected a string, found a number"],
            ),
            (
                r#""addresses": "203.0.113.5""#,
                &["wrong_type /keys/0/addresses: expected a list, found a string"],
            ),
            (
                r#""addresses": [1, "203.0.113.5"]"#,
                &["wrong_type /keys/0/addresses/0: expected a string, found a number"],
            ),
            (
                r#""addresses": null"#,
                &["wrong_type /keys/0/addresses: expected a list, found null"],
            ),
            (
                r#""attributes": ["a"]"#,
                &["wrong_type /keys/0/attributes: expected an object, found a list"],
            ),
            (
                r#""attributes": {"a": "1", "seats": 5}"#,
                &["wrong_type /keys/0/attributes/seats: expected a string, found a number"],
            ),
        ],
        key,
    );
}

#[test]
fn null_is_not_the_same_as_left_out() {
    check(
        &[
            (r#""type": null"#, &["wrong_type /keys/0/type: expected a string, found null"]),
            (r#""name": null"#, &["wrong_type /keys/0/name: expected a string, found null"]),
            (r#""account": null"#, &["wrong_type /keys/0/account: expected a string, found null"]),
            (r#""scopes": null"#, &["wrong_type /keys/0/scopes: expected a list, found null"]),
            (
                r#""not_before": null"#,
                &[
                    "wrong_type /keys/0/not_before: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, found null",
                ],
            ),
            (
                r#""expires_at": null"#,
                &[
                    "wrong_type /keys/0/expires_at: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, found null",
                ],
            ),
            (
                r#""disabled": null"#,
                &["wrong_type /keys/0/disabled: expected a boolean, found null"],
            ),
            (r#""origins": null"#, &["wrong_type /keys/0/origins: expected a list, found null"]),
            (
                r#""attributes": null"#,
                &["wrong_type /keys/0/attributes: expected an object, found null"],
            ),
        ],
        key,
    );
    check(
        &[
            (r#""realm": null"#, &["wrong_type /realm: expected a string, found null"]),
            (r#""rules": null"#, &["wrong_type /rules: expected a list, found null"]),
            (r#""where": null"#, &["wrong_type /where: expected an object, found null"]),
            (r#""errors": null"#, &["wrong_type /errors: expected an object, found null"]),
            (
                r#""forward_credential": null"#,
                &["wrong_type /forward_credential: expected a boolean, found null"],
            ),
            (
                r#""key_types": {"t": {"origins_required": null}}"#,
                &["wrong_type /key_types/t/origins_required: expected a boolean, found null"],
            ),
            (
                r#""rules": [{"methods": null}]"#,
                &["wrong_type /rules/0/methods: expected a list, found null"],
            ),
            (
                r#""rules": [{"require": null}]"#,
                &["wrong_type /rules/0/require: expected a list, found null"],
            ),
        ],
        with,
    );
}

#[test]
fn a_word_of_a_few_is_a_string() {
    for (field, pointer) in [
        (r#""cors_preflight": VALUE"#, "/cors_preflight"),
        (r#""method_override": VALUE"#, "/method_override"),
        (r#""path_normalization": VALUE"#, "/path_normalization"),
        (r#""encoded_slashes": VALUE"#, "/encoded_slashes"),
        (r#""rules": [{"access": VALUE}]"#, "/rules/0/access"),
        (
            r#""key_types": {"t": {"format": {"length": 1, "charset": VALUE}}}"#,
            "/key_types/t/format/charset",
        ),
    ] {
        for (value, kind) in [
            ("1", "a number"),
            ("null", "null"),
            ("true", "a boolean"),
            (r#"["allow"]"#, "a list"),
            (r#"{"allow": null, "public": null, "hex": null}"#, "an object"),
        ] {
            let expected = format!("wrong_type {pointer}: expected a string, found {kind}");
            assert_eq!(findings(&with(&field.replace("VALUE", value))), [expected]);
        }
    }
}

#[test]
fn a_word_that_is_none_of_a_few_is_found() {
    check(
        &[
            (
                r#""cors_preflight": "alow""#,
                &[
                    "invalid_value /cors_preflight: `alow` is not one of `allow`, `authenticate` (did \
                     you mean `allow`?)",
                ],
            ),
            (
                r#""method_override": "authorise""#,
                &[
                    "invalid_value /method_override: `authorise` is not one of `authorize`, `ignore`, \
                     `remove` (did you mean `authorize`?)",
                ],
            ),
            (
                r#""path_normalization": "none""#,
                &["invalid_value /path_normalization: `none` is not one of `normalize`, `strict`"],
            ),
            (
                r#""encoded_slashes": "allow""#,
                &["invalid_value /encoded_slashes: `allow` is not one of `keep`, `refuse`"],
            ),
            (
                r#""upstream": "rails""#,
                &[
                    "invalid_value /upstream: `rails` is not one of `cautious`, `exact` (frameworks are named \
                     in a list, such as `[rails]`)",
                ],
            ),
            (
                r#""upstream": []"#,
                &["empty /upstream: no framework is named (write `exact` for none)"],
            ),
            (
                r#""upstream": ["rails", "express", "rails"]"#,
                &["duplicate /upstream/2: `rails` is listed twice"],
            ),
            (
                r#""upstream": ["expres"]"#,
                &[
                    "invalid_value /upstream/0: `expres` is not one of `actix`, `axum`, `chi`, `django`, `drf`, `echo`, `express`, `fastapi`, `fastify`, `fiber`, `flask`, `gin`, `go`, `hapi`, `hono`, `jersey`, `koa`, `laravel`, `nestjs`, `php`, `rails`, `sinatra`, `spring`, `symfony`, `trpc`, `webflux` (did you mean `express`?)",
                ],
            ),
            (
                r#""keep_target_headers": ["script-name", "x-original-url", "x-forwarded-prefix-url"]"#,
                &[
                    "invalid_value /keep_target_headers/0: `script-name` is not one of \
                     `daphne-root-path`, `script_name`, `x-original-url`, `x-rewrite-url` (did you mean \
                     `script_name`?)",
                    "invalid_value /keep_target_headers/2: `x-forwarded-prefix-url` is not one of \
                     `daphne-root-path`, `script_name`, `x-original-url`, `x-rewrite-url`",
                ],
            ),
            (
                r#""keep_target_headers": ["x-rewrite-url", "script_name", "x-rewrite-url"]"#,
                &["duplicate /keep_target_headers/2: `x-rewrite-url` is listed twice"],
            ),
            (
                r#""rules": [{"name": ""}, {"name": "a\r\nx-admin: 1"}, {"name": "list, create things é"}]"#,
                &[
                    "invalid_header /rules/0/name: a rule's name is text without control characters and \
                     without spaces at its ends",
                    "invalid_header /rules/1/name: a rule's name is text without control characters and \
                     without spaces at its ends",
                ],
            ),
            (
                r#""publish": ["key", "acount", "ip"]"#,
                &[
                    "invalid_value /publish/1: `acount` is not one of `account`, `key`, `reason`, `rule` \
                     (did you mean `account`?)",
                    "invalid_value /publish/2: `ip` is not one of `account`, `key`, `reason`, `rule`",
                ],
            ),
            (
                r#""publish": ["key", "rule", "key"]"#,
                &["duplicate /publish/2: `key` is listed twice"],
            ),
            (r#""publish": "key""#, &["wrong_type /publish: expected a list, found a string"]),
            (r#""publish": ["reason", "key", "account", "rule"]"#, &[]),
            (r#""publish": []"#, &[]),
            (
                r#""rules": [{"access": "pubic"}]"#,
                &["invalid_value /rules/0/access: `pubic` is not one of `authenticated`, `deny`, \
                     `key`, `optional`, `public` (did you mean `public`?)"],
            ),
            (
                r#""key_types": {"t": {"format": {"length": 1, "charset": "base64"}}}"#,
                &[
                    "invalid_value /key_types/t/format/charset: `base64` is not one of `alphanumeric`, \
                     `base64url`, `hex` (did you mean `base64url`?)",
                ],
            ),
        ],
        with,
    );
}

#[test]
fn the_name_of_a_policy_is_a_word_without_dots() {
    const NAME: &str = "invalid_identifier /name: the name of a policy is 1 to 64 of `A-Za-z0-9_-`";
    check(
        &[
            (r#""name": "billing_2-eu""#, &[]),
            (r#""name": "billing.eu""#, &[NAME]),
            (r#""name": """#, &[NAME]),
            (r#""name": "a b""#, &[NAME]),
            (r#""name": 1"#, &["wrong_type /name: expected a string, found a number"]),
        ],
        with,
    );
}

#[test]
fn a_realm_is_printable() {
    const MESSAGE: &str = "invalid_header /realm: a realm is 1 or more printable ASCII characters";
    check(
        &[
            (r#""realm": """#, &[MESSAGE]),
            (r#""realm": "a\nb""#, &[MESSAGE]),
            (r#""realm": "café""#, &[MESSAGE]),
            (r#""realm": "a \"b\" \\c""#, &[]),
        ],
        with,
    );
}

#[test]
fn what_is_only_observed_is_warned_of() {
    const HELP: &str = "(leave `mode` out once the log shows no refusal that should not be)";
    let of_policy =
        format!("warning not_enforced /mode: nothing is refused: the policy only observes {HELP}");
    let of_rule = format!(
        "warning not_enforced /rules/0/mode: whatever this rule asks of a good key, it only \
         observes {HELP}"
    );
    assert_eq!(findings(&with(r#""mode": "observe""#)), [&*of_policy]);
    assert_eq!(findings(&rule(r#""mode": "observe", "access": "deny""#)), [of_rule]);
    let both =
        r#""mode": "observe", "rules": [{"paths": ["/a"]}, {"paths": ["/b"], "mode": "enforce"}]"#;
    assert_eq!(
        findings(&with(both)),
        [
            of_policy,
            "contradiction /rules/1/mode: `mode: enforce` has no meaning beside the policy's `mode: observe` (leave \
             the policy's `mode` out, and write `mode: observe` into each rule that is only to be observed)"
                .to_owned()
        ]
    );
    check(&[(r#""mode": "enforce""#, &[])], with);
    check(
        &[(
            r#""mode": "observed""#,
            &["invalid_value /mode: `observed` is not one of `enforce`, `observe` (did you mean \
               `observe`?)"],
        )],
        with,
    );
    check(
        &[
            (r#""mode": "enforce", "access": "optional""#, &[]),
            (r#""mode": true"#, &["wrong_type /rules/0/mode: expected a string, found a boolean"]),
            (
                r#""mode": "enforce", "access": "public""#,
                &["contradiction /rules/0/mode: `mode` has no meaning beside `access: public`"],
            ),
        ],
        rule,
    );
}

#[test]
fn a_credential_source_may_have_a_name_that_rules_use() {
    const NAMED: &str =
        r#""credentials": [{"header": "x-key", "name": "server"}, {"query": "k"}], "keys": []"#;
    check(
        &[
            (r#"[{"query": "k", "name": "browser"}, {"cookie": "k", "name": "page"}]"#, &[]),
            (
                r#"[{"query": "k", "name": "browser"}, {"cookie": "k", "name": "browser"}]"#,
                &["duplicate /credentials/1/name: `browser` names two credential sources"],
            ),
            (
                r#"[{"query": "k", "name": ""}]"#,
                &[
                    "invalid_identifier /credentials/0/name: the name of a credential source is 1 to 64 \
                   of `A-Za-z0-9_.-`",
                ],
            ),
            (
                r#"[{"query": "k", "name": "a b"}]"#,
                &[
                    "invalid_identifier /credentials/0/name: the name of a credential source is 1 to 64 \
                   of `A-Za-z0-9_.-`",
                ],
            ),
            (
                r#"[{"query": "k", "name": 1}]"#,
                &["wrong_type /credentials/0/name: expected a string, found a number"],
            ),
        ],
        sources,
    );
    check(
        &[
            (r#""credentials": ["server"]"#, &[]),
            (r#""credentials": ["server"], "access": "optional""#, &[]),
            (r#""credentials": ["server"], "access": "deny""#, &[]),
            (
                r#""credentials": ["sever", "k"]"#,
                &[
                    "unknown_credential /rules/0/credentials/0: no credential source has the name \
                     `sever` (did you mean `server`?)",
                    "unknown_credential /rules/0/credentials/1: no credential source has the name `k`",
                ],
            ),
            (
                r#""credentials": ["server", "server"]"#,
                &["duplicate /rules/0/credentials/1: `server` is listed twice"],
            ),
            (
                r#""credentials": []"#,
                &["empty /rules/0/credentials: no credential counts on this rule (leave \
                   `credentials` out, or use `access: deny` to let nobody in)"],
            ),
            (
                r#""credentials": "server""#,
                &["wrong_type /rules/0/credentials: expected a list, found a string"],
            ),
            (
                r#""credentials": ["server"], "access": "public""#,
                &[
                    "contradiction /rules/0/credentials: `credentials` has no meaning beside `access: \
                   public`",
                ],
            ),
        ],
        |rule| format!(r#"{{{NAMED}, "rules": [{{{rule}}}]}}"#),
    );
}

#[test]
fn a_credential_source_is_one_of_five() {
    const ONE: &str = "contradiction /credentials/0: a credential source is one of `header` (with or \
                       without `scheme`), `query`, `cookie`, `basic` and `websocket_protocol`";
    check(
        &[
            ("[{}]", &[ONE]),
            (r#"[{"scheme": "Bearer"}]"#, &[ONE]),
            (r#"[{"header": "x", "query": "y"}]"#, &[ONE]),
            (r#"[{"query": "y", "scheme": "Bearer"}]"#, &[ONE]),
            (r#"[{"query": "y", "cookie": "z"}]"#, &[ONE]),
            (r#"[{"basic": "username", "header": "authorization"}]"#, &[ONE]),
            (r#"[{"basic": "username", "scheme": "Basic"}]"#, &[ONE]),
            (r#"[{"websocket_protocol": "a", "cookie": "z"}]"#, &[ONE]),
            (
                r#"[{"basic": "user"}]"#,
                &[
                    "invalid_value /credentials/0/basic: `user` is not one of `password`, `username` \
                   (did you mean `username`?)",
                ],
            ),
            (
                r#"[{"basic": ["username", "password"]}]"#,
                &["wrong_type /credentials/0/basic: expected a string, found a list"],
            ),
            (
                r#"[{"basic": "username"}, {"header": "x-key"}, {"basic": "password"}]"#,
                &[
                    "contradiction /credentials/2: `basic: password` and `basic: username` could take \
                   two tokens from one text",
                ],
            ),
            (
                r#"[{"basic": "username"}, {"basic": "username"}]"#,
                &["duplicate /credentials/1: `basic: username` is listed twice"],
            ),
            (
                r#"[{"basic": "username"}, {"header": "Authorization", "scheme": "basic"}]"#,
                &["contradiction /credentials/1: `authorization` with scheme `basic` and `basic: \
                   username` could take two tokens from one text"],
            ),
            (
                r#"[{"basic": "username"}, {"header": "authorization", "scheme": "Bearer"}, {"header": "authorization"}]"#,
                &[],
            ),
            (
                r#"[{"websocket_protocol": "api-key."}, {"websocket_protocol": "api-key."}]"#,
                &["duplicate /credentials/1: `websocket_protocol: api-key.` is listed twice"],
            ),
            (
                r#"[{"websocket_protocol": "api-key."}, {"websocket_protocol": "api-"}]"#,
                &[
                    "contradiction /credentials/1: `websocket_protocol: api-` and `websocket_protocol: \
                   api-key.` could take two tokens from one text",
                ],
            ),
            (
                r#"[{"websocket_protocol": "api-key."}, {"header": "Sec-WebSocket-Protocol"}]"#,
                &[
                    "contradiction /credentials/1: `sec-websocket-protocol` and `websocket_protocol: \
                   api-key.` could take two tokens from one text",
                ],
            ),
            (r#"[{"websocket_protocol": "api-key."}, {"websocket_protocol": "Api-Key."}]"#, &[]),
            (
                r#"["authorization"]"#,
                &["wrong_type /credentials/0: expected an object, found a string"],
            ),
            (
                r#"[{"query": ""}]"#,
                &["invalid_value /credentials/0/query: a query parameter needs a name"],
            ),
            (
                r#"[{"query": "k"}, {"cookie": "k"}, {"query": "k"}]"#,
                &["duplicate /credentials/2: query parameter `k` is listed twice"],
            ),
            (
                r#"[{"cookie": "k"}, {"cookie": "k"}]"#,
                &["duplicate /credentials/1: cookie `k` is listed twice"],
            ),
            (
                r#"[{"header": "x-key"}, {"header": "X-Key"}]"#,
                &["duplicate /credentials/1: `x-key` is listed twice"],
            ),
            (
                r#"[{"header": "authorization", "scheme": "Bearer"}, {"header": "Authorization", "scheme": "bearer"}]"#,
                &["duplicate /credentials/1: `authorization` with scheme `bearer` is listed twice"],
            ),
            (
                r#"[{"header": "authorization", "scheme": "Bearer"}, {"header": "authorization"}]"#,
                &[],
            ),
            (
                r#"[{"header": "authorization", "scheme": "Bearer"}, {"header": "authorization", "scheme": "Token"}]"#,
                &[],
            ),
        ],
        sources,
    );
    for json in [
        r#"[{"header": ""}]"#,
        r#"[{"header": "x key"}]"#,
        r#"[{"header": "x-key:"}]"#,
        r#"[{"header": ":path"}]"#,
        r#"[{"header": "x\nkey"}]"#,
        r#"[{"header": "cookie"}]"#,
    ] {
        assert_eq!(places(&sources(json)), ["invalid_header /credentials/0/header"], "{json}");
    }
    for json in [r#"[{"header": "x", "scheme": ""}]"#, r#"[{"header": "x", "scheme": "Bearer "}]"#]
    {
        assert_eq!(places(&sources(json)), ["invalid_header /credentials/0/scheme"], "{json}");
    }
    for json in [
        r#"[{"websocket_protocol": ""}]"#,
        r#"[{"websocket_protocol": "api key."}]"#,
        r#"[{"websocket_protocol": "api-key,"}]"#,
        r#"[{"websocket_protocol": "key:"}]"#,
        r#"[{"websocket_protocol": "schlüssel."}]"#,
    ] {
        let expected = ["invalid_header /credentials/0/websocket_protocol"];
        assert_eq!(places(&sources(json)), expected, "{json}");
    }
    for json in [r#"[{"cookie": ""}]"#, r#"[{"cookie": "a;b"}]"#, r#"[{"cookie": "a=b"}]"#] {
        assert_eq!(places(&sources(json)), ["invalid_header /credentials/0/cookie"], "{json}");
    }
}

/// Code and place of every finding.
fn places(json: &str) -> Vec<String> {
    raw_findings(json.as_bytes(), None)
        .iter()
        .map(|finding| format!("{} {}", finding.code.as_str(), finding.pointer))
        .collect()
}

#[test]
fn a_key_type_makes_sense() {
    const PREFIX: &str =
        "invalid_value /key_types/t/prefix: a prefix is visible ASCII, shorter than a token";
    const LENGTH: &str =
        "invalid_value /key_types/t/format/length: a token is 1 to 512 bytes long, prefix included";
    check(
        &[
            (r#""prefix": """#, &[PREFIX]),
            (r#""prefix": "sk live""#, &[PREFIX]),
            (r#""prefix": "ské""#, &[PREFIX]),
            (
                r#""format": {}"#,
                &[
                    "missing_field /key_types/t/format: field `length` is missing",
                    "missing_field /key_types/t/format: field `charset` is missing",
                ],
            ),
            (r#""format": {"length": 0, "charset": "hex"}"#, &[LENGTH]),
            (r#""format": {"length": -1, "charset": "hex"}"#, &[LENGTH]),
            (r#""format": {"length": 513, "charset": "hex"}"#, &[LENGTH]),
            (r#""prefix": "abc", "format": {"length": 510, "charset": "hex"}"#, &[LENGTH]),
            (r#""prefix": "abc", "format": {"length": 509, "charset": "hex"}"#, &[]),
            (
                r#""format": {"length": 1.5, "charset": "hex"}"#,
                &["wrong_type /key_types/t/format/length: expected a whole number, found a number"],
            ),
            (r#""format": {"length": 32.0, "charset": "hex"}"#, &[]),
            (
                r#""scopes": ["read", "a:b:c"]"#,
                &["invalid_scope /key_types/t/scopes/1: a scope has at most one colon"],
            ),
            (
                r#""addresses": []"#,
                &[
                    "empty /key_types/t/addresses: the type's list of addresses is empty (leave `addresses` out \
                     for any caller, or use `enabled: false`)",
                ],
            ),
            (
                r#""addresses": ["203.0.113.0/24", "203.0.113.1/24", "here", 5]"#,
                &[
                    "wrong_type /key_types/t/addresses/3: expected a string, found a number",
                    "invalid_address /key_types/t/addresses/1: the address has bits set behind the prefix of the network \
                     (write the network's first address, or leave the prefix out for this one)",
                    "invalid_address /key_types/t/addresses/2: an address is `203.0.113.5` or `2001:db8::1`, \
                     a network `203.0.113.0/24` or `2001:db8::/32`",
                ],
            ),
            (
                r#""max_active_per_account": 0"#,
                &["invalid_value /key_types/t/max_active_per_account: expected 1 or more"],
            ),
            (r#""max_active_per_account": 1.0"#, &[]),
        ],
        key_type,
    );
    for name in ["", "a b", "a/b", &"n".repeat(65)] {
        let found = findings(&with(&format!(r#""key_types": {{"{name}": {{}}}}"#)));
        let pointer = name.replace('/', "~1");
        let expected = format!(
            "invalid_identifier /key_types/{pointer}: a key type's name is 1 to 64 of `A-Za-z0-9_.-`"
        );
        assert_eq!(found, [expected]);
    }
}

#[test]
fn a_key_has_an_id_and_a_hash() {
    check(
        &[
            (
                "{}",
                &[
                    "missing_field /keys/0: field `id` is missing",
                    "missing_field /keys/0: field `hash` is missing",
                ],
            ),
            (r#""sk_live_1""#, &["wrong_type /keys/0: expected an object, found a string"]),
        ],
        keys,
    );
    for id in ["", "a b", "a/b", "é", "{x}", &"i".repeat(65)] {
        let json = keys(&format!(r#"{{"id": "{id}", "hash": "{}"}}"#, hash(1)));
        let expected = ["invalid_identifier /keys/0/id: a key id is 1 to 64 of `A-Za-z0-9_.-`"];
        assert_eq!(findings(&json), expected, "{id}");
    }
    let longest = keys(&format!(r#"{{"id": "{}", "hash": "{}"}}"#, "i".repeat(64), hash(1)));
    assert_eq!(findings(&longest), [""; 0]);
}

#[test]
fn a_hash_is_an_algorithm_and_64_hex_digits() {
    let digits = "0123456789abcdef".repeat(4);
    for bad in [
        String::new(),
        "sk_live_plaintext".to_owned(),
        digits.clone(),
        format!("sha256:{}", "1".repeat(63)),
        format!("sha256:{digits}0"),
        format!("sha256: {digits}"),
        format!("sha256:g{}", "1".repeat(63)),
        format!("SHA256:{digits}"),
        format!("sha512:{digits}"),
        format!("md5:{digits}"),
        format!("plain:{digits}"),
        format!("hmac-sha256:{}", "1".repeat(62)),
    ] {
        let found = findings(&keys(&format!(r#"{{"id": "a", "hash": "{bad}"}}"#)));
        let expected = "invalid_hash /keys/0/hash: a hash is `sha256:` or `hmac-sha256:` and 64 hex \
                        digits (the token itself must not be written here)";
        assert_eq!(found, [expected], "{bad}");
    }
}

#[test]
fn an_hmac_needs_the_pepper() {
    let json = keys(&format!(r#"{{"id": "a", "hash": "hmac-{}"}}"#, hash(1)));
    let expected = "missing_pepper /keys/0/hash: an `hmac-sha256` hash needs LATCHKEY_PEPPER in the \
                    VM's environment";
    assert_eq!(findings_with(json.as_bytes(), None), [expected]);
    assert_eq!(findings_with(json.as_bytes(), Some(b"")), [expected]);
    assert_eq!(findings_with(json.as_bytes(), Some(b"pepper")), [""; 0]);
}

#[test]
fn ids_and_hashes_are_unique() {
    let key = |id: &str, hash: &str| format!(r#"{{"id": "{id}", "hash": "{hash}"}}"#);
    let three = |one: String, two: String, three: String| keys(&[one, two, three].join(","));
    assert_eq!(
        findings(&three(key("a", &hash(1)), key("b", &hash(2)), key("a", &hash(3)))),
        ["duplicate_id /keys/2/id: another key has the same id"]
    );
    assert_eq!(
        findings(&three(key("a", &hash(10)), key("b", &hash(2)), key("c", &hash(10)))),
        ["duplicate_hash /keys/2/hash: another key has the same hash, so the same token"]
    );
    let capitals = hash(10).to_uppercase().replace("SHA256", "sha256");
    assert_eq!(
        findings(&three(key("a", &hash(10)), key("b", &hash(2)), key("c", &capitals))),
        ["duplicate_hash /keys/2/hash: another key has the same hash, so the same token"]
    );
    assert_eq!(
        findings(&three(key("a", &hash(1)), key("A", &hash(2)), key("a.", &hash(3)))),
        [""; 0]
    );
}

#[test]
fn a_keys_fields_make_sense() {
    const EMPTY_SIDE: &str = "invalid_scope /keys/0/scopes/0: neither side of a scope may be empty";
    const CHARACTER: &str = "invalid_scope /keys/0/scopes/0: a scope holds `*` or characters of \
                             `A-Za-z0-9_.-` on each side of its colon";
    const ADDRESS: &str = "invalid_address /keys/0/addresses/0: an address is `203.0.113.5` or `2001:db8::1`, \
                           a network `203.0.113.0/24` or `2001:db8::/32`";
    const ORIGIN: &str = "invalid_origin /keys/0/origins/0: an origin is `scheme://host`, \
                          `scheme://host:port` or `scheme://*.host`, without a path";
    const WINDOW: &str = "window_never_opens /keys/0: `not_before` is not before `expires_at`, so the \
                          key is never valid";
    const TIME: &str = "wrong_type /keys/0/expires_at: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, \
                        found another text";
    check(
        &[
            (
                r#""type": "secrt""#,
                &[
                    "unknown_key_type /keys/0/type: key type `secrt` is not defined in `key_types` (did \
                     you mean `secret`?)",
                ],
            ),
            (
                r#""type": "zebra""#,
                &["unknown_key_type /keys/0/type: key type `zebra` is not defined in `key_types`"],
            ),
            (r#""type": "secret", "scopes": []"#, &[]),
            (r#""scopes": [""]"#, &[EMPTY_SIDE]),
            (r#""scopes": [":read"]"#, &[EMPTY_SIDE]),
            (r#""scopes": ["agents:"]"#, &[EMPTY_SIDE]),
            (r#""scopes": ["agents read"]"#, &[CHARACTER]),
            (r#""scopes": ["{type}:read"]"#, &[CHARACTER]),
            (r#""scopes": ["a*:read"]"#, &[CHARACTER]),
            (
                r#""scopes": ["a:b:c"]"#,
                &["invalid_scope /keys/0/scopes/0: a scope has at most one colon"],
            ),
            (r#""scopes": ["*:*", "read", "*", "a.b_c-1:now"]"#, &[]),
            (r#""not_before": 10, "expires_at": 10"#, &[WINDOW]),
            (r#""not_before": 11, "expires_at": 10"#, &[WINDOW]),
            (
                r#""not_before": "2026-01-01T00:00:01Z", "expires_at": "2026-01-01T00:00:00Z""#,
                &[WINDOW],
            ),
            (
                r#""not_before": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00+01:00""#,
                &[WINDOW],
            ),
            (r#""not_before": 10, "expires_at": 11.0"#, &[]),
            (r#""expires_at": "2026-01-01""#, &[TIME]),
            (r#""expires_at": "2026-02-30T00:00:00Z""#, &[TIME]),
            (r#""expires_at": "tomorrow""#, &[TIME]),
            (
                r#""expires_at": 1.5"#,
                &[
                    "wrong_type /keys/0/expires_at: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, found a \
                     number",
                ],
            ),
            (
                r#""origins": []"#,
                &[
                    "empty /keys/0/origins: the key's list of origins is empty (leave `origins` out \
                     for any caller, or use `disabled: true`)",
                ],
            ),
            (r#""origins": ["*"]"#, &[ORIGIN]),
            (r#""origins": ["null"]"#, &[ORIGIN]),
            (r#""origins": ["app.example.com"]"#, &[ORIGIN]),
            (r#""origins": ["https://app.example.com/"]"#, &[ORIGIN]),
            (r#""origins": ["https://a*.example.com"]"#, &[ORIGIN]),
            (
                r#""addresses": []"#,
                &[
                    "empty /keys/0/addresses: the key's list of addresses is empty (leave `addresses` out \
                     for any caller, or use `disabled: true`)",
                ],
            ),
            (r#""addresses": ["localhost"]"#, &[ADDRESS]),
            (r#""addresses": ["203.0.113.5:443"]"#, &[ADDRESS]),
            (r#""addresses": ["203.0.113.0/33"]"#, &[ADDRESS]),
            (r#""addresses": ["203.0.113.0/255.255.255.0"]"#, &[ADDRESS]),
            (r#""addresses": ["203.0.113.*"]"#, &[ADDRESS]),
            (r#""addresses": ["*"]"#, &[ADDRESS]),
            (r#""addresses": [""]"#, &[ADDRESS]),
            (
                r#""addresses": ["203.0.113.0/24", "203.0.113.5/24", "2001:db8::1/32"]"#,
                &[
                    "invalid_address /keys/0/addresses/1: the address has bits set behind the prefix of the network \
                     (write the network's first address, or leave the prefix out for this one)",
                    "invalid_address /keys/0/addresses/2: the address has bits set behind the prefix of the network \
                     (write the network's first address, or leave the prefix out for this one)",
                ],
            ),
            (
                r#""addresses": ["203.0.113.5", "203.0.113.0/24", "::/0", "::ffff:203.0.113.0/120"]"#,
                &[],
            ),
            (
                r#""type": "publishable""#,
                &["missing_origins /keys/0: a key of this type needs `origins`, as the type says \
                     `origins_required`"],
            ),
            (r#""type": "publishable", "origins": ["https://a.example"]"#, &[]),
            (
                r#""account": """#,
                &[
                    "invalid_header /keys/0/account: an account is text without control characters and \
                     without spaces at its ends",
                ],
            ),
            (
                r#""account": "a\r\nx-admin: 1""#,
                &[
                    "invalid_header /keys/0/account: an account is text without control characters and \
                     without spaces at its ends",
                ],
            ),
            (
                r#""attributes": {"plan": " pro"}"#,
                &["invalid_header /keys/0/attributes/plan: an attribute is text without control \
                     characters and without spaces at its ends"],
            ),
            (
                r#""attributes": {"a b": "x"}"#,
                &["invalid_identifier /keys/0/attributes: an attribute name is 1 to 64 of \
                     `A-Za-z0-9_.-`"],
            ),
            (
                r#""attributes": {"account": "x"}"#,
                &["invalid_identifier /keys/0/attributes/account: an attribute cannot be named \
                     `account` (in a `where` that name stands for the key's own field)"],
            ),
            (r#""attributes": {}"#, &[]),
        ],
        key,
    );
}

#[test]
fn conditions_make_sense() {
    check(
        &[
            (
                r#""where": {}"#,
                &["empty /where: this condition asks for nothing (leave `where` out)"],
            ),
            (
                r#""where": {"id": []}"#,
                &["empty /where/id: no key could meet a condition without values"],
            ),
            (
                r#""where": {"a b": "x"}"#,
                &["invalid_identifier /where/a b: an attribute name is 1 to 64 of `A-Za-z0-9_.-`"],
            ),
            (
                r#""where": {"account": "{org}"}"#,
                &[
                    "unknown_parameter /where/account: `{org}` is not a parameter of this rule's paths",
                ],
            ),
            (
                r#""where": {"account": ["x", "{org"]}"#,
                &["invalid_template /where/account/1: a brace is unmatched"],
            ),
            (
                r#""rules": [{"paths": ["/a/{x}"], "where": {}}]"#,
                &["empty /rules/0/where: this condition asks for nothing (leave `where` out)"],
            ),
            (
                r#""rules": [{"paths": ["/a/{agent}"], "where": {"account": "{agnt}"}}]"#,
                &["unknown_parameter /rules/0/where/account: `{agnt}` is not a parameter of this \
                     rule's paths (did you mean `agent`?)"],
            ),
            (
                r#""rules": [{"paths": ["/a/{x}", "/b"], "where": {"account": "{x}"}}]"#,
                &[
                    "warning unknown_parameter /rules/0/where/account: a path of this rule has no `{x}`: nobody meets this there \
                     (write a rule of its own for that path)",
                ],
            ),
            (r#""where": {"account": "{query.org}", "id": ["{header.x-id|a}"]}"#, &[]),
            (r#""where": {"account": {"not": ["{query.org}", "b"]}, "id": {"not": "a"}}"#, &[]),
            (
                r#""where": {"id": {"not": []}}"#,
                &["empty /where/id/not: every key meets a condition without values"],
            ),
            (
                r#""where": {"id": {"nor": "a"}, "type": {}}"#,
                &[
                    "unknown_field /where/id/nor: unknown field `nor` (did you mean `not`?)",
                    "missing_field /where/id: field `not` is missing (such as `{not: [free]}`)",
                    "missing_field /where/type: field `not` is missing (such as `{not: [free]}`)",
                ],
            ),
            (
                r#""where": {"id": {"not": {"not": "a"}}, "type": {"not": null}}"#,
                &[
                    "wrong_type /where/id/not: expected a string, found an object",
                    "wrong_type /where/type/not: expected a string, found null",
                ],
            ),
            (
                r#""where": {"account": {"not": "{org}"}}"#,
                &[
                    "unknown_parameter /where/account/not: `{org}` is not a parameter of this rule's paths",
                ],
            ),
        ],
        with,
    );
}

#[test]
fn methods_make_sense() {
    check(
        &[
            (
                r#""methods": {"SEAR CH": "read"}"#,
                &["invalid_method /methods/SEAR CH: `SEAR CH` is not an HTTP method"],
            ),
            (r#""methods": {"": "read"}"#, &["invalid_method /methods/: `` is not an HTTP method"]),
            (
                r#""methods": {"search": "read"}"#,
                &["invalid_method /methods/search: as written, `search` matches no \
                     request (methods are case-sensitive; write `SEARCH`)"],
            ),
            (
                r#""methods": {"SEARCH": "*"}"#,
                &["invalid_scope /methods/SEARCH: `*` is not an action (an action is a word of \
                     `A-Za-z0-9_.-`, such as `read`)"],
            ),
            (
                r#""methods": {"SEARCH": "items:read"}"#,
                &[
                    "invalid_scope /methods/SEARCH: `items:read` is not an action (an action is a word of \
                     `A-Za-z0-9_.-`, such as `read`)",
                ],
            ),
        ],
        with,
    );
    check(
        &[
            (
                r#""methods": ["GET", "PO ST"]"#,
                &["invalid_method /rules/0/methods/1: `PO ST` is not an HTTP method"],
            ),
            (
                r#""methods": ["get"], "require": ["read"]"#,
                &["invalid_method /rules/0/methods/0: as written, `get` matches no \
                     request (methods are case-sensitive; write `GET`)"],
            ),
        ],
        rule,
    );
}

#[test]
fn an_empty_list_is_found_at_every_level() {
    check(
        &[
            (
                r#""hosts": []"#,
                &["empty /rules/0/hosts: a list without hosts would match no request"],
            ),
            (
                r#""paths": []"#,
                &["empty /rules/0/paths: a list without paths would match no request"],
            ),
            (
                r#""methods": []"#,
                &["empty /rules/0/methods: a list without methods would match no request"],
            ),
            (
                r#""query": {}"#,
                &["empty /rules/0/query: a list without parameters would match no request"],
            ),
            (
                r#""query": {"a": []}"#,
                &["empty /rules/0/query/a: a list without values would match no request"],
            ),
            (
                r#""headers": {}"#,
                &["empty /rules/0/headers: a list without headers would match no request"],
            ),
            (
                r#""headers": {"accept": []}"#,
                &["empty /rules/0/headers/accept: a list without values would match no request"],
            ),
            (
                r#""require": []"#,
                &["empty /rules/0/require: a rule that asks for no scope (use `access: \
                     authenticated` for any good key)"],
            ),
            (
                r#""require_any": []"#,
                &["empty /rules/0/require_any: a rule that asks for no scope (use `access: \
                     authenticated` for any good key)"],
            ),
            (r#""deny": {}"#, &["empty /rules/0/deny: this wording says nothing"]),
        ],
        rule,
    );
    check(
        &[
            (r#""unauthorized": {}"#, &["empty /errors/unauthorized: this wording says nothing"]),
            (r#""forbidden": {}"#, &["empty /errors/forbidden: this wording says nothing"]),
            (
                r#""reasons": {"revoked_key": {}}"#,
                &["empty /errors/reasons/revoked_key: this wording says nothing"],
            ),
        ],
        errors,
    );
}

#[test]
fn a_rule_does_not_contradict_itself() {
    check(
        &[
            (
                r#""require": ["a:read"], "require_any": ["b:read"]"#,
                &[
                    "contradiction /rules/0: `require` and `require_any` cannot both stand in one rule",
                ],
            ),
            (
                r#""access": "public", "require": ["read"]"#,
                &[
                    "contradiction /rules/0/require: `require` has no meaning beside `access: public`",
                ],
            ),
            (
                r#""access": "public", "require_any": ["read"]"#,
                &[
                    "contradiction /rules/0/require_any: `require_any` has no meaning beside `access: \
                     public`",
                ],
            ),
            (
                r#""access": "public", "where": {"id": "a"}"#,
                &["contradiction /rules/0/where: `where` has no meaning beside `access: public`"],
            ),
            (
                r#""access": "public", "deny": {"code": "x"}"#,
                &["contradiction /rules/0/deny: `deny` has no meaning beside `access: public`"],
            ),
            (
                r#""access": "authenticated", "require": ["read"]"#,
                &["contradiction /rules/0/require: `require` has no meaning beside `access: \
                     authenticated`"],
            ),
            (
                r#""access": "deny", "require": ["read"]"#,
                &["contradiction /rules/0/require: `require` has no meaning beside `access: deny`"],
            ),
            (
                r#""access": "deny", "where": {"id": "a"}"#,
                &["contradiction /rules/0/where: `where` has no meaning beside `access: deny`"],
            ),
            (
                r#""methods": ["GET", "BREW"]"#,
                &[
                    "contradiction /rules/0/methods/1: `BREW` stands for no action, and this rule needs \
                     `{action}` (add it to `methods`, or say in `require` what it needs)",
                ],
            ),
            (
                r#""methods": ["CONNECT"], "require": ["x:{action}"]"#,
                &[
                    "contradiction /rules/0/methods/0: `CONNECT` stands for no action, and this rule \
                     needs `{action}` (add it to `methods`, or say in `require` what it needs)",
                ],
            ),
            (
                r#""methods": ["BREW"], "access": "authenticated", "where": {"id": "{action}"}"#,
                &[
                    "contradiction /rules/0/methods/0: `BREW` stands for no action, and this rule needs \
                     `{action}` (add it to `methods`, or say in `require` what it needs)",
                ],
            ),
            (r#""methods": ["BREW"], "require": ["coffee:brew"]"#, &[]),
            (r#""methods": ["BREW"], "require": ["coffee:{action|brew}"]"#, &[]),
            (r#""access": "authenticated", "where": {"id": "a"}, "deny": {"code": "x"}"#, &[]),
            (
                r#""access": "optional", "require": ["read"], "where": {"id": "a"}, "deny": {"code": "x"}"#,
                &[],
            ),
            (
                r#""methods": ["BREW"], "access": "optional""#,
                &[
                    "contradiction /rules/0/methods/0: `BREW` stands for no action, and this rule needs \
                     `{action}` (add it to `methods`, or say in `require` what it needs)",
                ],
            ),
        ],
        rule,
    );
}

#[test]
fn hosts_are_hosts() {
    for bad in
        ["", "*", "a*.example", "a.example:443", "https://a.example", "a..b", "a b", "*.", "[::1"]
    {
        let found = findings(&rule(&format!(r#""hosts": ["good.example", "{bad}"]"#)));
        let expected = format!(
            "invalid_host /rules/0/hosts/1: `{bad}` is not a host (a host is `example.com` or \
             `*.example.com`, without a port)"
        );
        assert_eq!(found, [expected]);
    }
    // An item of another shape does not move the places of those behind it.
    assert_eq!(
        findings(&rule(r#""hosts": ["a.example", 1, "a b"]"#)),
        [
            "wrong_type /rules/0/hosts/1: expected a string, found a number",
            "invalid_host /rules/0/hosts/2: `a b` is not a host (a host is `example.com` or \
             `*.example.com`, without a port)",
        ]
    );
    assert_eq!(
        findings(&rule(r#""hosts": ["A.example", "*.b.example", "127.0.0.1", "[::1]"]"#)),
        [""; 0]
    );
}

#[test]
fn path_templates_are_templates() {
    const NEVER: &str = "no safe request path has such a segment: empty, a dot segment, a space, a \
                         backslash or a broken or unsafe percent-encoding";
    const NAME: &str =
        "a parameter is `{name}` or `{name...}`, its name of letters, digits, `_` and `-`";
    const PART: &str =
        "`*`, `**` and `{name...}` stand for whole segments; a part of one is `{name}`";
    const TWO: &str = "a segment has at most one parameter";
    const BRACE: &str = "a brace is unmatched";
    for (bad, message) in [
        ("", "a path starts with `/`"),
        ("v1", "a path starts with `/`"),
        ("/a//b", NEVER),
        ("/a/../b", NEVER),
        ("/a/./b", NEVER),
        ("/a/%2e%2e", NEVER),
        ("/a%2Fb", NEVER),
        ("/a%zz", NEVER),
        ("/a b", NEVER),
        ("/**/a", "`**` and `{name...}` stand last"),
        ("/{x...}/a", "`**` and `{name...}` stand last"),
        ("/{}", NAME),
        ("/{a b}", NAME),
        ("/{1}", NAME),
        ("/{x..}", NAME),
        ("/{-x}", NAME),
        ("/a{}b", NAME),
        ("/a{x...}", PART),
        ("/{x...}.json", PART),
        ("/a*", PART),
        ("/{x}.*", PART),
        ("/***", PART),
        ("/{x", BRACE),
        ("/a{x", BRACE),
        ("/x}", BRACE),
        ("/{x}}", BRACE),
        ("/{{x}}", NAME),
        ("/{x}{y}", TWO),
        ("/{x}.{y}", TWO),
        ("/a{x}b{x}c", TWO),
        ("/v{x}?a", "a path has no query and no fragment; use `query`"),
        ("/v%2{x}", NEVER),
        ("/{x}%2F", NEVER),
        ("/..;{x}", NEVER),
        ("/;x", NEVER),
        ("/a%2541", NEVER),
        (
            "/{action}.json",
            "`{action}` and `{method}` are what the request does, not parts of its path",
        ),
        ("/{x}/{x}", "two parameters have one name"),
        ("/{x}/{x...}", "two parameters have one name"),
        ("/a?b=c", "a path has no query and no fragment; use `query`"),
        ("/a#b", "a path has no query and no fragment; use `query`"),
    ] {
        let found = findings(&rule(&format!(r#""paths": ["/good", "{bad}"]"#)));
        assert_eq!(found, [format!("invalid_path /rules/0/paths/1: `{bad}`: {message}")]);
    }
    for good in [
        "/",
        "/a/",
        "/{x}",
        "/*/a/**",
        "/{a_1}/{rest...}",
        "/a%20b",
        "/a:b;c=d",
        "/{enterprise-team}",
        "/{Sid}.json",
        "/{id}:activate",
        "/v{version}/{a}-x",
        "/%7B{x}%2A",
        "/100%25",
    ] {
        assert_eq!(findings(&rule(&format!(r#""paths": ["{good}"]"#))), [""; 0], "{good}");
    }
}

#[test]
fn headers_of_rules_are_headers() {
    check(
        &[
            (
                r#""headers": {"a b": ["x"], ":path": ["/"], "Host": ["x.org"]}"#,
                &[
                    "invalid_header /rules/0/headers/a b: `a b` is not a header",
                    "invalid_header /rules/0/headers/:path: `:path` is not a header",
                    "invalid_header /rules/0/headers/Host: `host` is not among the headers of a request \
                     (use `hosts`)",
                ],
            ),
            (
                r#""headers": {"X-V": ["1"], "x-v": ["2"]}"#,
                &["duplicate /rules/0/headers/x-v: header `x-v` is listed twice"],
            ),
            (
                r#""headers": {"x-v": ["", " 1", "1,2", "1 2", "é"]}"#,
                &[
                    "invalid_header /rules/0/headers/x-v/0: a header's value is text without commas, \
                     control characters and spaces at its ends",
                    "invalid_header /rules/0/headers/x-v/1: a header's value is text without commas, \
                     control characters and spaces at its ends",
                    "invalid_header /rules/0/headers/x-v/2: a header's value is text without commas, \
                     control characters and spaces at its ends",
                ],
            ),
            (
                r#""headers": {"x-v": "1"}"#,
                &["wrong_type /rules/0/headers/x-v: expected a list, found a string"],
            ),
            (r#""headers": {"Accept": ["application/vnd.x.v2+json", "*"]}"#, &[]),
        ],
        rule,
    );
}

#[test]
fn requirements_are_templates_of_scopes() {
    check(
        &[
            (
                r#""require": ["a:b:c"]"#,
                &[
                    "invalid_scope /rules/0/require/0: `a:b:c` is not a scope: a scope has at most one colon",
                ],
            ),
            (
                r#""require": ["read", ""]"#,
                &[
                    "invalid_scope /rules/0/require/1: `` is not a scope: neither side of a scope may be empty",
                ],
            ),
            (
                r#""require_any": ["a b"]"#,
                &[
                    "invalid_scope /rules/0/require_any/0: `a b` is not a scope: a scope holds `*` or \
                     characters of `A-Za-z0-9_.-` on each side of its colon",
                ],
            ),
            (
                r#""require": ["{action}:{action}:read"]"#,
                &[
                    "invalid_scope /rules/0/require/0: `{action}:{action}:read` is not a scope: a scope \
                     has at most one colon",
                ],
            ),
            (
                r#""require": ["{query.t|a b}:read"]"#,
                &[
                    "invalid_scope /rules/0/require/0: `{query.t|a b}:read` is not a scope: a scope holds \
                     `*` or characters of `A-Za-z0-9_.-` on each side of its colon",
                ],
            ),
            (
                r#""paths": ["/{type}"], "require": ["{typ}:read"]"#,
                &["unknown_parameter /rules/0/require/0: `{typ}` is not a parameter of this \
                     rule's paths (did you mean `type`?)"],
            ),
            (
                r#""paths": ["/{type}", "/x"], "require": ["{type}:read"]"#,
                &[
                    "warning unknown_parameter /rules/0/require/0: a path of this rule has no `{type}`: nobody meets this there \
                     (write a rule of its own for that path)",
                ],
            ),
            (r#""paths": ["/{type}", "/x"], "require": ["{type|all}:read"]"#, &[]),
            (
                r#""require": ["x:{acton}"]"#,
                &["unknown_parameter /rules/0/require/0: `{acton}` is not a parameter of this \
                     rule's paths (did you mean `action`?)"],
            ),
            (
                r#""require": ["{key.id}:read"]"#,
                &["unknown_parameter /rules/0/require/0: `{key.id}` stands for nothing here"],
            ),
            (
                r#""require": ["{query.}:read"]"#,
                &["unknown_parameter /rules/0/require/0: `{query.}` stands for nothing here"],
            ),
            (
                r#""require": ["{action"]"#,
                &["invalid_template /rules/0/require/0: a brace is unmatched"],
            ),
            (
                r#""require": ["action}"]"#,
                &["invalid_template /rules/0/require/0: a brace is unmatched"],
            ),
            (
                r#""query": {"": ["a"]}"#,
                &["invalid_value /rules/0/query/: a query parameter needs a name"],
            ),
        ],
        rule,
    );
}

#[test]
fn what_a_rule_asks_of_graphql_makes_sense() {
    check(
        &[
            (
                r#""require": "{field}:{operation}", "nested": {"author": "authors", "settings": "allow",
                   "revenue": "billing:audit"}, "fields": {"a": "b", "c": "d:e"}, "introspection": "read""#,
                &[],
            ),
            (
                r#""nested": {}"#,
                &[
                    "missing_field /rules/0/graphql: field `require` is missing (such as `{field}:{operation}`)",
                ],
            ),
            (
                r#""require": "{root}:read", "hold": "all", "max_depth": 101, "max_bytes": 0, "nest": {}"#,
                &[
                    "unknown_field /rules/0/graphql/nest: unknown field `nest` (did you mean `nested`?)",
                    "unknown_parameter /rules/0/graphql/require: `{root}` is not a parameter of this rule's paths",
                    "invalid_value /rules/0/graphql/hold: `all` is not one of `body`, `headers`",
                    "invalid_value /rules/0/graphql/max_depth: expected 1 to 100",
                    "invalid_value /rules/0/graphql/max_bytes: expected 1 to 1048576",
                ],
            ),
            (
                r#""require": "{field}:read", "fields": {"__type": "a", "a b": "b", "c": "d e", "f": "a:b:c"},
                   "nested": {"__x": "allow", "a-b": "b", "c": "", "d": 1, "e": null}, "introspection": "a b""#,
                &[
                    "invalid_value /rules/0/graphql/fields/__type: a field's name is a GraphQL name, not an introspection field's",
                    "invalid_value /rules/0/graphql/fields/a b: a field's name is a GraphQL name, not an introspection field's",
                    "invalid_scope /rules/0/graphql/fields/c: `d e` is neither a resource nor a scope",
                    "invalid_scope /rules/0/graphql/fields/f: a scope has at most one colon",
                    "invalid_value /rules/0/graphql/nested/__x: a field's name is a GraphQL name, not an introspection field's",
                    "invalid_value /rules/0/graphql/nested/a-b: a field's name is a GraphQL name, not an introspection field's",
                    "invalid_scope /rules/0/graphql/nested/c: `` is neither a resource nor a scope",
                    "wrong_type /rules/0/graphql/nested/d: expected a string, found a number",
                    "wrong_type /rules/0/graphql/nested/e: expected a string, found null",
                    "invalid_scope /rules/0/graphql/introspection: a scope holds `*` or characters of `A-Za-z0-9_.-` on each side of its colon",
                ],
            ),
            (
                r#""require": "{field}:read", "nested": ["author"]"#,
                &["wrong_type /rules/0/graphql/nested: expected an object, found a list"],
            ),
        ],
        |fields| rule(&format!(r#""paths": ["/graphql"], "graphql": {{{fields}}}"#)),
    );
}

#[test]
fn headers_are_what_http_allows() {
    const VALUE: &str = "invalid_header /upstream_headers/x-a: a header's value has no control \
                         characters and no spaces at its ends";
    check(
        &[
            (
                r#""upstream_headers": {"x key": "a"}"#,
                &[
                    "invalid_header /upstream_headers/x key: `x key` is not a header that can be set",
                ],
            ),
            (
                r#""upstream_headers": {"": "a"}"#,
                &["invalid_header /upstream_headers/: `` is not a header that can be set"],
            ),
            (
                r#""upstream_headers": {":path": "a"}"#,
                &[
                    "invalid_header /upstream_headers/:path: `:path` is not a header that can be set",
                ],
            ),
            (
                r#""upstream_headers": {"Host": "a"}"#,
                &["invalid_header /upstream_headers/Host: `Host` is not a header that can be set"],
            ),
            (
                r#""response_headers": {"transfer-encoding": "chunked"}"#,
                &[
                    "invalid_header /response_headers/transfer-encoding: `transfer-encoding` is not a \
                     header that can be set",
                ],
            ),
            (
                r#""response_headers": {"content-length": "0"}"#,
                &[
                    "invalid_header /response_headers/content-length: `content-length` is not a header \
                     that can be set",
                ],
            ),
            (
                r#""upstream_headers": {"x-a": "{rule.nmae} {key.scope}"}"#,
                &[
                    "unknown_parameter /upstream_headers/x-a: `{rule.nmae}` stands for nothing here \
                     (did you mean `rule.name`?)",
                ],
            ),
            (r#""upstream_headers": {"x-a": "{rule.name} {key.scopes} {key.name}"}"#, &[]),
            (r#""upstream_headers": {"x-a": "a\nb"}"#, &[VALUE]),
            (r#""upstream_headers": {"x-a": "a\r\nx-b: c"}"#, &[VALUE]),
            (r#""upstream_headers": {"x-a": " a"}"#, &[VALUE]),
            (r#""upstream_headers": {"x-a": "a\u0000"}"#, &[VALUE]),
            (
                r#""upstream_headers": {"x-a": "a", "X-A": "b"}"#,
                &["duplicate /upstream_headers/X-A: header `X-A` is listed twice"],
            ),
            (
                r#""upstream_headers": {"x-a": "{key.acount}"}"#,
                &[
                    "unknown_parameter /upstream_headers/x-a: `{key.acount}` stands for nothing here \
                     (did you mean `key.account`?)",
                ],
            ),
            (
                r#""upstream_headers": {"x-a": "{key.hash}"}"#,
                &[
                    "unknown_parameter /upstream_headers/x-a: `{key.hash}` stands for nothing here (did \
                     you mean `key.name`?)",
                ],
            ),
            (
                r#""response_headers": {"x-a": "{code}"}"#,
                &["unknown_parameter /response_headers/x-a: `{code}` stands for nothing here"],
            ),
            (
                r#""response_headers": {"x-a": "{request_id"}"#,
                &["invalid_template /response_headers/x-a: a brace is unmatched"],
            ),
        ],
        with,
    );
}

#[test]
fn words_for_refusals_make_sense() {
    check(
        &[
            (
                r#""reasons": {"expired_kye": {"code": "x"}}"#,
                &[
                    "unknown_reason /errors/reasons/expired_kye: `expired_kye` is not a reason for a \
                     refusal (did you mean `expired_key`?)",
                ],
            ),
            (
                r#""reasons": {"zebra": {"code": "x"}}"#,
                &["unknown_reason /errors/reasons/zebra: `zebra` is not a reason for a refusal"],
            ),
            (
                r#""unauthorized": {"status": 200}"#,
                &["invalid_value /errors/unauthorized/status: a refusal's status is 400 to 599"],
            ),
            (
                r#""forbidden": {"status": 600}"#,
                &["invalid_value /errors/forbidden/status: a refusal's status is 400 to 599"],
            ),
            (
                r#""forbidden": {"status": -403}"#,
                &["invalid_value /errors/forbidden/status: a refusal's status is 400 to 599"],
            ),
            (
                r#""forbidden": {"status": 403.5}"#,
                &["wrong_type /errors/forbidden/status: expected a whole number, found a number"],
            ),
            (r#""forbidden": {"status": 404.0}"#, &[]),
            (
                r#""body": {"a": ["{cod}"]}"#,
                &[
                    "unknown_parameter /errors/body/a/0: `{cod}` stands for nothing here (did you mean \
                     `code`?)",
                ],
            ),
            (
                r#""body": "{key.id}""#,
                &["unknown_parameter /errors/body: `{key.id}` stands for nothing here"],
            ),
            (
                r#""forbidden": {"message": "{required_scopes}"}"#,
                &["unknown_parameter /errors/forbidden/message: `{required_scopes}` stands for \
                     nothing here (did you mean `required_scope`?)"],
            ),
            (
                r#""forbidden": {"message": "{message}"}"#,
                &["unknown_parameter /errors/forbidden/message: a message cannot contain itself"],
            ),
            (
                r#""content_type": """#,
                &["invalid_header /errors/content_type: a content type is visible ASCII"],
            ),
            (
                r#""content_type": "text/plain\r\nx: y""#,
                &["invalid_header /errors/content_type: a content type is visible ASCII"],
            ),
            (r#""body": "{\"error\":{\"code\":\"{code}\"}}""#, &[]),
            (r#""body": [1, 2.5, null, {}]"#, &[]),
        ],
        errors,
    );
    check(
        &[
            (
                r#""deny": {"status": 500}"#,
                &["invalid_value /rules/0/deny/status: a refusal's status is 400 to 499"],
            ),
            (
                r#""deny": {"message": "{agent}"}"#,
                &["unknown_parameter /rules/0/deny/message: `{agent}` stands for nothing here"],
            ),
        ],
        rule,
    );
}

#[test]
fn several_mistakes_are_reported_together() {
    let json = format!(
        r#"{{
            "relm": "x",
            "credentials": [{{"header": "x key"}}],
            "methods": {{"search": "read"}},
            "keys": [
                {{"id": "a", "hash": "{one}", "scopes": ["a:b:c", ""], "origins": []}},
                {{"id": "a", "hash": "sha256:1", "type": "t"}},
                17
            ],
            "rules": [{{"paths": ["x"], "hosts": [], "access": "public", "where": {{"id": []}}}}],
            "path_normalization": "none",
            "errors": {{"forbidden": {{"status": 1}}}}
        }}"#,
        one = hash(1)
    );
    assert_eq!(
        places(&json),
        [
            "unknown_field /relm",
            "invalid_header /credentials/0/header",
            "invalid_method /methods/search",
            "invalid_scope /keys/0/scopes/0",
            "invalid_scope /keys/0/scopes/1",
            "empty /keys/0/origins",
            "invalid_hash /keys/1/hash",
            "unknown_key_type /keys/1/type",
            "wrong_type /keys/2",
            "contradiction /rules/0/where",
            "empty /rules/0/hosts",
            "invalid_path /rules/0/paths/0",
            "empty /rules/0/where/id",
            "invalid_value /path_normalization",
            "invalid_value /errors/forbidden/status",
        ]
    );
}

#[test]
fn a_warning_does_not_refuse_the_policy() {
    let policy = |fields: &str| {
        let key =
            format!(r#"{{"id": "a", "hash": "{}", "attributes": {{"plan": "pro"}}}}"#, hash(1));
        format!(r#"{{"credentials": [{{"header": "x-key"}}], "keys": [{key}], {fields}}}"#)
    };
    check(
        &[
            (
                r#""where": {"plna": "pro"}"#,
                &[
                    "warning unknown_attribute /where/plna: no key has the attribute `plna` (did you \
                     mean `plan`?)",
                ],
            ),
            (
                r#""rules": [{"where": {"zebra": "pro"}}]"#,
                &[
                    "warning unknown_attribute /rules/0/where/zebra: no key has the attribute `zebra`",
                ],
            ),
            (
                r#""upstream_headers": {"x-plan": "{key.attributes.plans}"}"#,
                &["warning unknown_attribute /upstream_headers/x-plan: no key has the attribute \
                     `plans` (did you mean `plan`?)"],
            ),
            (r#""where": {"plan": "pro", "account": "a", "type": "t", "id": "a"}"#, &[]),
        ],
        policy,
    );
    let json = policy(r#""where": {"plna": "pro"}"#);
    assert!(Engine::compile(json.as_bytes(), &Environment::default()).is_ok());
    // Beside an error, a warning is reported as well.
    assert_eq!(
        places(&policy(r#""where": {"plna": "pro"}, "rules": 1"#)),
        ["unknown_attribute /where/plna", "wrong_type /rules"]
    );
}

#[test]
fn every_limit_has_its_own_error() {
    let too_many_keys = keys(&list(1_000_001, |_| "0".to_owned()));
    assert_eq!(findings(&too_many_keys), ["too_large /keys: more than 1000000 keys"]);

    let rules_of = |count| rules(&list(count, |_| "{}".to_owned()));
    assert_eq!(findings(&rules_of(10_001)), ["too_large /rules: more than 10000 rules"]);
    assert_eq!(findings(&rules_of(10_000)), [""; 0]);

    let attributes = |count| {
        key(&format!(r#""attributes": {{{}}}"#, list(count, |i| format!(r#""a{i}": "x""#))))
    };
    assert_eq!(
        findings(&attributes(33)),
        ["too_large /keys/0/attributes: more than 32 attributes"]
    );
    assert_eq!(findings(&attributes(32)), [""; 0]);

    let long = |length: usize| "v".repeat(length);
    for (field, pointer, what) in [
        (r#""attributes": {"a": "V"}"#, "/keys/0/attributes/a", "an attribute"),
        (r#""account": "V""#, "/keys/0/account", "an account"),
        (r#""name": "V""#, "/keys/0/name", "a name"),
    ] {
        let json = |length| key(&field.replace('V', &long(length)));
        let expected = format!("too_large {pointer}: {what} is at most 256 bytes long");
        assert_eq!(findings(&json(257)), [expected]);
        assert_eq!(findings(&json(256)), [""; 0]);
    }
    let umlauts = key(&format!(r#""account": "{}""#, "ü".repeat(129)));
    assert_eq!(
        findings(&umlauts),
        ["too_large /keys/0/account: an account is at most 256 bytes long"]
    );

    let scopes =
        |count| key(&format!(r#""scopes": [{}]"#, list(count, |_| r#""read""#.to_owned())));
    assert_eq!(findings(&scopes(1_001)), ["too_large /keys/0/scopes: more than 1000 scopes"]);
    assert_eq!(findings(&scopes(1_000)), [""; 0]);

    let origins = |count| {
        key(&format!(r#""origins": [{}]"#, list(count, |i| format!(r#""https://a{i}.example""#))))
    };
    assert_eq!(findings(&origins(1_001)), ["too_large /keys/0/origins: more than 1000 origins"]);
    assert_eq!(findings(&origins(1_000)), [""; 0]);

    let addresses = |count| {
        key(&format!(r#""addresses": [{}]"#, list(count, |i| format!(r#""2001:db8::{i:x}""#))))
    };
    assert_eq!(
        findings(&addresses(1_001)),
        ["too_large /keys/0/addresses: more than 1000 addresses"]
    );
    assert_eq!(findings(&addresses(1_000)), [""; 0]);

    let required =
        |count| rule(&format!(r#""require": [{}]"#, list(count, |_| r#""read""#.to_owned())));
    assert_eq!(findings(&required(257)), ["too_large /rules/0/require: more than 256 scopes"]);
    assert_eq!(findings(&required(256)), [""; 0]);

    let types = |count| {
        with(&format!(r#""key_types": {{{}}}"#, list(count, |i| format!(r#""t{i}": {{}}"#))))
    };
    assert_eq!(findings(&types(10_001)), ["too_large /key_types: more than 10000 key types"]);
    assert_eq!(findings(&types(1_001)), [""; 0]);

    let header_sources =
        |count| sources(&format!("[{}]", list(count, |i| format!(r#"{{"header": "x-{i}"}}"#))));
    assert_eq!(
        findings(&header_sources(101)),
        ["too_large /credentials: more than 100 credential sources"]
    );
    assert_eq!(findings(&header_sources(100)), [""; 0]);

    for field in ["upstream_headers", "response_headers"] {
        let headers = |count| {
            with(&format!(r#""{field}": {{{}}}"#, list(count, |i| format!(r#""x-{i}": "a""#))))
        };
        let expected = format!("too_large /{field}: more than 100 headers");
        assert_eq!(findings(&headers(101)), [expected]);
        assert_eq!(findings(&headers(100)), [""; 0]);
    }

    let choices =
        |count| with(&format!(r#""where": {{"id": [{}]}}"#, list(count, |i| format!(r#""a{i}""#))));
    assert_eq!(findings(&choices(1_001)), ["too_large /where/id: more than 1000 values"]);
    assert_eq!(findings(&choices(1_000)), [""; 0]);

    let path = |count| rule(&format!(r#""paths": ["{}"]"#, "/a".repeat(count)));
    assert_eq!(places(&path(129)), ["invalid_path /rules/0/paths/0"]);
    assert_eq!(findings(&path(128)), [""; 0]);

    let hint = |length| key(&format!(r#""hint": "{}""#, long(length)));
    assert_eq!(findings(&hint(33)), ["too_large /keys/0/hint: a hint is at most 32 bytes long"]);
    assert_eq!(findings(&hint(32)), [""; 0]);

    let large = with(&format!(r#""realm": "{}""#, long(4 * 1024 * 1024)));
    assert_eq!(
        findings(&large),
        ["too_large /: the policy besides its keys is larger than 4194304 bytes"]
    );

    let mistakes = findings(&rules(&list(1_500, |_| "0".to_owned())));
    assert_eq!(mistakes.len(), 1_001);
    assert_eq!(mistakes[999], "wrong_type /rules/999: expected an object, found a number");
    assert_eq!(mistakes[1_000], "too_large /: 500 more findings");

    let spaces = vec![b' '; 256 * 1024 * 1024 + 1];
    assert_eq!(
        findings_with(&spaces, None),
        ["too_large /: the configuration is larger than 268435456 bytes"]
    );
}

/// No finding may show what could be a token or a hash, wherever in the policy it was put by
/// mistake. `SECRET` stands for a token, `DIGITS` for the digits of a hash.
#[test]
fn no_finding_shows_a_secret() {
    const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    let digits = "9aae5d7abe4bbc464fcc6ab2ff57e7b5ad4d61ed3e0ed8ea3b2fa0d2c9ab7d0e";
    let key = |fields: &str| {
        format!(r#"{{"credentials": [{{"header": "x-key"}}], "keys": [{{{fields}}}]}}"#)
    };
    let good = r#""id": "a", "hash": "sha256:DIGITS""#;
    let mut policies = vec![
        // A token or a hash where another field of a key should be.
        key(r#""id": "a", "hash": "SECRET""#),
        key(r#""id": "a", "hash": "sha256:SECRET""#),
        key(r#""id": "a", "hash": "sha256:DIGITS0""#),
        key(r#""id": "a", "hash": "DIGITS""#),
        key(r#""id": "a", "hash": "md5:DIGITS""#),
        key(r#""id": "a b SECRET", "hash": "sha256:DIGITS""#),
        key(r#""id": {"SECRET": 1}, "hash": ["SECRET"]"#),
        key(r#""id": "a", "hash": "hmac-sha256:DIGITS""#),
        key(r#""id": "a", "token": "SECRET""#),
        key(r#""id": "a", "SECRET": "sha256:DIGITS""#),
        "{\"credentials\": [{\"header\": \"x-key\"}], \"keys\": [\"SECRET\"]}".to_owned(),
        "{\"credentials\": [{\"header\": \"x-key\"}], \"keys\": {\"SECRET\": 1}}".to_owned(),
        "{\"credentials\": [{\"header\": \"x-key\"}], \"keys\": \"SECRET\"}".to_owned(),
    ];
    for field in [
        r#""type": ["SECRET"]"#,
        r#""type": "SECRET""#,
        r#""type": "key SECRET""#,
        r#""name": {"a": "SECRET"}"#,
        r#""account": " SECRET""#,
        r#""account": ["SECRET"]"#,
        r#""scopes": "SECRET""#,
        r#""scopes": ["SECRET:SECRET:SECRET"]"#,
        r#""scopes": ["my SECRET"]"#,
        r#""not_before": "SECRET""#,
        r#""expires_at": "SECRET""#,
        r#""disabled": "SECRET""#,
        r#""origins": ["SECRET"]"#,
        r#""origins": "SECRET""#,
        r#""attributes": "SECRET""#,
        r#""attributes": {"token": " SECRET"}"#,
        r#""attributes": {"my token": "SECRET"}"#,
        r#""attributes": {"token": ["SECRET"]}"#,
    ] {
        policies.push(key(&format!("{good}, {field}")));
    }
    // The same elsewhere in a policy.
    for field in [
        r#""realm": ["SECRET"]"#,
        r#""realm": "\u0000SECRET""#,
        r#""key_types": {"t": {"prefix": "my SECRET"}}"#,
        r#""key_types": {"t": {"prefix": ["SECRET"]}}"#,
        r#""key_types": {"t": "SECRET"}"#,
        r#""upstream_headers": {"authorization": " Bearer SECRET"}"#,
        r#""upstream_headers": {"authorization": ["SECRET"]}"#,
        r#""response_headers": {"x-a": "SECRET\n"}"#,
        r#""errors": {"body": {"a": "SECRET {cod}"}}"#,
        r#""errors": {"forbidden": {"code": ["SECRET"], "message": "SECRET {cod}"}}"#,
        r#""errors": {"content_type": "SECRET\n"}"#,
        r#""forward_credential": "SECRET""#,
        r#""where": {"plan": ["pro", 1, "SECRET {"]}"#,
        r#""cors_preflight": "SECRET""#,
        r#""rules": [{"access": "SECRET"}]"#,
        r#""metrics": "SECRET""#,
        r#""SECRET": 1"#,
        r#""keys": ["SECRET"]"#,
    ] {
        policies.push(with(field));
    }
    // A whole header where a part of it belongs.
    for list in [
        r#"[{"header": "authorization: Bearer SECRET"}]"#,
        r#"[{"header": "authorization", "scheme": "Bearer SECRET"}]"#,
        r#"[{"cookie": "api_key=SECRET"}]"#,
        r#"["SECRET"]"#,
        r#"[{"header": ["SECRET"]}]"#,
    ] {
        policies.push(sources(list));
    }
    // Not JSON at all.
    policies.push("SECRET".to_owned());
    policies.push("{\"keys\": [{\"id\": \"a\", \"hash\": \"SECRET\"".to_owned());

    let mut shown_secrets = Vec::new();
    for policy in policies {
        let json = policy.replace("SECRET", SECRET).replace("DIGITS", digits);
        let found = raw_findings(json.as_bytes(), None);
        assert!(!found.is_empty(), "{policy}");
        for finding in found {
            let text = format!("{finding} {finding:?}").to_ascii_lowercase();
            if text.contains(&SECRET.to_ascii_lowercase()) || text.contains(digits) {
                shown_secrets.push(format!("{policy}: {finding}"));
            }
        }
    }
    assert!(shown_secrets.is_empty(), "{shown_secrets:#?}");
}

#[test]
fn an_engine_and_a_debug_text_show_no_secret() {
    let json = keys(&format!(r#"{{"id": "a", "hash": "hmac-{}"}}"#, hash(0xabcdef)));
    let digest = [0xab, 0xcd, 0xef];
    let environment = Environment { pepper: Some(b"a-pepper-of-mine") };
    assert!(!format!("{environment:?}").contains("a-pepper-of-mine"));
    let engine = Engine::compile(json.as_bytes(), &environment).unwrap();
    let shown = format!("{engine:?}");
    assert!(shown.contains("KeyRing(1 keys)"), "{shown}");
    for secret in ["abcdef", &format!("{digest:?}").replace(['[', ']'], ""), "a-pepper-of-mine"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Every code is met in one of the tables above; `out_of_memory /`, where memory is short, in
/// `filter/tests/memory.rs`.
#[test]
fn every_code_is_named_here() {
    let source = include_str!("findings.rs");
    for code in Code::ALL {
        assert!(source.contains(&format!("{} /", code.as_str())), "{}", code.as_str());
    }
}

/// A name is for people, and may be any text, until a header tells it.
#[test]
fn a_name_that_headers_tell_is_one_that_they_can_carry() {
    let policy = |name: &str, header: &str| {
        let key =
            format!(r#"{{"id": "a", "hash": "sha256:{}", "name": "{name}"}}"#, "0".repeat(64));
        format!(
            r#"{{"credentials": [{{"header": "x-key"}}], "keys": [{key}], "upstream_headers": {{"x-a": "{header}"}}}}"#
        )
    };
    let wrong = "invalid_header /keys/0/name: a name that headers tell is text without control characters and \
                 without spaces at its ends";
    for (name, header, expected) in [
        ("a\\nb", "{key.id}", &[][..]),
        ("a\\nb", "{key.name}", &[wrong]),
        ("a\\nb", "\\u007bkey.name}", &[wrong]),
        ("", "x {key.name|nobody}", &[wrong]),
        ("Ärzte 1", "{key.name}", &[]),
    ] {
        assert_eq!(findings(&policy(name, header)), expected, "{name} {header}");
    }
}
