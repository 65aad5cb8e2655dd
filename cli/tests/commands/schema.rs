//! `latchkey schema`.

use serde_json::{Value, json};

use super::{Directory, TestCommand, repository, systems};

fn schema() -> Value {
    let schema = TestCommand::new(&Directory::new(), "schema").output();
    serde_json::from_str(&schema).unwrap()
}

fn validator() -> jsonschema::Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&schema()).unwrap()
}

#[track_caller]
fn accepts(validator: &jsonschema::Validator, policy: &Value, name: &str) {
    let errors: Vec<String> = validator
        .iter_errors(policy)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {}", errors.join("\n"));
}

#[test]
fn the_schema_is_one() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn the_schema_accepts_every_system() {
    let validator = validator();
    for file in systems() {
        let policy = std::fs::read_to_string(&file).unwrap();
        let policy: Value = yaml_serde::from_str(&policy).unwrap();
        accepts(&validator, &policy, &file.display().to_string());
    }
}

#[test]
fn the_schema_accepts_every_policy_of_the_corpus() {
    let validator = validator();
    for file in std::fs::read_dir(repository("tests/cases")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let suite: Value = serde_json::from_str(&text).unwrap();
        if let Some(policy) = suite.get("policy") {
            accepts(&validator, policy, &file.display().to_string());
        }
    }
}

const HASH: &str = "sha256:7c43ef5ae21d43ce2743f770c68e24def1a43ee2f416d2438410c8af7af2ff2c";

/// Policies with one thing of the wrong structure each: the core refuses them, and so must the
/// schema.
#[test]
fn the_schema_refuses_what_the_core_refuses() {
    let validator = validator();
    let good = json!({"credentials": [{"header": "x-key"}], "keys": []});
    accepts(&validator, &good, "good");
    let key = |field: &str, value: Value| {
        let mut key = json!({"id": "a", "hash": HASH});
        key[field] = value;
        json!({"keys": [key]})
    };
    let rule = |rule: Value| json!({"rules": [rule]});
    for change in [
        json!({"key": []}),
        json!({"realm": ""}),
        json!({"realm": 1}),
        json!({"credentials": []}),
        json!({"credentials": [{}]}),
        json!({"credentials": [{"scheme": "Bearer"}]}),
        json!({"credentials": [{"header": "a", "query": "b"}]}),
        json!({"credentials": [{"query": "b", "scheme": "Bearer"}]}),
        json!({"credentials": [{"cookie": ""}]}),
        json!({"credentials": [{"headr": "a"}]}),
        json!({"forward_credential": "no"}),
        json!({"key_types": []}),
        json!({"key_types": {"a b": {}}}),
        json!({"key_types": {"a": {"prefix": ""}}}),
        json!({"key_types": {"a": {"format": {"length": 3}}}}),
        json!({"key_types": {"a": {"format": {"length": 0, "charset": "hex"}}}}),
        json!({"key_types": {"a": {"format": {"length": 3, "charset": "base32"}}}}),
        json!({"key_types": {"a": {"scopes": ["a b"]}}}),
        json!({"key_types": {"a": {"max_active_per_account": 0}}}),
        json!({"keys": [{"id": "a"}]}),
        json!({"keys": [{"hash": HASH}]}),
        key("id", json!("a b")),
        key("hash", json!("sha256:00")),
        key("hash", json!("demo-token")),
        key("expires_at", json!([])),
        key("expires_at", json!("tomorrow")),
        key("disabled", json!("yes")),
        key("origins", json!([])),
        key("scopes", json!("read")),
        key("scopes", json!(["a:b:c"])),
        key("attributes", json!({"plan": 1})),
        key("attributes", json!({"id": "x"})),
        key("hint", json!("a".repeat(33))),
        key("secret", json!("x")),
        json!({"where": {}}),
        json!({"where": {"plan": []}}),
        json!({"where": {"plan": 1}}),
        json!({"methods": {"search": "read"}}),
        json!({"methods": {"SEARCH": "a:b"}}),
        rule(json!({"hosts": []})),
        rule(json!({"paths": []})),
        rule(json!({"paths": ["v1"]})),
        rule(json!({"methods": ["get"]})),
        rule(json!({"query": {}})),
        rule(json!({"query": {"a": []}})),
        rule(json!({"headers": {}})),
        rule(json!({"headers": {"a b": ["*"]}})),
        rule(json!({"headers": {"a": []}})),
        rule(json!({"headers": {"a": [""]}})),
        json!({"where": {"plan": {}}}),
        json!({"where": {"plan": {"not": []}}}),
        json!({"where": {"plan": {"not": "free", "is": "pro"}}}),
        rule(json!({"access": "any"})),
        rule(json!({"require": []})),
        rule(json!({"require": ["a"], "require_any": ["b"]})),
        rule(json!({"access": "public", "require": ["a"]})),
        rule(json!({"access": "deny", "where": {"a": "b"}})),
        rule(json!({"access": "authenticated", "require_any": ["a"]})),
        rule(json!({"deny": {}})),
        rule(json!({"deny": {"status": 500}})),
        rule(json!({"path": ["/"]})),
        json!({"rules_from": []}),
        json!({"rules": [], "rules_from": ["a.yaml"]}),
        rule(json!({"graphql": {}})),
        rule(json!({"graphql": {"require": "{field}:read", "introspection": "a b"}})),
        json!({"sessions": {"payload": "s"}}),
        json!({"cors_preflight": "deny"}),
        json!({"method_override": "x"}),
        json!({"path_normalization": "none"}),
        json!({"encoded_slashes": "allow"}),
        json!({"upstream": "rails"}),
        json!({"upstream": []}),
        json!({"upstream": ["cautious"]}),
        json!({"upstream": ["rails", "rails"]}),
        json!({"keep_target_headers": "script_name"}),
        json!({"keep_target_headers": ["script-name"]}),
        json!({"keep_target_headers": ["script_name", "script_name"]}),
        json!({"upstream_headers": {"a b": "x"}}),
        json!({"upstream_headers": {"a": 1}}),
        json!({"response_headers": ["a"]}),
        json!({"errors": {"content_type": ""}}),
        json!({"errors": {"unauthorized": {"status": 200}}}),
        json!({"errors": {"reasons": {"nope": {"code": "x"}}}}),
        json!({"errors": {"reasons": {"unknown_key": {}}}}),
        json!({"metrics": {"per_key": 1}}),
    ] {
        let mut policy = good.clone();
        for (name, value) in change.as_object().unwrap() {
            policy[name] = value.clone();
        }
        let text = policy.to_string();
        let environment = latchkey::Environment::default();
        assert!(latchkey::Engine::compile(text.as_bytes(), &environment).is_err(), "core: {text}");
        assert!(!validator.is_valid(&policy), "schema: {text}");
    }
}

#[test]
fn the_schema_knows_every_reason() {
    let schema = schema();
    let known = schema["$defs"]["errors"]["properties"]["reasons"]["properties"].as_object();
    let mut known: Vec<&str> = known.unwrap().keys().map(String::as_str).collect();
    known.sort_unstable();
    let reasons: Vec<&str> = latchkey::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(known, reasons);
}
