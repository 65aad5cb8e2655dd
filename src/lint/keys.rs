//! Keys and key types.

use std::collections::HashMap;

use super::Remark;
use crate::config::display_timestamp;
use crate::engine::Engine;
use crate::key_type::KeyType;

/// A key that ends within so many seconds is about to: 30 days. An overlap is no longer, either.
const SOON: i64 = 30 * 24 * 60 * 60;

pub(super) fn look(
    engine: &Engine,
    now: i64,
    created: impl Fn(usize) -> Option<i64>,
    remarks: &mut Vec<Remark>,
) {
    for key_type in engine.key_types() {
        publishable(key_type, remarks);
    }
    if engine.metrics_per_key() {
        same_metric(engine, remarks);
    }
    // What `printf %s "$TOKEN" | sha256sum` makes of a variable that is not set.
    let nothing = engine.authenticator.ring.find(b"").map(|key| key.index());
    let mut accounts: HashMap<(&str, &str), (usize, Vec<Active>)> = HashMap::new();
    for (index, key) in engine.keys().enumerate().filter(|(_, key)| !key.is_revoked()) {
        let mut remark = |code, field: &str, message: String, help| {
            remarks.push(Remark { code, pointer: format!("/keys/{index}{field}"), message, help });
        };
        if nothing == Some(index) {
            remark(
                "hash_of_nothing",
                "/hash",
                "this is the hash of an empty text, and no token is empty".to_owned(),
                "hash the token itself; the variable it stood in was empty",
            );
        }
        let own_type = key.own_type();
        if key.scopes().is_none() && own_type.and_then(KeyType::scopes).is_none() {
            remark(
                "no_scopes",
                "",
                match own_type {
                    None => "the key has neither scopes nor a type".to_owned(),
                    Some(_) => "neither the key nor its type has scopes".to_owned(),
                },
                "it passes only where a rule says `access: authenticated`; if that is meant, \
                 write `scopes: []`",
            );
        }
        if let Some(start) = key.not_before().filter(|start| is_like_date(*start)) {
            remark(
                "date_as_seconds",
                "/not_before",
                format!(
                    "`{start}` is seconds, so this key is good from {} on",
                    display_timestamp(start)
                ),
                "write a date as `\"2099-01-01T00:00:00Z\"`",
            );
        }
        match key.expires_at() {
            Some(ends) if ends <= now => {
                remark(
                    "expired_key",
                    "/expires_at",
                    format!("this key expired at {}", display_timestamp(ends)),
                    "remove it, or rotate it if it is still needed",
                );
                continue;
            }
            Some(ends) if ends.saturating_sub(now) <= SOON => remark(
                "key_expires_soon",
                "/expires_at",
                format!("this key expires at {}", display_timestamp(ends)),
                "`latchkey key rotate` makes its successor, if it has none yet",
            ),
            _ => {}
        }
        let counted =
            own_type.and_then(|key_type| Some((key_type.name(), key_type.most_active()?)));
        let Some((name, most)) = counted else { continue };
        let Some(account) = key.account() else {
            remark(
                "missing_account",
                "",
                format!("the type `{name}` counts keys per account, and this key has none"),
                "say whose key it is with `account`",
            );
            continue;
        };
        let start = key.not_before().or_else(|| created(index));
        let active = Active { index, start, ends: key.expires_at().unwrap_or(i64::MAX) };
        let (_, active_keys) = accounts.entry((name, account)).or_insert((most, Vec::new()));
        active_keys.push(active);
    }
    let mut too_many = Vec::new();
    for ((name, account), (most, active)) in accounts {
        let counted = counted(&active, now);
        for (number, index) in counted.iter().enumerate().skip(most) {
            let remark = Remark {
                code: "too_many_active_keys",
                pointer: format!("/keys/{index}"),
                message: format!(
                    "active key {} of type `{name}` for account `{account}`, which may have at most {most}",
                    number.saturating_add(1)
                ),
                help: "revoke what is not needed; only a key that ends within 30 days after the \
                       next one started is an overlap",
            };
            too_many.push((*index, remark));
        }
    }
    too_many.sort_by_key(|(index, _)| *index);
    remarks.extend(too_many.into_iter().map(|(_, remark)| remark));
}

