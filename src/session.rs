//! Sessions: identities that a filter before this one has verified.
//!
//! Envoy's `jwt_authn` filter checks signature, issuer, audience and time of a token, and leaves its
//! payload in dynamic metadata. A client cannot write there, so what stands there is taken as it is.

use crate::request::Claims;
use crate::scope::Scope;

/// Where a session's payload lies, and which of its claims say what.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    /// The `payload_in_metadata` of the `jwt_authn` provider.
    pub(crate) payload: Box<str>,
    pub(crate) id: Box<str>,
    pub(crate) account: Option<Box<str>>,
    pub(crate) scopes: Option<Box<str>>,
}

/// The holder of a verified session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    id: String,
    account: Option<String>,
    scopes: Vec<Scope>,
}

impl Sessions {
    /// Reads a session from a verified payload; `None` if it does not say whose it is in a way that
    /// headers and logs can carry.
    pub(crate) fn read(&self, claims: &Claims) -> Option<Session> {
        let claim = |name: &str| -> Option<Option<&str>> {
            let Some((_, value)) = claims.iter().find(|(own, _)| own == name) else {
                return Some(None);
            };
            let text = std::str::from_utf8(value).ok()?;
            let is_plain = text.len() <= crate::limits::ATTRIBUTE_BYTES
                && text.bytes().all(|byte| byte.is_ascii_graphic());
            is_plain.then_some(Some(text).filter(|text| !text.is_empty()))
        };
        let id = claim(&self.id)??.to_owned();
        let account = match &self.account {
            // A session of no account would pass for one wherever no account is asked for.
            Some(name) => Some(claim(name)??.to_owned()),
            None => None,
        };
        let scopes = self.scopes.as_ref().and_then(|name| {
            let (_, value) = claims.iter().find(|(own, _)| **own == **name)?;
            std::str::from_utf8(value).ok()
        });
        // A scope of another kind, such as a URL, says nothing that a rule could ask for.
        let scopes = scopes.unwrap_or_default().split(' ').flat_map(Scope::parse).collect();
        Some(Session { id, account, scopes })
    }
}

impl Session {
    /// What logs and headers call the session: the claim that `sessions.id` names.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The tenant that the session belongs to.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    pub(crate) fn covers(&self, required: &Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(required))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claims: &[(&str, &[u8])]) -> Option<Session> {
        let sessions = Sessions {
            payload: "session".into(),
            id: "sub".into(),
            account: Some("org_id".into()),
            scopes: Some("scope".into()),
        };
        let claims: Claims =
            claims.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        sessions.read(&claims)
    }

    #[test]
    fn a_session_is_what_its_claims_say() {
        let session =
            read(&[("sub", b"u1"), ("org_id", b"org_1"), ("scope", b"agents:read  https://x y:*")]);
        let session = session.unwrap();
        assert_eq!((session.id(), session.account()), ("u1", Some("org_1")));
        assert!(session.covers(&Scope::parse("agents:read").unwrap()));
        assert!(session.covers(&Scope::parse("y:delete").unwrap()));
        assert!(!session.covers(&Scope::parse("agents:write").unwrap()));
    }

    #[test]
    fn a_session_that_does_not_say_whose_it_is_is_none() {
        let two: &[u8] = &2.0_f64.to_le_bytes();
        let cases: [&[(&str, &[u8])]; 6] = [
            &[("org_id", b"org_1")],
            &[("sub", b"u1")],
            &[("sub", b""), ("org_id", b"org_1")],
            &[("sub", b"a b"), ("org_id", b"org_1")],
            &[("sub", b"u1\r\nx: y"), ("org_id", b"org_1")],
            &[("sub", b"u1"), ("org_id", two)],
        ];
        for claims in cases {
            assert_eq!(read(claims), None, "{claims:?}");
        }
    }
}
