//! Verified sessions, as Envoy hands them over.
//!
//! The interface tells of dynamic metadata only what is a scalar or a list at a namespace's top, and a verified payload is
//! neither. So a filter of Envoy's between `jwt_authn` and this one copies it into filter state, as JSON; `latchkey render`
//! prints both.

use latchkey::{Claim, Claims};
use serde_json::{Map, Value};

use crate::border::Host;

/// The claims of the token that Envoy's `jwt_authn` filter has verified and left under `payload`.
pub(crate) fn claims(host: &Host, payload: &str) -> Option<Claims> {
    read(host.filter_state(&format!("latchkey.session.{payload}"))?)
}

fn read(json: &[u8]) -> Option<Claims> {
    let claims: Map<String, Value> = serde_json::from_slice(json).ok()?;
    Some(claims.into_iter().map(|(name, value)| (name, claim(value))).collect())
}

fn claim(value: Value) -> Claim {
    match value {
        Value::Array(items) => {
            let texts = items.into_iter().map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            });
            texts.collect::<Option<_>>().map_or(Claim::Other, Claim::List)
        }
        Value::Number(number) => number.as_f64().map_or(Claim::Other, Claim::Number),
        Value::String(text) => Claim::Text(text),
        Value::Bool(_) | Value::Null | Value::Object(_) => Claim::Other,
    }
}
