//! What becomes of keys between minting and the end: suspended, resumed, edited, listed, shown, revoked.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fs;

use support::{Directory, TestCommand, listening};

const REFUSE: &str = "proxies accept it until that is pushed (`latchkey push`)\n";
const KNOW: &str = "proxies learn of it once it is pushed (`latchkey push`)\n";

const POLICY: &str = "\
credentials:
- {header: authorization, scheme: Bearer}
key_types:
  live: {scopes: ['orders:write', read]}
keys: []
";

const KEYS: &str = "\
# Keys of the shop
keys:
  # who builds
  - id: ci            # nightly
    hash: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'
    hint: flk_...x7Qa
    account: ws_1
    created: 2026-01-01T00:00:00Z
    scopes:
      - orders:read   # to look
      - 'orders:create'
    attributes:
      plan: pro       # paid
  - {id: app, hash: 'sha256:2222222222222222222222222222222222222222222222222222222222222222', type: live, account: ws_1}
  - {id: web, hash: 'sha256:3333333333333333333333333333333333333333333333333333333333333333', account: ws_2, scopes: [], origins: [https://a.example]}
  - {id: old, hash: 'sha256:4444444444444444444444444444444444444444444444444444444444444444', account: ws_2, expires_at: 2026-02-01T00:00:00Z}
  - {id: gone, hash: 'sha256:5555555555555555555555555555555555555555555555555555555555555555', account: ws_1, disabled: true}
";

fn directory() -> Directory {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    directory.write("keys.yaml", KEYS);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(directory.path().join("keys.yaml"), open).unwrap();
    directory
}

fn file(directory: &Directory) -> String {
    fs::read_to_string(directory.path().join("keys.yaml")).unwrap()
}

fn key(directory: &Directory, arguments: &str) -> TestCommand {
    TestCommand::new(directory, &format!("key {arguments} --keys keys.yaml"))
}

#[track_caller]
fn explains(directory: &Directory, token: &str, state: &str) {
    let arguments = format!(
        "explain policy.yaml --keys keys.yaml https://a.example/v1/orders -H authorization:Bearer@{token}"
    );
    let arguments: Vec<String> = arguments.split(' ').map(|own| own.replace('@', " ")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = TestCommand::new(directory, "explain").arguments(&arguments).everything();
    assert!(told.contains(state), "{told}");
}

#[test]
fn what_is_suspended_is_refused_and_comes_back_as_it_was() {
    let directory = directory();
    let new = key(&directory, "new --id a --scope read").output();
    let (token, before) = (new.trim_end(), file(&directory));
    explains(&directory, token, "allow key:a");

    key(&directory, "suspend a").prints(
        0,
        "",
        &format!("key `a` is suspended (`latchkey key resume a` undoes it)\n{REFUSE}"),
    );
    let more = before.strip_suffix("}\n").unwrap().to_owned() + ", suspended: true}\n";
    assert_eq!(file(&directory), more);
    explains(&directory, token, "deny revoked_key key:a");
    explains(&directory, token, "it is suspended");
    key(&directory, "suspend a").prints(0, "", "key `a` was suspended before\n");
    key(&directory, "rotate a").prints(
        1,
        "",
        "error: the key `a` is suspended (resume it first, or mint a key of its own)\n",
    );

    key(&directory, "resume a").prints(0, "", &format!("key `a` is resumed\n{KNOW}"));
    assert_eq!(file(&directory), before);
    explains(&directory, token, "allow key:a");
    key(&directory, "resume a").prints(0, "", "key `a` was not suspended; it is active\n");
}

#[test]
fn what_is_revoked_does_not_come_back() {
    let directory = directory();
    key(&directory, "suspend ci").prints(
        0,
        "",
        &format!("key `ci` is suspended (`latchkey key resume ci` undoes it)\n{REFUSE}"),
    );
    key(&directory, "revoke ci").prints(0, "", &format!("key `ci` is revoked\n{REFUSE}"));
    let before = file(&directory);
    let mint = "(mint a key with `latchkey key new`)\n";
    let over = format!("error: the key `ci` is revoked, for good {mint}");
    key(&directory, "resume ci").prints(1, "", &over);
    key(&directory, "edit ci --expires 90d").prints(1, "", &over);
    key(&directory, "suspend ci").prints(1, "", "error: the key `ci` is revoked, for good\n");
    key(&directory, "suspend old").prints(
        1,
        "",
        "error: the key `old` expired: it is refused already\n",
    );
    // Nothing of several keys is done where one cannot be.
    key(&directory, "suspend app gone").prints(
        1,
        "",
        "error: the key `gone` is revoked, for good\n",
    );
    key(&directory, "revoke app nobody").prints(1, "", "error: keys.yaml has no key `nobody`\n");
    assert_eq!(file(&directory), before);
}

#[test]
fn several_keys_end_at_once() {
    let directory = directory();
    key(&directory, "revoke app web app").prints(
        0,
        "",
        "key `app` is revoked\nkey `web` is revoked\n\
         proxies accept them until that is pushed (`latchkey push`)\n",
    );
    let list = key(&directory, "list --state revoked --format json").output();
    assert_eq!(list.matches("\"id\"").count(), 3, "{list}");

    let directory = self::directory();
    let text = key(&directory, "revoke --account ws_1").everything();
    assert_eq!(
        text,
        "key `gone` was revoked before; keys.yaml is unchanged\nkey `ci` is revoked\nkey `app` is revoked\n\
         proxies accept them until that is pushed (`latchkey push`)\n"
    );
    assert!(file(&directory).starts_with(KEYS.split("    attributes").next().unwrap()));
    key(&directory, "revoke --account ws_9").prints(
        1,
        "",
        "error: keys.yaml has no key of the account `ws_9`\n",
    );
    let text = key(&directory, "suspend --account ws_2").everything();
    assert!(text.starts_with("key `web` is suspended"), "{text}");
    assert_eq!(key(&directory, "revoke").code(), 2);
    assert_eq!(key(&directory, "revoke ci --account ws_1").code(), 2);
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let directory = directory();
    key(
        &directory,
        "edit ci --add-scope orders:delete --remove-scope orders:create --attribute seats=5 \
         --name CI --expires 2999-01-01",
    )
    .prints(0, "", &format!("key `ci` is changed\n{KNOW}"));
    let expected =
        KEYS.replace("      - 'orders:create'\n", "      - \"orders:delete\"\n").replace(
            "      plan: pro       # paid\n",
            "      plan: pro       # paid\n      seats: \"5\"\n    name: CI\n    \
             expires_at: 2999-01-01T00:00:00Z\n",
        );
    assert_eq!(file(&directory), expected);
    key(&directory, "edit ci --name CI --attribute seats=5").prints(
        0,
        "",
        "key `ci` is already like that\n",
    );
    key(
        &directory,
        "edit ci --scope orders:read --scope orders:create --remove-attribute seats --unset name \
         --unset expires",
    )
    .prints(0, "", &format!("key `ci` is changed\n{KNOW}"));
    assert_eq!(file(&directory), KEYS.replace("'orders:create'", "\"orders:create\""));

    // Several at once, of which each keeps its own.
    key(&directory, "edit app web --attribute plan=free").prints(
        0,
        "",
        &format!("key `app` is changed\nkey `web` is changed\n{KNOW}"),
    );
    assert_eq!(file(&directory).matches("attributes: {plan: free}}").count(), 2);
    key(&directory, "edit old --expires 30d").prints(
        0,
        "",
        &format!("key `old` is changed\n{KNOW}"),
    );
    assert_eq!(
        key(&directory, "list --state expired").everything(),
        "keys.yaml has no such keys\n"
    );
}

#[test]
fn an_edit_that_makes_no_sense_changes_nothing() {
    let directory = directory();
    for (arguments, code, error) in [
        (
            "edit app --add-scope read",
            1,
            "error: the key `app` has the scopes of its type, if any: say all that it is to have with `--scope`\n",
        ),
        (
            "edit ci --add-origin https://a.example",
            1,
            "error: the key `ci` is for any caller: say all that it is to be good from with `--origin`\n",
        ),
        (
            "edit ci --add-address 203.0.113.5",
            1,
            "error: the key `ci` has the addresses of its type, if any: say all that it is to be good for with `--address`\n",
        ),
        ("edit ci --address 203.0.113.5/24", 3, "keys.yaml: error[invalid_address]: "),
        ("edit ci --remove-scope read", 1, "error: the key `ci` has no `read` in its scopes\n"),
        ("edit ci --remove-attribute x", 1, "error: the key `ci` has no attribute `x`\n"),
        (
            "edit ci --name x --unset name",
            2,
            "error: `--unset` takes away what another option sets: the name\n",
        ),
        ("edit ci --attribute a=1 --attribute a=2", 2, "error: the attribute `a` is given twice\n"),
        (
            "edit ci --attribute plan=x --remove-attribute plan",
            2,
            "error: the attribute `plan` is given twice\n",
        ),
        (
            "edit ci --remove-attribute plan --remove-attribute plan",
            2,
            "error: the attribute `plan` is given twice\n",
        ),
        // A key for pages of its own would become one for any caller.
        (
            "edit web --remove-origin https://a.example",
            3,
            "keys.yaml: error[empty]: the key's list of origins is empty\n  \
             = help: leave `origins` out for any caller, or use `disabled: true`\n  = at /keys/2/origins\n\
             nothing was written\n",
        ),
        ("edit ci app --scope a:b:c", 3, "keys.yaml: error[invalid_scope]: "),
    ] {
        let text = key(&directory, arguments).error();
        assert!(text.starts_with(error.split('\n').next().unwrap()), "{text}");
        assert_eq!(key(&directory, arguments).code(), code, "{text}");
        assert_eq!(file(&directory), KEYS);
    }
    assert_eq!(key(&directory, "edit ci").code(), 2);
    for verb in ["new --id a", "revoke ci", "edit ci --name x", "prune --older-than 1d"] {
        TestCommand::new(&directory, &format!("key {verb} --keys -")).prints(
            2,
            "",
            "error: standard input cannot be changed: name the keys file\n",
        );
    }
    assert_eq!(key(&directory, "edit ci --scope a --add-scope b").code(), 2);
}

#[test]
fn keys_are_shown_without_their_hash() {
    let directory = directory();
    key(&directory, "show ci web").prints(
        0,
        "\
id          ci
state       active
hint        flk_...x7Qa
account     ws_1
created     2026-01-01T00:00:00Z
scopes      orders:read orders:create
attributes  plan=pro

id       web
state    active
account  ws_2
scopes   none
origins  https://a.example
",
        "",
    );
    let json: serde_json::Value =
        serde_json::from_str(&key(&directory, "show ci --format json").output()).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "id": "ci", "state": "active", "hint": "flk_...x7Qa", "account": "ws_1",
            "created": "2026-01-01T00:00:00Z", "scopes": ["orders:read", "orders:create"],
            "attributes": {"plan": "pro"},
        }])
    );
}

