//! Sessions: identities that a filter before this one has verified.
//!
//! Envoy's `jwt_authn` filter checks signature, issuer, audience and time of a token, and leaves its
//! payload in dynamic metadata. A client cannot write there, so what stands there is taken as it is.

use crate::http::is_field_value;
use crate::limits::ATTRIBUTE_BYTES;
use crate::request::{Claim, Claims};
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
        let claim =
            |name: &str| claims.iter().find(|(known, _)| known == name).map(|(_, claim)| claim);
        let id = identity(claim(&self.id)?)?;
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let account = match &self.account {
            // A session of no account would pass for one wherever no account is asked for.
            Some(name) => Some(identity(claim(name)?)?),
            None => None,
        };
        // A scope of another kind, such as a URL, says nothing that a rule could ask for.
        let scopes = match self.scopes.as_ref().and_then(|name| claim(name)) {
            Some(Claim::Text(text)) => text.split(' ').flat_map(Scope::parse).collect(),
            Some(Claim::List(texts)) => texts.iter().flat_map(|text| Scope::parse(text)).collect(),
            _ => Vec::new(),
        };
        Some(Session { id, account, scopes })
    }
}

/// Whose something is: a text as a key's account may be, or a whole number.
fn identity(claim: &Claim) -> Option<String> {
    // Beyond this a double that crosses the border could pass for a text of eight bytes.
    const NUMBERS: f64 = 35_184_372_088_832.0;
    match claim {
        Claim::Text(text) => {
            let is_plain =
                !text.is_empty() && text.len() <= ATTRIBUTE_BYTES && is_field_value(text);
            is_plain.then(|| text.clone())
        }
        Claim::Number(number) => {
            let is_whole = number.fract() == 0.0 && (0.0..NUMBERS).contains(number);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, and within the range checked before"
            )]
            is_whole.then(|| (*number as u64).to_string())
        }
        Claim::List(_) | Claim::Other => None,
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

    /// What the session may do: the scopes among its claims, without what can be none.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    pub(crate) fn covers(&self, required: &Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(required))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claims: &[(&str, Claim)]) -> Option<Session> {
        let sessions = Sessions {
            payload: "session".into(),
            id: "sub".into(),
            account: Some("org_id".into()),
            scopes: Some("scope".into()),
        };
        let owned = |(name, claim): &(&str, Claim)| ((*name).to_owned(), claim.clone());
        sessions.read(&claims.iter().map(owned).collect())
    }

    fn text(text: &str) -> Claim {
        Claim::Text(text.to_owned())
    }

    fn covers(session: &Session, scope: &str) -> bool {
        session.covers(&Scope::parse(scope).unwrap())
    }

    #[test]
    fn a_session_is_what_its_claims_say() {
        let scope = text("agents:read  https://x y:*");
        let session = read(&[("sub", text("u1")), ("org_id", text("Ärzte 1")), ("scope", scope)]);
        let session = session.unwrap();
        assert_eq!((session.id(), session.account()), ("u1", Some("Ärzte 1")));
        assert!(covers(&session, "agents:read"));
        assert!(covers(&session, "y:delete"));
        assert!(!covers(&session, "agents:write"));
    }

    #[test]
    fn whole_numbers_say_whose_it_is() {
        let number =
            |number| read(&[("sub", Claim::Number(7.0)), ("org_id", Claim::Number(number))]);
        let session = number(42.0).unwrap();
        assert_eq!((session.id(), session.account()), ("7", Some("42")));
        assert_eq!(number(0.0).unwrap().account(), Some("0"));
        for unusable in [1.5, -1.0, 35_184_372_088_832.0, f64::NAN, f64::INFINITY] {
            assert!(number(unusable).is_none(), "{unusable}");
        }
    }

    #[test]
    fn each_item_of_a_list_is_one_scope() {
        let scopes = ["agents:read", "may read tickets", "a * everything", "x\0read"];
        let scopes = Claim::List(scopes.map(str::to_owned).to_vec());
        let session = read(&[("sub", text("u1")), ("org_id", text("o")), ("scope", scopes)]);
        let session = session.unwrap();
        assert!(covers(&session, "agents:read"));
        assert!(!covers(&session, "*:read"));
        assert!(!covers(&session, "tickets:delete"));
    }

    #[test]
    fn a_session_that_does_not_say_whose_it_is_is_none() {
        let list = || Claim::List(vec!["org_1".to_owned()]);
        let cases: [&[(&str, Claim)]; 9] = [
            &[("org_id", text("org_1"))],
            &[("sub", text("u1"))],
            &[("sub", text("")), ("org_id", text("org_1"))],
            &[("sub", text("a b")), ("org_id", text("org_1"))],
            &[("sub", text("u1\r\nx: y")), ("org_id", text("org_1"))],
            &[("sub", text("u1")), ("org_id", text("org_1 "))],
            &[("sub", text("u1")), ("org_id", text("org\u{1}1"))],
            &[("sub", text("u1")), ("org_id", list())],
            &[("sub", Claim::Other), ("org_id", text("org_1"))],
        ];
        for (index, claims) in cases.into_iter().enumerate() {
            assert!(read(claims).is_none(), "{index}");
        }
    }
}
