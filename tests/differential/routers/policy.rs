//! The policy, as one writes it for these routes; and what it means, told once more without the core.

use serde_json::{Value, json};

use latchkey_testing::Key;

use super::front::Answer;
use super::requests::Attempt;
use super::text;

/// The response header that tells by whose key a request was let in.
pub(crate) const DECIDED: &str = "x-decided-key";

/// What every identity of a client's own making holds.
pub(crate) const EVIL: &str = "evil";

/// Keys: id, account, scopes.
const KEYS: [(&str, &str, &[&str]); 5] = [
    ("reader", "acme", &["docs:read"]),
    ("writer", "acme", &["docs:read", "docs:create", "docs:update", "orgs:read"]),
    ("searcher", "acme", &["docs:read", "product:read"]),
    ("foreign", "other", &["docs:*", "orgs:*"]),
    ("admin", "acme", &["*:*"]),
];

/// The policy with that `upstream`, a word of its own or the name of a framework.
pub(crate) fn json(upstream: &str) -> Value {
    let upstream = match upstream {
        "cautious" | "exact" => json!(upstream),
        framework => json!([framework]),
    };
    let key = |(id, account, scopes): &(&str, &str, &[&str])| json!({"id": id, "hash": Key::new(id).hash(), "account": account, "scopes": scopes});
    json!({
        "upstream": upstream,
        "credentials": [{"header": "authorization", "scheme": "Bearer"}, {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}],
        "keys": KEYS.iter().map(key).collect::<Vec<Value>>(),
        "upstream_headers": {"x-account-id": "{key.account}", "x-key-id": "{key.id}"},
        "response_headers": {DECIDED: "{key.id}"},
        "errors": {"body": {"latchkey": "{reason}"}},
        "rules": [
            {"paths": ["/health"], "access": "public"},
            {"paths": ["/public/**"], "methods": ["PUT", "PATCH", "DELETE"], "require": ["admin:{action}"]},
            {"paths": ["/public/**"], "access": "public"},
            {"paths": ["/admin/**"], "require": ["admin:{action}"]},
            {"paths": ["/docs", "/docs/{id}"], "require": ["docs:{action}"]},
            {"paths": ["/search"], "query": {"hydrate": ["*"]}, "require": ["admin:read"]},
            {"paths": ["/search"], "require": ["{query.type[]|*}:read"]},
            {"paths": ["/orgs/{org}/**"], "where": {"account": "{org}"}, "require": ["orgs:{action}"]},
            {"paths": ["/typed"], "require": ["{header.x-type}:{action}"]},
            {"paths": ["/trpc/admin.wipe"], "require": ["admin:{action}"]},
            {"paths": ["/**"], "access": "authenticated"},
        ],
    })
}

/// What of an answer the policy forbids.
pub(crate) fn violation(attempt: &Attempt, answer: &Answer) -> Option<String> {
    let Answer::Ran { report, key } = answer else { return None };
    let key = key.as_deref().map(|id| KEYS.iter().find(|(own, ..)| *own == id).unwrap());
    if text(report, "account") != key.map(|(_, account, _)| *account)
        || text(report, "key") != key.map(|(id, ..)| *id)
    {
        return Some("the identity is not the key's".to_owned());
    }
    let connection = text(report, "connection").unwrap_or_default().to_ascii_lowercase();
    if connection.contains("account") || connection.contains("key-id") {
        return Some("`connection` names a header that was set".to_owned());
    }
    if let Some((id, ..)) = key {
        if !attempt.keys().contains(id) {
            return Some("another's key was found".to_owned());
        }
        let credentials = report["credentials"].as_array().unwrap();
        if !credentials.is_empty() || report.to_string().contains(&Key::new(id).token) {
            return Some("a credential came through".to_owned());
        }
    }
    let is_allowed = match (text(report, "handler"), key) {
        // A route that nobody has, and what is open to everybody.
        (Some("none" | "health" | "public.get" | "public.create"), _) => true,
        (Some(_), None) if attempt.is_preflight() => true,
        (Some(handler), Some(key)) => allows(handler, report, *key),
        _ => false,
    };
    (!is_allowed).then(|| "a handler ran that is forbidden".to_owned())
}

