//! Verified sessions, as Envoy hands them over.
//!
//! The interface tells of dynamic metadata only what is a scalar or a list at a namespace's top, and a verified payload is
//! neither. So a filter of Envoy's between `jwt_authn` and this one copies it into filter state, as JSON; `latchkey render`
//! prints both.

use std::collections::BTreeMap;

use latchkey::{Claim, Claims};

use crate::border::Host;

/// The claims of the token that Envoy's `jwt_authn` filter has verified and left under `payload`.
pub(crate) fn claims(host: &Host, payload: &str) -> Option<Claims> {
    let json = host.filter_state(&format!("latchkey.session.{payload}"))?;
    let claims: BTreeMap<String, Claim> = serde_json::from_slice(json).ok()?;
    Some(claims.into_iter().collect())
}
