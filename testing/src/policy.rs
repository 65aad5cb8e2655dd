//! Policies in the forms that Envoy takes.

use std::fs;
use std::path::Path;

use latchkey_cli::command::render::{self, Code};
use latchkey_cli::policy::{Needs, Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Scratch, repository};

/// The ECDS file for a policy (JSON), as `latchkey render --to ecds` prints it.
pub fn ecds(scratch: &Scratch, policy: &str, wasm: &Path) -> String {
    ecds_of(scratch, policy, Code::Wasm(wasm.to_str().unwrap()))
}

/// The same for the Wasm filter or the native module.
pub fn ecds_of(scratch: &Scratch, policy: &str, code: Code<'_>) -> String {
    let file = scratch.file("policy.json");
    fs::write(&file, policy).unwrap();
    let policy = Policy::load(&file, None).unwrap_or_else(|error| panic!("{error:#}"));
    // A policy that is refused is rendered, too: Envoy is to refuse it.
    let json = String::from_utf8(policy.to_json().unwrap()).unwrap();
    let needs = Needs { pepper: json.contains("hmac-sha256:"), names: json.contains("{key.name") };
    render::ecds(&policy.into_served(needs), code).unwrap()
}

/// The policy of `envoy/systems/NAME.yaml`, as JSON.
pub fn system(name: &str) -> String {
    let policy = Policy::load(&repository(&format!("envoy/systems/{name}.yaml")), None);
    let policy = policy.unwrap_or_else(|error| panic!("{error:#}"));
    String::from_utf8(policy.to_json().unwrap()).unwrap()
}

/// Every key may read, one named `old_one` is revoked, and `/public` is for all.
pub fn policy_of(keys: &[&Key]) -> Value {
    let key = |key: &&Key| {
        json!({
            "id": key.id, "hash": key.hash(), "scopes": ["read"], "disabled": key.id == "old_one",
        })
    };
    json!({
        "credentials": [{"header": "x-api-key"}],
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
        "rules": [{"paths": ["/public/**"], "access": "public"}],
    })
}

/// An ECDS file that hands over its policy as a `Struct`, in place of a `StringValue`.
pub fn as_struct(ecds: &str) -> String {
    let (start, policy) = ecds.split_once("google.protobuf.StringValue\n").unwrap();
    // JSON is YAML, and the block's lines are indented already.
    let policy = policy.replacen("value: |", "value:", 1);
    format!("{start}google.protobuf.Struct\n{policy}")
}

/// A bootstrap with the filter of an ECDS file in it, in place of its discovery.
pub fn inline(bootstrap: &str, ecds: &str) -> String {
    let (_, filter) = ecds.split_once("  name: latchkey\n").unwrap();
    let (filter, _) = filter.split_once("version_info: ").unwrap();
    let filter: String = filter.lines().map(|line| format!("                  {line}\n")).collect();
    let (start, rest) = bootstrap.split_once("                    config_discovery:\n").unwrap();
    let (_, rest) = rest.split_once("type_urls: ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    format!("{start}{filter}{rest}")
}

/// A key of a policy: its token, and how the policy names and hashes it.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub token: String,
}

impl Key {
    /// A key whose token is made of its id.
    pub fn new(id: &str) -> Key {
        Key { id: id.to_owned(), token: format!("token_of_{id}_0123456789") }
    }

    /// `sha256:` and the token's digest.
    pub fn hash(&self) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(&self.token)))
    }

    /// The value of `authorization` that presents it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}