/// Whether a handler may run for that key as it understood the request.
fn allows(handler: &str, report: &Value, (_, account, scopes): (&str, &str, &[&str])) -> bool {
    let action = match text(report, "method") {
        Some("GET" | "HEAD" | "OPTIONS") => "read",
        Some("POST") => "create",
        Some("PUT" | "PATCH") => "update",
        Some("DELETE") => "delete",
        _ => "unknown",
    };
    let may = |resource: &str, action: &str| {
        let is_one = |scope: &&str| {
            let (own_resource, own_action) = scope.split_once(':').unwrap();
            (own_resource == "*" || own_resource == resource)
                && (own_action == "*" || own_action == action)
        };
        scopes.iter().any(is_one)
    };
    match handler {
        "root" => true,
        "docs.get" => may("docs", "read"),
        "docs.create" => may("docs", "create"),
        "docs.update" => may("docs", "update"),
        "docs.delete" => may("docs", "delete"),
        "admin" => may("admin", action) && action != "unknown",
        "public.update" | "public.delete" => may("admin", action),
        "search" => {
            let types = report["types"].as_array();
            let may_read = |name: &Value| may(name.as_str().unwrap_or("*"), "read");
            (report["hydrate"].is_null() || may("admin", "read"))
                && types.is_none_or(|types| types.iter().all(may_read))
                && types.is_none_or(|types| !types.is_empty() || may("*", "read"))
        }
        "orgs" => text(&report["params"], "org") == Some(account) && may("orgs", action),
        "typed" => text(report, "type")
            .is_some_and(|types| types.split(',').all(|name| may(name.trim(), action))),
        "trpc" => report["ran"].as_array().is_some_and(|ran| {
            ran.iter().all(|procedure| procedure == "post.list" || may("admin", action))
        }),
        _ => false,
    }
}

mod tests {
    use latchkey_cli::cases;

    use super::*;

    /// What is wrong with an answer to a key that tells this beside what is right.
    fn violation_of(id: &str, more: Value) -> Option<String> {
        let mut attempt = Attempt::default();
        let bearer = Key::new(id).bearer().into_bytes();
        attempt.request.headers.push(("authorization".to_owned(), cases::Value(bearer)));
        let account = if id == "foreign" { "other" } else { "acme" };
        let mut report = json!({"handler": "docs.get", "method": "GET", "account": account, "key": id, "credentials": []});
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        violation(&attempt, &Answer::Ran { report, key: Some(id.to_owned()) })
    }

    #[test]
    fn a_handler_runs_for_whom_it_may() {
        let forbidden = Some("a handler ran that is forbidden".to_owned());
        for (id, more, is_allowed) in [
            ("reader", json!({}), true),
            ("reader", json!({"handler": "docs.delete", "method": "DELETE"}), false),
            ("foreign", json!({"handler": "docs.delete", "method": "DELETE"}), true),
            ("writer", json!({"handler": "docs.update", "method": "PATCH"}), true),
            ("writer", json!({"handler": "admin"}), false),
            ("writer", json!({"handler": "orgs", "params": {"org": "acme"}}), true),
            ("writer", json!({"handler": "orgs", "params": {"org": "other"}}), false),
            ("searcher", json!({"handler": "search", "types": ["product"]}), true),
            ("searcher", json!({"handler": "search", "types": ["product", "secret"]}), false),
            (
                "searcher",
                json!({"handler": "search", "types": ["product"], "hydrate": ["1"]}),
                false,
            ),
            ("searcher", json!({"handler": "typed", "type": "product,secret"}), false),
            ("reader", json!({"handler": "public.delete", "method": "DELETE"}), false),
            ("reader", json!({"handler": "trpc", "ran": ["post.list"]}), true),
            ("reader", json!({"handler": "trpc", "ran": ["post.list", "admin.wipe"]}), false),
            ("reader", json!({"handler": "nobody knows"}), false),
        ] {
            let expected = if is_allowed { None } else { forbidden.clone() };
            assert_eq!(violation_of(id, more.clone()), expected, "{id}: {more}");
        }
        let nobody =
            Answer::Ran { report: json!({"handler": "docs.get", "method": "GET"}), key: None };
        assert_eq!(violation(&Attempt::default(), &nobody), forbidden);
        assert_eq!(
            violation(&Attempt::default(), &Answer::Refused("unknown_key".to_owned())),
            None
        );
    }

    #[test]
    fn a_handler_sees_the_keys_identity_and_no_credential() {
        for (more, expected) in [
            (json!({"account": EVIL}), "the identity is not the key's"),
            (json!({"key": "admin"}), "the identity is not the key's"),
            (
                json!({"connection": "upgrade, X_Account_Id"}),
                "`connection` names a header that was set",
            ),
            (json!({"credentials": ["x"]}), "a credential came through"),
            (json!({"headers": [Key::new("reader").token]}), "a credential came through"),
        ] {
            assert_eq!(violation_of("reader", more.clone()).as_deref(), Some(expected), "{more}");
        }
        let report =
            json!({"handler": "docs.get", "account": "acme", "key": "admin", "credentials": []});
        let answer = Answer::Ran { report, key: Some("admin".to_owned()) };
        let violation = violation(&Attempt::default(), &answer);
        assert_eq!(violation.as_deref(), Some("another's key was found"));
    }
}
