//! Keys and key types.

use std::collections::HashMap;

use super::{Remark, escaped, fields, items};
use crate::document::Document;
use crate::time;

/// A key that ends within so many seconds is about to: 30 days.
const SOON: i64 = 30 * 24 * 60 * 60;

pub(super) fn look(policy: &Document, now: i64, remarks: &mut Vec<Remark>) {
    let types: HashMap<&str, Type> = fields(policy, "key_types")
        .iter()
        .map(|(name, own)| (name.as_str(), Type::new(own)))
        .collect();
    for (name, own) in fields(policy, "key_types") {
        publishable(name, own, remarks);
    }
    let mut lasting: HashMap<(&str, &str), i64> = HashMap::new();
    for (index, key) in items(policy, "keys").iter().enumerate() {
        if key.field("disabled") == Some(&Document::Boolean(true)) {
            continue;
        }
        let mut remark = |code, field: &str, message: String, help| {
            remarks.push(Remark { code, pointer: format!("/keys/{index}{field}"), message, help });
        };
        let name = key.field("type").and_then(Document::as_str);
        let own = name.and_then(|name| types.get(name));
        if key.field("scopes").is_none() && !own.is_some_and(|own| own.has_scopes) {
            remark(
                "no_scopes",
                "",
                match name {
                    None => "a key without scopes and without a type".to_owned(),
                    Some(_) => "a key without scopes, of a type without scopes".to_owned(),
                },
                "it passes only where a rule says `access: authenticated`; if that is meant, \
                 write `scopes: []`",
            );
        }
        let ends = key.field("expires_at").and_then(Document::instant);
        match ends {
            Some(ends) if ends <= now => {
                remark(
                    "expired_key",
                    "/expires_at",
                    format!("this key expired at {}", time::display(ends)),
                    "remove it, or rotate it if it is still needed",
                );
                continue;
            }
            Some(ends) if ends - now <= SOON => remark(
                "key_expires_soon",
                "/expires_at",
                format!("this key expires at {}", time::display(ends)),
                "`latchkey key rotate` makes its successor",
            ),
            _ => {}
        }
        let (Some(name), Some(most)) = (name, own.and_then(|own| own.most_active)) else {
            continue;
        };
        let Some(account) = key.field("account").and_then(Document::as_str) else {
            remark(
                "missing_account",
                "",
                format!("the type `{name}` counts keys per account, and this key has none"),
                "say whose key it is with `account`",
            );
            continue;
        };
        // A key that will end is on its way out: a rotation's overlap.
        if ends.is_none() {
            let number = lasting.entry((name, account)).or_default();
            *number += 1;
            if *number > most {
                let (number, account) = (*number, account);
                remark(
                    "too_many_active_keys",
                    "",
                    format!(
                        "active key {number} of type `{name}` for account `{account}`, \
                         which may have {most}"
                    ),
                    "revoke the others, or give them an `expires_at` until when both may be used",
                );
            }
        }
    }
}

/// What a key must know of its type.
struct Type {
    has_scopes: bool,
    most_active: Option<i64>,
}

impl Type {
    fn new(document: &Document) -> Type {
        let most_active = document.field("max_active_per_account").and_then(whole);
        Type { has_scopes: document.field("scopes").is_some(), most_active }
    }
}

/// A type whose name or prefix says that its keys are shown to everybody.
fn publishable(name: &str, own: &Document, remarks: &mut Vec<Remark>) {
    if own.field("origins_required") == Some(&Document::Boolean(true)) {
        return;
    }
    let prefix = own.field("prefix").and_then(Document::as_str).unwrap_or_default();
    let is_publishable = [name, prefix]
        .iter()
        .flat_map(|text| text.split(|character: char| !character.is_ascii_alphanumeric()))
        .any(|word| {
            ["pk", "pub", "public", "publishable"].iter().any(|own| own.eq_ignore_ascii_case(word))
        });
    if is_publishable {
        remarks.push(Remark {
            code: "publishable_without_origins",
            pointer: format!("/key_types/{}", escaped(name)),
            message: format!("keys of the type `{name}` look publishable and work from any origin"),
            help: "`origins_required: true` makes sure that each names the pages that may use it",
        });
    }
}

fn whole(document: &Document) -> Option<i64> {
    match document {
        #[expect(clippy::cast_possible_truncation, reason = "a number that doubles cannot hold")]
        Document::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().map(|number| number as i64))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(yaml: &str) -> Vec<String> {
        let now = latchkey::parse_timestamp("2026-06-01T00:00:00Z").unwrap();
        super::super::remarks(yaml, |policy, remarks| look(policy, now, remarks))
    }

    #[test]
    fn a_key_has_scopes_of_its_own_or_of_its_type() {
        let yaml = "key_types: {a: {scopes: []}, b: {}}\n\
                    keys:\n- {id: a}\n- {id: b, scopes: []}\n- {type: a}\n- {type: b}\n\
                    - {id: c, disabled: true}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/keys/0 no_scopes: a key without scopes and without a type",
                "/keys/3 no_scopes: a key without scopes, of a type without scopes"
            ]
        );
    }

    #[test]
    fn keys_that_end_are_named_before_and_after() {
        let yaml = "keys:\n\
                    - {scopes: [], expires_at: 2026-06-01T00:00:00Z}\n\
                    - {scopes: [], expires_at: 2026-06-01T00:00:01Z}\n\
                    - {scopes: [], expires_at: 1782864000}\n\
                    - {scopes: [], expires_at: 1782864001}\n\
                    - {scopes: [], expires_at: 2020-06-01T00:00:00Z, disabled: true}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/keys/0/expires_at expired_key: this key expired at 2026-06-01T00:00:00Z",
                "/keys/1/expires_at key_expires_soon: this key expires at 2026-06-01T00:00:01Z",
                "/keys/2/expires_at key_expires_soon: this key expires at 2026-07-01T00:00:00Z",
            ]
        );
    }

    #[test]
    fn an_account_may_have_more_keys_than_its_type_says_if_they_end() {
        let yaml = "key_types: {live: {scopes: [], max_active_per_account: 1}}\n\
                    keys:\n\
                    - {type: live, account: a}\n\
                    - {type: live, account: a, expires_at: 2027-01-01T00:00:00Z}\n\
                    - {type: live, account: a, disabled: true}\n\
                    - {type: live, account: b}\n\
                    - {type: live, account: b}\n\
                    - {type: live}\n\
                    - {scopes: []}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/keys/4 too_many_active_keys: active key 2 of type `live` for account `b`, \
                 which may have 1",
                "/keys/5 missing_account: the type `live` counts keys per account, \
                 and this key has none",
            ]
        );
    }

    #[test]
    fn publishable_keys_want_origins() {
        let yaml = "key_types:\n  publishable: {}\n  b: {prefix: x_pk_}\n  c: {prefix: apk_}\n  \
                    pub: {origins_required: true}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/key_types/publishable publishable_without_origins: \
                 keys of the type `publishable` look publishable and work from any origin",
                "/key_types/b publishable_without_origins: \
                 keys of the type `b` look publishable and work from any origin",
            ]
        );
    }
}
