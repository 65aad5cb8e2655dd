//! What is doubtful in a policy that is served all the same: rules that never match or refuse each
//! other's requests, scopes and conditions that open nothing, keys that nobody looks after. The command line
//! tells of it; the filter has none of it.

mod conditions;
mod keys;
mod parameters;
mod paths;
mod readings;
mod rules;
mod scopes;

use crate::engine::Engine;
use crate::rule::Rule;

/// One thing that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What kind of doubt it is; stable across releases.
    pub code: &'static str,
    /// Its place in the configuration, as a JSON pointer.
    pub pointer: String,
    /// What is doubtful, in one line.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

/// What remarks about a rule call another one.
type Label<'a> = &'a dyn Fn(&Rule) -> String;

/// Looks through a policy at the time `now`, in Unix seconds. `created` tells when the key at a place among
/// the configuration's keys was made, if that is known: it is for people, and an engine does not keep it. `label`
/// is what remarks about a rule call another one, where people find it.
pub fn lint(
    engine: &Engine,
    now: i64,
    created: impl Fn(usize) -> Option<i64>,
    label: impl Fn(&Rule) -> String,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    rules::look(engine.rules(), &label, &mut remarks);
    parameters::look(engine, &label, &mut remarks);
    keys::look(engine, now, created, &mut remarks);
    paths::look(engine.rules(), &mut remarks);
    readings::look(engine, &label, &mut remarks);
    scopes::look(engine, &mut remarks);
    conditions::look(engine, &mut remarks);
    remarks
}

/// Whether the policy says who there is: it has keys, and no sessions, of which a token tells.
fn knows_identities(engine: &Engine) -> bool {
    engine.key_count() > 0 && !engine.has_sessions()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Environment, parse_timestamp};

    /// What is remarked of a policy in YAML, at the beginning of June 2026: pointer, code and message. The
    /// policy may lack credentials, and its keys ids and hashes.
    #[track_caller]
    pub(super) fn remarks(yaml: &str) -> Vec<String> {
        let mut policy: Value = yaml_serde::from_str(yaml).unwrap();
        let fields = policy.as_object_mut().unwrap();
        fields.entry("credentials").or_insert(json!([{"header": "x-key"}]));
        let keys = fields.entry("keys").or_insert(json!([])).as_array_mut().unwrap();
        let mut created = Vec::new();
        for (index, key) in keys.iter_mut().enumerate() {
            let key = key.as_object_mut().unwrap();
            key.entry("id").or_insert(json!(format!("key-{index}")));
            key.entry("hash").or_insert(json!(format!("sha256:{index:064x}")));
            created.push(key.get("created").and_then(|created| parse_timestamp(created.as_str()?)));
        }
        let policy = policy.to_string();
        let engine = Engine::compile(policy.as_bytes(), &Environment::default());
        let engine = engine.unwrap_or_else(|findings| panic!("{yaml}: {findings:?}"));
        let now = parse_timestamp("2026-06-01T00:00:00Z").unwrap();
        let told =
            |remark: Remark| format!("{} {}: {}", remark.pointer, remark.code, remark.message);
        lint(&engine, now, |index| created[index], |rule| rule.name().to_owned())
            .into_iter()
            .map(told)
            .collect()
    }

    /// The places of those of a code.
    #[track_caller]
    pub(super) fn places(yaml: &str, code: &str) -> Vec<String> {
        let mut remarks = remarks(yaml);
        remarks.retain(|remark| remark.contains(&format!(" {code}: ")));
        remarks.iter().map(|remark| remark.split(' ').next().unwrap().to_owned()).collect()
    }
}