/// What is no time is no end: no policy takes it, and it is not told as if it were not there.
#[test]
fn a_key_that_no_policy_takes_is_not_called_active() {
    let directory = directory();
    let key_of = |id: &str, digit: &str, fields: &str| {
        format!("  - {{id: {id}, hash: 'sha256:{}', {fields}}}\n", digit.repeat(64))
    };
    let keys = [
        key_of("a", "1", "created: 2020-01-01, expires_at: 2020-01-01"),
        key_of("b", "2", "expires_at: 2020-13-01T00:00:00Z"),
        key_of("c", "3", "expires_at: 99999999999999"),
        key_of("d", "4", "expires_at: null"),
        key_of("e", "5", "not_before: true"),
        key_of("f", "6", "disabled: yes"),
        key_of("g", "7", "expires_at: 2020-01-01, disabled: true"),
        key_of("h", "8", "expires_at: 1000"),
    ];
    directory.write("keys.yaml", &format!("keys:\n{}", keys.concat()));
    key(&directory, "list").prints(
        0,
        "\
ID  NAME  TYPE  ACCOUNT  HINT  CREATED     EXPIRES               STATE
a   -     -     -        -     2020-01-01  2020-01-01            invalid
b   -     -     -        -     -           2020-13-01T00:00:00Z  invalid
c   -     -     -        -     -           99999999999999        invalid
d   -     -     -        -     -           null                  invalid
e   -     -     -        -     -           -                     invalid
f   -     -     -        -     -           -                     invalid
g   -     -     -        -     -           2020-01-01            revoked
h   -     -     -        -     -           1970-01-01T00:16:40Z  expired
",
        "",
    );
    lists(&directory, "--state invalid", &["a", "b", "c", "d", "e", "f"]);
    lists(&directory, "--state active", &[]);
    let shown = key(&directory, "show a").output();
    assert!(shown.contains("state       invalid\n"), "{shown}");
    let shown = key(&directory, "show c --format json").output();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["state"], "invalid");
    // Nor has it a successor without an end, nor is anything else of it written but what mends it.
    let before = file(&directory);
    key(&directory, "rotate a").prints(
        1,
        "",
        "error: the key `a` is invalid: `latchkey check` says why\n",
    );
    assert_eq!(key(&directory, "suspend a").code(), 3);
    assert_eq!(file(&directory), before);
    directory.write(
        "keys.yaml",
        &format!("keys:\n{}", keys[..1].concat()).replace("created: 2020-01-01, ", ""),
    );
    key(&directory, "edit a --expires 2999-01-01").output();
    lists(&directory, "--state active", &["a"]);
}