/// Whether a number of seconds is a date as people write it without dashes, such as 20990101.
fn is_like_date(seconds: i64) -> bool {
    let (year, month, day) = (seconds / 10_000, seconds / 100 % 100, seconds % 100);
    (1900..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Keys whose counters have one name where a proxy's statistics allow letters, digits and `_` only.
fn same_metric(engine: &Engine, remarks: &mut Vec<Remark>) {
    let mut names: HashMap<String, &str> = HashMap::new();
    for key in engine.keys() {
        let id = key.id();
        let first = *names.entry(id.replace(['.', '-'], "_")).or_insert(id);
        if first != id {
            remarks.push(Remark {
                code: "same_metric",
                pointer: format!("/keys/{}/id", key.index()),
                message: format!("`{id}` and `{first}` are the same name to Prometheus, which writes `.` and `-` as `_`"),
                help: "let ids differ in letters or digits, or make labels of them with the `stats_tags` of \
                       `envoy/envoy.yaml`",
            });
        }
    }
}

/// A key of an account that is not over yet.
struct Active {
    index: usize,
    /// When it became good or was made, where the file says so.
    start: Option<i64>,
    /// When it ends; the end of time if it does not.
    ends: i64,
}

/// The keys that count: all but those of a rotation's overlap, which end within 30 days after one
/// started that outlives them.
fn counted(active: &[Active], now: i64) -> Vec<usize> {
    let start = |key: &Active| key.start.unwrap_or(now);
    let mut by_start: Vec<&Active> = active.iter().collect();
    by_start.sort_by_key(|key| start(key));
    // From each on, the one that lives longest; of those that end together the last.
    let mut longest = Vec::with_capacity(by_start.len());
    for key in by_start.iter().rev() {
        let end = (key.ends, key.index);
        longest.push(longest.last().map_or(end, |longest| end.max(*longest)));
    }
    longest.reverse();
    let is_overlap = |key: &&Active| {
        let earliest = key.ends.saturating_sub(SOON).max(key.start.unwrap_or(i64::MIN));
        let heirs = by_start.partition_point(|other| start(other) < earliest);
        longest.get(heirs).is_some_and(|longest| *longest > (key.ends, key.index))
    };
    active.iter().filter(|key| !is_overlap(key)).map(|key| key.index).collect()
}

/// A type whose name or prefix says that its keys are shown to everybody.
fn publishable(key_type: &KeyType, remarks: &mut Vec<Remark>) {
    if key_type.origins_required() {
        return;
    }
    const WORDS: [&str; 4] = ["pk", "pub", "public", "publishable"];
    let name = key_type.name();
    let is_publishable = [name, key_type.prefix()]
        .iter()
        .flat_map(|text| text.split(|character: char| !character.is_ascii_alphanumeric()))
        .any(|part| WORDS.iter().any(|word| word.eq_ignore_ascii_case(part)));
    if is_publishable {
        remarks.push(Remark {
            code: "publishable_without_origins",
            pointer: format!("/key_types/{name}"),
            message: format!(
                "keys of the type `{name}` look publishable, and work from any origin"
            ),
            help: "`origins_required: true` makes sure that each names the pages that may use it",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, remarks};

    const HASH_OF_NOTHING: &str =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_key_has_scopes_of_its_own_or_of_its_type() {
        let yaml = "key_types: {a: {scopes: []}, b: {}}\n\
                    keys:\n- {id: x}\n- {id: y, scopes: []}\n- {type: a}\n- {type: b}\n\
                    - {id: z, disabled: true}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/keys/0 no_scopes: the key has neither scopes nor a type",
                "/keys/3 no_scopes: neither the key nor its type has scopes"
            ]
        );
    }

    #[test]
    fn ids_that_are_one_name_to_prometheus_are_named() {
        let keys = "keys: [{id: team.a, scopes: []}, {id: Team_a, scopes: []}, {id: team-a, scopes: []}, \
                    {id: team_a, disabled: true}, {id: team.a.b, scopes: []}, {id: teama, scopes: []}]\n";
        let told = |place: usize, id: &str| {
            format!(
                "/keys/{place}/id same_metric: `{id}` and `team.a` are the same name to Prometheus, which writes \
                 `.` and `-` as `_`"
            )
        };
        assert_eq!(remarks(keys), [told(2, "team-a"), told(3, "team_a")]);
        assert_eq!(remarks(&format!("{keys}metrics: {{per_key: false}}\n")), [""; 0]);
        // So many keys are not counted one by one, unless the policy says so.
        let more: String = (0..1000).map(|n| format!("- {{id: a{n}, scopes: []}}\n")).collect();
        let many = format!("keys:\n- {{id: a-1, scopes: []}}\n- {{id: a.1, scopes: []}}\n{more}");
        assert_eq!(remarks(&many), [""; 0]);
        assert_eq!(remarks(&format!("{many}metrics: {{per_key: true}}\n")).len(), 1);
    }

    #[test]
    fn the_hash_of_nothing_is_no_token_s() {
        let told = "/keys/0/hash hash_of_nothing: this is the hash of an empty text, and no token is empty";
        let upper = HASH_OF_NOTHING.to_ascii_uppercase().replace("SHA256", "sha256");
        let other = HASH_OF_NOTHING.replace("e3", "e4");
        for (key, expected) in [
            (format!("scopes: [], hash: '{HASH_OF_NOTHING}'"), &[told][..]),
            (format!("scopes: [], hash: '{upper}'"), &[told]),
            (format!("scopes: [], hash: '{other}'"), &[]),
            (format!("disabled: true, hash: '{upper}'"), &[]),
        ] {
            assert_eq!(remarks(&format!("keys: [{{{key}}}]\n")), expected, "{key}");
        }
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
    fn an_account_may_have_more_keys_than_its_type_says_while_they_overlap() {
        let yaml = "key_types: {live: {scopes: [], max_active_per_account: 1}, other: {scopes: []}}\n\
                    keys:\n\
                    - {type: live, account: a}\n\
                    - {type: live, account: a, expires_at: 2026-06-15T00:00:00Z}\n\
                    - {type: live, account: a, disabled: true}\n\
                    - {type: live, account: a, expires_at: 2026-05-01T00:00:00Z}\n\
                    - {type: live, account: b}\n\
                    - {type: live, account: b}\n\
                    - {type: live, account: c}\n\
                    - {type: other, account: c}\n\
                    - {type: live}\n\
                    - {scopes: []}\n";
        let remarks = remarks(yaml);
        let about = |code: &str| remarks.iter().filter(|remark| remark.contains(code)).collect();
        let too_many: Vec<&String> = about("too_many_active_keys");
        assert_eq!(
            too_many,
            [
                "/keys/5 too_many_active_keys: active key 2 of type `live` for account `b`, which may have at most 1"
            ]
        );
        let nobodys: Vec<&String> = about("missing_account");
        assert_eq!(
            nobodys,
            [
                "/keys/8 missing_account: the type `live` counts keys per account, and this key has none"
            ]
        );
    }

    #[test]
    fn an_overlap_ends_within_30_days_after_the_next_key_started() {
        for (most, keys, too_many) in [
            // A rotation, and one after another.
            (
                1,
                &["created: 2026-01-01, expires_at: 2026-06-02", "created: 2026-06-01"][..],
                &[][..],
            ),
            (1, &["created: 2026-01-01, expires_at: 2026-07-01", "created: 2026-06-01"], &[]),
            (
                1,
                &[
                    "created: 2026-01-01, expires_at: 2026-06-20",
                    "created: 2026-05-30, expires_at: 2026-06-21",
                    "created: 2026-05-31, expires_at: 2026-08-30",
                ],
                &[],
            ),
            // In any order, and by `not_before` rather than by `created`.
            (1, &["created: 2026-06-01", "created: 2026-01-01, expires_at: 2026-06-02"], &[]),
            (
                1,
                &[
                    "created: 2026-01-01, expires_at: 2026-12-15",
                    "created: 2026-06-01, not_before: 2026-12-01",
                ],
                &[],
            ),
            // An end far off is not an overlap, nor is a day too many.
            (1, &["created: 2026-05-30, expires_at: 2036-05-30"; 3], &[1, 2]),
            (2, &["created: 2026-05-30, expires_at: 2036-05-30"; 3], &[2]),
            (1, &["created: 2026-01-01, expires_at: 2026-07-02", "created: 2026-06-01"], &[1]),
            // What started later is nobody's predecessor.
            (1, &["created: 2026-05-01", "created: 2026-05-20, expires_at: 2026-05-30"], &[]),
            (1, &["created: 2026-05-10", "created: 2026-05-20, expires_at: 2026-06-05"], &[1]),
            // The last to end has no successor.
            (1, &["expires_at: 2026-06-05", "expires_at: 2026-06-05"], &[]),
            // Where no start is known, now is the start.
            (1, &["expires_at: 2026-07-01", ""], &[]),
            (1, &["expires_at: 2026-07-02", ""], &[1]),
        ] {
            let mut yaml = format!(
                "key_types: {{live: {{scopes: [], max_active_per_account: {most}.0}}}}\nkeys:\n"
            );
            for key in keys {
                let key = key.replace(", expires_at", "T00:00:00Z, expires_at");
                let key = key.replace(", not_before", "T00:00:00Z, not_before");
                let end = if key.is_empty() { "" } else { "T00:00:00Z" };
                yaml.push_str(&format!("- {{type: live, account: a, {key}{end}}}\n"));
            }
            let expected: Vec<String> =
                too_many.iter().map(|index: &usize| format!("/keys/{index}")).collect();
            assert_eq!(places(&yaml, "too_many_active_keys"), expected, "{yaml}");
        }
    }

    #[test]
    fn publishable_keys_want_origins() {
        let yaml = "key_types:\n  a: {prefix: x_pk_}\n  publishable: {}\n  c: {prefix: apk_}\n  \
                    pub: {origins_required: true}\n";
        assert_eq!(
            remarks(yaml),
            [
                "/key_types/a publishable_without_origins: \
                 keys of the type `a` look publishable, and work from any origin",
                "/key_types/publishable publishable_without_origins: \
                 keys of the type `publishable` look publishable, and work from any origin",
            ]
        );
    }
}