#[track_caller]
fn lists(directory: &Directory, filters: &str, ids: &[&str]) {
    let list = key(directory, &format!("list --format json {filters}")).output();
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    let own: Vec<_> = list.iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(own, ids, "{filters}");
}

#[test]
fn lists_have_filters() {
    let directory = directory();
    lists(&directory, "--account ws_1", &["ci", "app", "gone"]);
    lists(&directory, "--account ws_1 --state active", &["ci", "app"]);
    lists(&directory, "--state expired --state revoked", &["old", "gone"]);
    lists(&directory, "--type live", &["app"]);
    // What a key may do, not how its scopes are written.
    lists(&directory, "--policy policy.yaml --scope orders:create", &["ci", "app"]);
    lists(&directory, "--policy policy.yaml --scope orders:create --scope read", &["app"]);
    lists(&directory, "--policy policy.yaml --scope invoices:read", &["app"]);
    key(&directory, "list --scope orders:create").prints(
        1,
        "",
        "error: the key `app` has the scopes of its type: name the policy with `--policy`\n",
    );
    key(&directory, "list --account ws_9").prints(0, "", "keys.yaml has no such keys\n");
}

/// An admin port on loopback of an Envoy that has run for so many seconds.
fn admin(uptime: u64, counted: &str) -> String {
    let counted = counted.to_owned();
    listening(move |path| {
        let stats = match path {
            path if path.contains("uptime") => {
                format!(r#"{{"name": "server.uptime", "value": {uptime}}}"#)
            }
            path if path.contains("wasmcustom") => counted.clone(),
            _ => String::new(),
        };
        format!("{{\"stats\": [{stats}]}}")
    })
}

#[test]
fn a_list_tells_what_was_not_used() {
    let directory = directory();
    let last = |id: &str, time: i64| {
        format!(r#"{{"name": "wasmcustom.latchkey.key.{id}.last_used", "value": {time}}}"#)
    };
    // 2026-01-15, and 2026-03-01: a key counts as used where any of the proxies saw it.
    let one = [last("ci", 1_768_435_200), last("app", 1_768_435_200), last("old", 0)].join(",");
    let two = last("ci", 1_772_323_200);
    let century = 100 * 365 * 86400;
    let filter = format!(
        "--unused-since 2026-02-01 --admin {} --admin {}",
        admin(century, &one),
        admin(century, &two)
    );
    lists(&directory, &filter, &["app", "web", "old", "gone"]);
    // A key made since then had no time to be used.
    let filter = format!("--unused-since 2025-12-31 --admin {}", admin(century, &last("old", 0)));
    lists(&directory, &filter, &["app", "web", "old", "gone"]);

    let young = admin(60, &one);
    let text = key(&directory, &format!("list --unused-since 30d --admin {young}")).everything();
    assert!(text.contains(&format!("warning: Envoy at `{young}` counts since 2")), "{text}");
    let other = admin(60, r#"{"name": "wasmcustom.latchkey.keys", "value": 3}"#);
    key(&directory, &format!("list --unused-since 30d --admin {other}")).prints(
        1,
        "",
        &format!(
            "error: Envoy at `{other}` counts nothing per key: the policy needs `metrics: {{per_key: true}}`\n"
        ),
    );
    assert_eq!(key(&directory, "list --unused-since 30d").code(), 2);
}
