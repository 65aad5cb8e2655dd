//! Keys for their whole life, from minting to pruning.
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use latchkey::{Body, Engine, Environment, Request};
use latchkey_cli::policy::Policy;
use support::{Directory, TestCommand};

/// What a command that ends a key says at its end.
const UNTIL_PUSHED: &str = "proxies accept it until that is pushed (`latchkey push`)\n";

const PEPPER: &str = "grains of it";

const POLICY: &str = "\
realm: demo
credentials:
- {header: authorization, scheme: Bearer}
key_types:
  read-only:
    prefix: flk_ro_
    scopes: ['*:read']
  formatted:
    prefix: flz_sk_
    format: {length: 32, charset: alphanumeric}
  short:
    format: {length: 16, charset: hex}
  page:
    origins_required: true
keys: []
";

/// What a command printed: its token, or everything else that it had for standard output.
struct Ran {
    code: Option<i32>,
    output: String,
    error: String,
}

impl Ran {
    /// The token, which is alone on standard output.
    #[track_caller]
    fn token(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.error);
        let token = self.output.strip_suffix('\n').unwrap();
        assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{token}");
        assert!(!self.error.contains(token));
        token
    }

    /// Asserts that it failed with this message, and without a token.
    #[track_caller]
    fn fails(&self, code: i32, error: &str) {
        assert_eq!((self.output.as_str(), self.error.as_str()), ("", error));
        assert_eq!(self.code, Some(code));
    }
}

fn command(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.current_dir(directory.path()).args(arguments);
    command.env_remove("LATCHKEY_PEPPER");
    command
}

fn finish(mut command: Command) -> Ran {
    let ran = command.output().unwrap();
    Ran {
        code: ran.status.code(),
        output: String::from_utf8(ran.stdout).unwrap(),
        error: String::from_utf8(ran.stderr).unwrap(),
    }
}

fn run(directory: &Directory, arguments: &str) -> Ran {
    finish(command(directory, &arguments.split(' ').collect::<Vec<_>>()))
}

fn read(directory: &Directory, name: &str) -> String {
    fs::read_to_string(directory.path().join(name)).unwrap()
}

fn names(directory: &Directory) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `text` with `HASH`, `TAIL` and `TIME` for what differs from run to run.
fn steady(text: &str) -> String {
    let is_time = |word: &str| latchkey::parse_timestamp(word).is_some();
    let is_tail = |word: &str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("sha256:") {
            result.push_str("sha256:HASH");
            rest = &after[64..];
        } else if let Some(after) = rest.strip_prefix("...").filter(|rest| is_tail(&rest[..4])) {
            result.push_str("...TAIL");
            rest = &after[4..];
        } else if rest.get(..20).is_some_and(is_time) {
            result.push_str("TIME");
            rest = &rest[20..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

/// Seconds from the creation of a key to its end, as the file has them.
fn lifetime(directory: &Directory, id: &str) -> Option<i64> {
    let list = run(directory, "key list --keys keys.yaml --format json").output;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let key = list.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    let time = |name: &str| latchkey::parse_timestamp(key[name].as_str()?);
    Some(time("expires")? - time("created").unwrap())
}

/// What the filter decides about a request to read with this token, `later` seconds from now.
fn decide(directory: &Directory, token: &str, later: i64) -> String {
    let (policy, keys) = (directory.path().join("policy.yaml"), directory.path().join("keys.yaml"));
    let policy = Policy::load(&policy, Some(&keys)).unwrap();
    let environment = Environment { pepper: Some(PEPPER.as_bytes()) };
    let engine = Engine::compile(&policy.to_json().unwrap(), &environment).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap() + later;
    let bearer = format!("Bearer {token}");
    let headers =
        [(":method", &b"GET"[..]), (":path", b"/v1/reports"), ("authorization", bearer.as_bytes())];
    let (clock, claims) = (|| Some(now), |_: &str| None);
    let request = Request {
        headers: &headers,
        body: Body::Unread,
        clock: &clock,
        address: &|| None,
        claims: &claims,
    };
    engine.decide(&request).to_string()
}

fn directory() -> Directory {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    directory
}

#[test]
fn a_new_key_has_everything_that_was_asked_for_and_no_token() {
    let directory = Directory::new();
    let mut arguments = "key new --keys keys.yaml --id ci-2026 --type read-only --account ws_1 \
                         --scope reports:read --scope inspect --prefix flk_live_ \
                         --expires 2999-01-01T00:00:00Z --attribute plan=pro --attribute a.b=x=y \
                         --origin https://app.example.com --origin https://*.example.org \
                         --address 203.0.113.0/24 --address 2001:db8::/32"
        .split_whitespace()
        .collect::<Vec<_>>();
    arguments.extend(["--name", "CI, é: \"nightly\""]);
    let ran = finish(command(&directory, &arguments));
    let token = ran.token();
    assert_eq!(token.len(), "flk_live_".len() + 36);
    assert!(token.starts_with("flk_live_"));
    assert_eq!(
        steady(&read(&directory, "keys.yaml")),
        r#"keys:
  - id: ci-2026
    hash: "sha256:HASH"
    hint: flk_live_...TAIL
    created: TIME
    type: read-only
    name: "CI, é: \"nightly\""
    account: ws_1
    scopes: ["reports:read", inspect]
    expires_at: TIME
    origins: ["https://app.example.com", "https://*.example.org"]
    addresses: ["203.0.113.0/24", "2001:db8::/32"]
    attributes: {plan: pro, a.b: "x=y"}
"#
    );
    assert!(read(&directory, "keys.yaml").contains(&format!("...{}", &token[token.len() - 4..])));
    assert_eq!(
        steady(&ran.error),
        "warning: the policy may give tokens of the type `read-only` another prefix or a format, and proxies \
         then refuse this one (name the policy with `--policy`)\n\
         key `ci-2026` is in keys.yaml; it expires at TIME\n\
         proxies accept it once it is pushed (`latchkey push`)\n\
         its token is shown this once; only its hash is kept\n"
    );
    // Nothing beside it, and for nobody else.
    assert_eq!(names(&directory), ["keys.yaml"]);
    assert_eq!(fs::metadata(directory.path().join("keys.yaml")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_new_key_stands_behind_the_others_whose_text_stays() {
    let directory = directory();
    let old = "# Ours, since 2025\n\nkeys:\n- id: old   # do not touch\n  hash: \
               'sha256:7C43ef5ae21d43ce2743f770c68e24def1a43ee2f416d2438410c8af7af2ff2c'\n\n\
               # the end\n";
    directory.write("keys.yaml", old);
    run(&directory, "key new --keys keys.yaml --id b --policy policy.yaml").token();
    let new = "- id: b\n  hash: \"sha256:HASH\"\n  hint: \"...TAIL\"\n  created: TIME\n";
    let expected = steady(old).replace("\n\n# the end", &format!("\n{new}\n# the end"));
    assert_eq!(steady(&read(&directory, "keys.yaml")), expected);
}

#[test]
fn json_stays_json() {
    let directory = Directory::new();
    run(&directory, "key new --keys keys.json --id a --scope read").token();
    run(&directory, "key rotate a --keys keys.json").token();
    assert_eq!(
        steady(&read(&directory, "keys.json")),
        r#"{
  "keys": [
    {
      "id": "a",
      "hash": "sha256:HASH",
      "hint": "...TAIL",
      "created": "TIME",
      "scopes": ["read"],
      "expires_at": "TIME",
      "disabled": true
    },
    {
      "id": "a-2",
      "hash": "sha256:HASH",
      "hint": "...TAIL",
      "created": "TIME",
      "scopes": ["read"]
    }
  ]
}
"#
    );
}

#[test]
fn tokens_follow_their_type_and_are_let_through() {
    let directory = directory();
    for (id, key_type, prefix, length) in
        [("a", "read-only", "flk_ro_", 36), ("b", "formatted", "flz_sk_", 32)]
    {
        let arguments =
            format!("key new --keys keys.yaml --policy policy.yaml --id {id} --type {key_type}");
        let ran = run(&directory, &format!("{arguments} --scope read"));
        let token = ran.token();
        assert!(token.starts_with(prefix));
        assert_eq!(token.len(), prefix.len() + length);
        assert_eq!(decide(&directory, token, 0), format!("allow key:{id}"));
    }
    let ran = run(&directory, "key new --keys keys.yaml --policy policy.yaml --id c --type short");
    assert_eq!(ran.token().len(), 16);
    assert!(ran.error.starts_with(
        "warning: a token of the type `short` has 64 bits of randomness, and who has its hash can \
         guess it (let the type's `format` have more characters)\n"
    ));
    let longer = "key new --keys keys.yaml --policy policy.yaml --id d --type read-only --prefix";
    assert!(run(&directory, &format!("{longer} flk_ro_ci_")).token().starts_with("flk_ro_ci_"));
    let longer = longer.replace("--id d", "--id e");
    run(&directory, &format!("{longer} flk_"))
        .fails(1, "error: tokens of the type `read-only` start with `flk_ro_`, not with `flk_`\n");
}

/// Without the policy nobody knows what a token of a type looks like, and proxies would refuse it.
#[test]
fn a_token_of_a_type_is_not_minted_at_a_guess() {
    let directory = directory();
    let new = "key new --keys keys.yaml --id a --type read-only";
    let message = |name: &str| {
        format!(
            "error: the policy says what tokens of the type `{name}` look like: name it with `--policy` (or \
             what they start with, with `--prefix`)\n"
        )
    };
    run(&directory, new).fails(2, &message("read-only"));
    assert_eq!(names(&directory), ["policy.yaml"]);
    assert!(run(&directory, &format!("{new} --prefix flk_ro_")).token().starts_with("flk_ro_"));
    run(&directory, "key rotate a --keys keys.yaml").fails(2, &message("read-only"));
    let ran = run(&directory, "key rotate a --keys keys.yaml --prefix flk_ro_ci_");
    assert!(ran.token().starts_with("flk_ro_ci_"));
    // A policy without that type, or with errors.
    let unknown = "keys.yaml: error[unknown_key_type]: key type `nothing` is not defined";
    let before = read(&directory, "keys.yaml");
    for (more, start) in [
        ("--policy policy.yaml --id b --type nothing", unknown),
        ("--policy policy.yaml --id b --type nothing --prefix x_", unknown),
        ("--policy broken.yaml --id b --type read-only", "broken.yaml:6:5: error[wrong_type]: "),
    ] {
        directory.write("broken.yaml", &POLICY.replace("flk_ro_", "1"));
        let ran = run(&directory, &format!("key new --keys keys.yaml {more}"));
        assert_eq!((ran.code, ran.output.as_str()), (Some(3), ""));
        assert!(
            ran.error.starts_with(start) && ran.error.ends_with("nothing was written\n"),
            "{}",
            ran.error
        );
    }
    assert_eq!(read(&directory, "keys.yaml"), before);
}

/// The policy's words, however they are written: what they mean is the engine's to say.
#[test]
fn a_format_is_what_the_filter_takes_it_for() {
    let directory = directory();
    for (index, format) in [
        "{length: 32.0, charset: hex}",
        "{length: 3.2e1, charset: hex}",
        "{charset: 'hex', length: 0x20}",
    ]
    .into_iter()
    .enumerate()
    {
        directory
            .write("policy.yaml", &POLICY.replace("{length: 32, charset: alphanumeric}", format));
        let new =
            "key new --keys keys.yaml --policy policy.yaml --scope read --type formatted --id";
        let ran = run(&directory, &format!("{new} k{index}"));
        let token = ran.token().strip_prefix("flz_sk_").unwrap();
        assert_eq!(token.len(), 32, "{format}");
        assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{format}");
        assert_eq!(decide(&directory, ran.token(), 0), format!("allow key:k{index}"));
    }
}

#[test]
fn keys_may_stand_in_the_policy_itself() {
    let directory = directory();
    let ran = run(&directory, "key new --keys policy.yaml --id a --type formatted --scope read");
    assert!(ran.token().starts_with("flz_sk_"));
    assert!(ran.error.starts_with("warning: others than its owner and group may open policy.yaml"));
    let policy = read(&directory, "policy.yaml");
    assert!(policy.starts_with(POLICY.strip_suffix("keys: []\n").unwrap()));
    run(&directory, "key revoke a --keys policy.yaml --policy policy.yaml");
    TestCommand::new(&directory, "key list --keys policy.yaml --format json").output();
    directory.write("other.yaml", POLICY);
    run(&directory, "key new --keys policy.yaml --id b --policy other.yaml")
        .fails(1, "error: policy.yaml is a policy itself: leave `--policy` out\n");
}

#[test]
fn a_key_may_end_on_a_date() {
    let directory = directory();
    let ran = run(&directory, "key new --keys keys.yaml --id a --expires 2999-01-01");
    ran.token();
    assert!(ran.error.contains("it expires at 2999-01-01T00:00:00Z\n"), "{}", ran.error);
    run(&directory, "key rotate a --keys keys.yaml --expires 2999-12-31").token();
    let list = run(&directory, "key list --keys keys.yaml").output;
    assert!(list.contains(" 2999-12-31T00:00:00Z "), "{list}");
    for command in ["new --id b", "edit a-2", "rotate a-2"] {
        for (wrong, message) in [
            ("2020-01-01", "`--expires` is not in the future: it is "),
            ("0d", "`--expires` is not in the future: it is "),
            ("3000000d", "that is after the year 9999\n"),
        ] {
            let ran = run(&directory, &format!("key {command} --keys keys.yaml --expires {wrong}"));
            assert_eq!(ran.code, Some(2));
            assert!(ran.error.starts_with(&format!("error: {message}")), "{}", ran.error);
        }
    }
    for wrong in ["2999-1-1", "2999-02-30", "2999-01", "01/01/2999", "tomorrow", "2999-01-01T00:00"]
    {
        let ran = run(&directory, &format!("key new --keys keys.yaml --id b --expires {wrong}"));
        let message = format!(
            "error: invalid value '{wrong}' for '--expires <WHEN>': expected a span of time such as `90d`, a \
             date such as `2027-01-01`, or a time such as `2027-01-01T00:00:00Z`\n"
        );
        assert_eq!(ran.code, Some(2));
        assert!(ran.error.starts_with(&message), "{}", ran.error);
    }
}

#[test]
fn a_pepper_makes_the_hash() {
    let directory = directory();
    let mut new =
        command(&directory, &["key", "new", "--keys", "keys.yaml", "--id", "a", "--scope", "read"]);
    new.env("LATCHKEY_PEPPER", PEPPER);
    let ran = finish(new);
    assert!(read(&directory, "keys.yaml").contains("hash: \"hmac-sha256:"));
    assert_eq!(decide(&directory, ran.token(), 0), "allow key:a");
    // Its successor would not be as safe; to end it, the pepper is not needed.
    run(&directory, "key rotate a --keys keys.yaml").fails(
        1,
        "error: the key `a` is hashed with a pepper, so its successor needs LATCHKEY_PEPPER\n",
    );
    assert_eq!(
        run(&directory, "key revoke a --keys keys.yaml").error,
        format!("key `a` is revoked\n{UNTIL_PUSHED}")
    );
}

/// A pepper is bytes; without it the key would be made, and less safe than it was meant to be.
#[test]
fn a_pepper_need_not_be_text() {
    let directory = directory();
    let pepper = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for arguments in
        ["key new --keys keys.yaml --id a --scope read", "key rotate a --keys keys.yaml"]
    {
        let mut command = command(&directory, &arguments.split(' ').collect::<Vec<_>>());
        command.env("LATCHKEY_PEPPER", pepper);
        finish(command).token();
    }
    assert_eq!(read(&directory, "keys.yaml").matches("hash: \"hmac-sha256:").count(), 2);
    let mut check = command(&directory, &["check", "policy.yaml", "--keys", "keys.yaml"]);
    check.env("LATCHKEY_PEPPER", pepper);
    assert_eq!(finish(check).code, Some(0));
}

#[test]
fn a_rotation_ends_the_old_key_at_once() {
    let directory = directory();
    let old = "key new --keys keys.yaml --policy policy.yaml --id ci-2026 --type read-only \
               --account ws_1 --scope read --attribute plan=pro --expires 90d";
    let old = run(&directory, old);
    let ran = run(&directory, "key rotate ci-2026 --keys keys.yaml --policy policy.yaml");
    assert_eq!(
        steady(&ran.error),
        "key `ci-2026` is revoked\n\
         key `ci-2026-2` takes its place in keys.yaml; it expires at TIME\n\
         proxies accept the old token, and not the new one, until that is pushed (`latchkey push`)\n\
         its token is shown this once; only its hash is kept\n"
    );
    assert!(ran.token().starts_with("flk_ro_"));
    assert_eq!(decide(&directory, old.token(), 0), "deny revoked_key key:ci-2026");
    // Whatever the clock of the proxy says.
    assert_eq!(decide(&directory, old.token(), -3600), "deny revoked_key key:ci-2026");
    assert_eq!(decide(&directory, ran.token(), 0), "allow key:ci-2026-2");
    assert_eq!(
        steady(&read(&directory, "keys.yaml")),
        r#"keys:
  - id: ci-2026
    hash: "sha256:HASH"
    hint: flk_ro_...TAIL
    created: TIME
    type: read-only
    account: ws_1
    scopes: [read]
    expires_at: TIME
    attributes: {plan: pro}
    disabled: true
  - id: ci-2026-2
    hash: "sha256:HASH"
    hint: flk_ro_...TAIL
    created: TIME
    expires_at: TIME
    type: read-only
    account: ws_1
    scopes: [read]
    attributes: {plan: pro}
"#
    );
    assert_eq!(lifetime(&directory, "ci-2026-2"), Some(90 * 86400));
    // The number goes up, and a successor may be named and live otherwise.
    run(&directory, "key rotate ci-2026-2 --keys keys.yaml --policy policy.yaml --expires 30d")
        .token();
    assert_eq!(lifetime(&directory, "ci-2026-3"), Some(30 * 86400));
    run(&directory, "key rotate ci-2026-3 --keys keys.yaml --policy policy.yaml --id nightly")
        .token();
    assert_eq!(lifetime(&directory, "nightly"), Some(30 * 86400));
}

#[test]
fn a_rotation_with_an_overlap_lets_both_keys_through_until_it_is_over() {
    let directory = directory();
    let old = run(&directory, "key new --keys keys.yaml --id a --scope read --prefix flk_live_");
    let new = run(&directory, "key rotate a --keys keys.yaml --overlap 24h");
    assert!(steady(&new.error).starts_with("key `a` ends at TIME\nkey `a-2` takes its place"));
    // The hint knows the old token's prefix.
    assert!(new.token().starts_with("flk_live_"));
    for (later, expected) in
        [(0, "allow key:a"), (86_000, "allow key:a"), (86_401, "deny expired_key key:a")]
    {
        assert_eq!(decide(&directory, old.token(), later), expected);
        assert_eq!(decide(&directory, new.token(), later), "allow key:a-2");
    }
    // An end that comes before the overlap does stays.
    run(&directory, "key new --keys keys.yaml --id b --expires 1h").token();
    let ran = run(&directory, "key rotate b --keys keys.yaml --overlap 24h");
    assert!(
        steady(&ran.error).starts_with("key `b` ends at TIME anyway, before the overlap is over\n")
    );
    assert_eq!(lifetime(&directory, "b"), Some(3600));
}

/// Times are written to the second.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

/// The second successor would live as long as the overlap of the first.
#[test]
fn a_key_is_rotated_once() {
    let directory = directory();
    run(&directory, "key new --keys keys.yaml --id ci --scope read").token();
    run(&directory, "key rotate ci --keys keys.yaml --overlap 24h").token();
    let before = read(&directory, "keys.yaml");
    let refused = |old: &str, heir: &str| {
        format!(
            "error: the key `{old}` was rotated before: its successor is `{heir}` (rotate that \
             one, or say with `--expires` when the new key ends)\n"
        )
    };
    for more in ["", " --overlap 24h", " --id other", " --prefix p_"] {
        run(&directory, &format!("key rotate ci --keys keys.yaml{more}"))
            .fails(1, &refused("ci", "ci-2"));
    }
    assert_eq!(read(&directory, "keys.yaml"), before);

    // Its successor is not refused, and then it is.
    run(&directory, "key rotate ci-2 --keys keys.yaml --overlap 24h").token();
    assert_eq!(lifetime(&directory, "ci-3"), None);
    for old in ["ci", "ci-2"] {
        run(&directory, &format!("key rotate {old} --keys keys.yaml"))
            .fails(1, &refused(old, "ci-3"));
    }
    // A lifetime that is given is not read from the old key.
    run(&directory, "key rotate ci --keys keys.yaml --expires 90d").token();
    assert_eq!(lifetime(&directory, "ci-4"), Some(90 * 86400));
    // A successor that is over stands in nobody's way.
    for id in ["ci-3", "ci-4"] {
        run(&directory, &format!("key revoke {id} --keys keys.yaml"));
    }
    run(&directory, "key rotate ci-2 --keys keys.yaml").token();
    // What does not end was not rotated, whatever other keys are called.
    for id in ["d", "d-2"] {
        run(&directory, &format!("key new --keys keys.yaml --id {id}")).token();
    }
    run(&directory, "key rotate d --keys keys.yaml").token();
    assert_eq!(lifetime(&directory, "d-3"), None);
}

#[test]
fn a_key_of_its_own_is_no_successor_whatever_it_is_called() {
    let directory = directory();
    // In one second, and in two.
    for (index, pause) in [false, true].into_iter().enumerate() {
        for (id, expires) in [("2", "90d"), ("3", "90d"), ("4", "30d")] {
            let new = format!("key new --keys keys.yaml --id web{index}-{id} --expires {expires}");
            run(&directory, &new).token();
            if pause {
                next_second();
            }
        }
        run(&directory, &format!("key rotate web{index}-2 --keys keys.yaml --overlap 24h")).token();
        assert_eq!(lifetime(&directory, &format!("web{index}-5")), Some(90 * 86400));
        if pause {
            let refused = format!("its successor is `web{index}-5`");
            let ran = run(&directory, &format!("key rotate web{index}-2 --keys keys.yaml"));
            assert!(ran.code == Some(1) && ran.error.contains(&refused), "{}", ran.error);
        }
    }
    // As people write times.
    let key = |id: &str, digit: &str, created: &str, end: &str| {
        let hash = digit.repeat(64);
        format!(
            "- {{id: {id}, hash: 'sha256:{hash}', created: {created}T00:00:00Z, expires_at: {end}T00:00:00Z}}\n"
        )
    };
    let (old, new) = ("2020-01-01", "2999-01-01");
    let keys = [key("a-2", "1", old, new), key("a-3", "2", "2020-02-01", "2999-07-01")];
    directory.write("hand.yaml", &format!("keys:\n{}", keys.concat()));
    run(&directory, "key rotate a-2 --keys hand.yaml --overlap 24h").token();
}

#[test]
fn what_is_over_has_no_successor() {
    let directory = directory();
    let hash = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
    directory.write(
        "keys.yaml",
        &format!(
            "keys:\n- {{id: past, hash: '{}', expires_at: 1000}}\n- {{id: off, hash: '{}', \
             disabled: true}}\n- {{id: forever, hash: '{}', expires_at: 4000000000}}\n",
            hash('1'),
            hash('2'),
            hash('3')
        ),
    );
    let before = read(&directory, "keys.yaml");
    let help = "it has no successor (mint a key with `latchkey key new`)\n";
    run(&directory, "key rotate past --keys keys.yaml")
        .fails(1, &format!("error: the key `past` expired: {help}"));
    run(&directory, "key rotate off --keys keys.yaml")
        .fails(1, &format!("error: the key `off` was revoked: {help}"));
    run(&directory, "key rotate forever --keys keys.yaml").fails(
        1,
        "error: the key `forever` expires, but not for how long it was to live (give \
         `--expires`)\n",
    );
    run(&directory, "key rotate forver --keys keys.yaml")
        .fails(1, "error: keys.yaml has no key `forver` (did you mean `forever`?)\n");
    run(&directory, "key revoke off --keys keys.yaml")
        .fails(0, &format!("key `off` was revoked before; keys.yaml is unchanged\n{UNTIL_PUSHED}"));
    assert_eq!(read(&directory, "keys.yaml"), before);
    run(&directory, "key revoke past --keys keys.yaml").fails(
        0,
        "warning: others than its owner and group may open keys.yaml (`chmod o= keys.yaml`)\n\
         key `past`, which expired at 1970-01-01T00:16:40Z, is revoked as well\n",
    );
}

#[test]
fn a_revoked_key_is_refused_for_good() {
    let directory = directory();
    let key = run(&directory, "key new --keys keys.yaml --id a --scope read --expires 90d");
    assert_eq!(decide(&directory, key.token(), 0), "allow key:a");
    run(&directory, "key revoke a --keys keys.yaml")
        .fails(0, &format!("key `a` is revoked\n{UNTIL_PUSHED}"));
    assert_eq!(decide(&directory, key.token(), 0), "deny revoked_key key:a");
    run(&directory, "key rotate a --keys keys.yaml").fails(
        1,
        "error: the key `a` was revoked: it has no successor (mint a key with `latchkey key \
         new`)\n",
    );
    run(&directory, "key new --keys keys.yaml --id a")
        .fails(1, "error: keys.yaml has a key `a` already (ids are unique)\n");
    assert_eq!(decide(&directory, key.token(), 0), "deny revoked_key key:a");
}

#[test]
fn a_key_that_is_not_valid_yet_can_be_revoked_and_rotated() {
    let directory = directory();
    let keys =
        format!("keys:\n- id: a\n  hash: 'sha256:{}'\n  not_before: 4000000000\n", "1".repeat(64));
    directory.write("keys.yaml", &keys);
    run(&directory, "key revoke a --keys keys.yaml --policy policy.yaml");
    assert!(read(&directory, "keys.yaml").ends_with(
        "not_before: 4000000000\n  expires_at: 2096-10-02T07:06:41Z\n  disabled: true\n"
    ));
    directory.write("keys.yaml", &keys);
    run(&directory, "key rotate a --keys keys.yaml --policy policy.yaml").token();
    assert!(read(&directory, "keys.yaml").ends_with("  not_before: 2096-10-02T07:06:40Z\n"));
}

#[test]
fn prune_removes_what_ended_long_ago() {
    let directory = directory();
    let mut keys = "# All of them\nkeys:\n".to_owned();
    for (digit, id, rest) in [
        ('1', "good", ""),
        ('2', "past", "expires_at: 2020-01-01T00:00:00Z"),
        ('3', "off", "disabled: true"),
        ('4', "later", "expires_at: 4000000000"),
        ('5', "off-and-later", "disabled: true, expires_at: 4000000000"),
        ('6', "off-and-past", "disabled: true, expires_at: 1000"),
    ] {
        let hash = digit.to_string().repeat(64);
        keys.push_str(&format!("# {id}\n- {{id: {id}, hash: 'sha256:{hash}', {rest}}}\n"));
    }
    directory.write("keys.yaml", &keys);
    run(&directory, "key new --keys keys.yaml --id new").token();
    run(&directory, "key revoke new --keys keys.yaml");
    let with_new = read(&directory, "keys.yaml");
    let ran = run(&directory, "key prune --keys keys.yaml --older-than 30d --policy policy.yaml");
    ran.fails(
        0,
        "warning: others than its owner and group may open keys.yaml (`chmod o= keys.yaml`)\n\
         removed `past`, which ended at 2020-01-01T00:00:00Z\n\
         removed `off-and-past`, which ended at 1970-01-01T00:16:40Z\n\
         kept `off`, which is revoked, but does not say since when\n\
         kept `off-and-later`, which is revoked, but does not say since when\n\
         2 keys removed from keys.yaml\n",
    );
    let expected: String = with_new
        .split_inclusive('\n')
        .filter(|line| !line.contains("id: past") && !line.contains("id: off-and-past"))
        .collect();
    assert_eq!(read(&directory, "keys.yaml"), expected);
    // What ended just now goes when it is asked for; then there is nothing left to do.
    run(&directory, "key prune --keys keys.yaml --older-than 0s");
    assert!(!read(&directory, "keys.yaml").contains("id: new"));
    let before = read(&directory, "keys.yaml");
    let ran = run(&directory, "key prune --keys keys.yaml --older-than 0s");
    assert!(ran.error.ends_with("0 keys removed from keys.yaml\n"));
    assert_eq!(read(&directory, "keys.yaml"), before);
}

#[test]
fn list_shows_every_key_and_nothing_secret() {
    let directory = directory();
    let hash = |digit: char| digit.to_string().repeat(64);
    directory.write(
        "keys.yaml",
        &format!(
            "keys:\n\
             - {{id: reporting, hash: 'sha256:{}', type: read-only, name: Łódź, account: ws_1, \
                hint: flk_...x7Qa, created: 1767225600, expires_at: 2999-01-01T00:00:00Z}}\n\
             - {{id: old, hash: 'sha256:{}', expires_at: 1000}}\n\
             - {{id: soon, hash: 'sha256:{}', not_before: 4000000000.0}}\n\
             - {{id: off, hash: 'sha256:{}', disabled: true, name: \"\\e[2J\"}}\n",
            hash('1'),
            hash('2'),
            hash('3'),
            hash('4')
        ),
    );
    TestCommand::new(&directory, "key list --keys keys.yaml").prints(
        0,
        "\
ID         NAME  TYPE       ACCOUNT  HINT         CREATED               EXPIRES               STATE
reporting  Łódź  read-only  ws_1     flk_...x7Qa  2026-01-01T00:00:00Z  2999-01-01T00:00:00Z  active
old        -     -          -        -            -                     1970-01-01T00:16:40Z  expired
soon       -     -          -        -            -                     -                     not yet valid
off        \u{fffd}[2J  -          -        -            -                     -                     revoked
",
        "",
    );
    let json = TestCommand::new(&directory, "key list --keys keys.yaml --format json").output();
    assert!(json.starts_with(
        r#"[
  {
    "id": "reporting",
    "name": "Łódź",
    "type": "read-only",
    "account": "ws_1",
    "hint": "flk_...x7Qa",
    "created": "2026-01-01T00:00:00Z",
    "expires": "2999-01-01T00:00:00Z",
    "state": "active"
  },
  {
    "id": "old",
    "name": null,
"#
    ));
    assert!(!json.contains(&hash('1')));
    directory.write("none.yaml", "keys: []\n");
    TestCommand::new(&directory, "key list --keys none.yaml").prints(
        0,
        "",
        "none.yaml has no keys\n",
    );
    TestCommand::new(&directory, "key list --keys none.yaml --format json").prints(0, "[]\n", "");
}

#[test]
fn what_would_not_be_valid_is_not_written() {
    let directory = directory();
    let new = "key new --keys keys.yaml --policy policy.yaml --id a";
    let finding =
        |text: &str| format!("keys.yaml: error[{text}\n1 error, 0 warnings\nnothing was written\n");
    run(&directory, &format!("{new} --type read-onyl")).fails(
        3,
        &finding(
            "unknown_key_type]: key type `read-onyl` is not defined in `key_types` (at \
             /keys/0/type)\n  help: did you mean `read-only`?",
        ),
    );
    run(&directory, &format!("{new} --scope reports:read:all"))
        .fails(3, &finding("invalid_scope]: a scope has at most one colon (at /keys/0/scopes/0)"));
    let ran = run(&directory, &format!("{new} --origin app.example.com"));
    assert_eq!((ran.code, ran.output.as_str()), (Some(3), ""));
    let ran = run(&directory, &format!("{new} --type page"));
    assert!(ran.error.starts_with("keys.yaml: error[missing_origins]: "), "{}", ran.error);
    run(&directory, &format!("{new} --expires 2020-01-01T00:00:00Z"));
    run(&directory, &format!("{new} --attribute plan=pro --attribute plan=free"))
        .fails(2, "error: the attribute `plan` is given twice\n");
    for wrong in [
        "--expires soon",
        "--expires 90",
        "--prefix a,b",
        "--prefix a234567890123456789012345x",
        "--attribute plan",
        "--type a/b",
    ] {
        let ran = run(&directory, &format!("{new} {wrong}"));
        assert_eq!((ran.code, ran.output.as_str()), (Some(2), ""), "{wrong}: {}", ran.error);
    }
    run(&directory, &format!("{new} --expires 9000y"))
        .fails(2, "error: that is after the year 9999\n");
    let ran = run(&directory, &format!("{new} --expires 2020-01-01T00:00:00Z"));
    assert!(ran.error.starts_with("error: `--expires` is not in the future: it is "));
    assert_eq!(names(&directory), ["policy.yaml"]);

    // An id that the policy's own keys have is taken as well.
    directory.write(
        "policy.yaml",
        &POLICY.replace("[]", &format!("[{{id: a, hash: 'sha256:{}'}}]", "1".repeat(64))),
    );
    let ran = run(&directory, new);
    assert!(ran.error.starts_with("keys.yaml: error[duplicate_id]: another key has the same id"));
    assert_eq!(names(&directory), ["policy.yaml"]);
}

#[test]
fn a_file_that_cannot_be_read_or_changed_is_named() {
    let directory = directory();
    for verb in ["list", "revoke a", "rotate a", "prune --older-than 1d"] {
        run(&directory, &format!("key {verb} --keys none.yaml"))
            .fails(1, "error: cannot read `none.yaml`: No such file or directory (os error 2)\n");
    }
    run(&directory, "key new --id a --keys none/keys.yaml").fails(
        1,
        "error: cannot change `none/keys.yaml`: cannot find the folder of `none/keys.yaml`: \
         No such file or directory (os error 2)\n",
    );
    for (text, error) in [
        ("keys: {}\n", "keys.yaml: `keys` must be a list"),
        ("- a\n", "keys.yaml: not an object with a list `keys`"),
        ("keys: [{hash: x}]\n", "keys.yaml: /keys/0: a key is an object with an `id`"),
        ("keys: [\n", "keys.yaml:2:1: while parsing a node, did not find expected node content"),
    ] {
        directory.write("keys.yaml", text);
        for verb in ["list", "new --id a"] {
            run(&directory, &format!("key {verb} --keys keys.yaml"))
                .fails(1, &format!("error: {error}\n"));
        }
        assert_eq!(read(&directory, "keys.yaml"), text);
    }
}

/// Anchors and aliases are no hindrance, where a change does not carry through them.
#[test]
fn a_key_is_revoked_whatever_stands_for_it() {
    let directory = directory();
    let hash = |digit: char| format!("'sha256:{}'", digit.to_string().repeat(64));
    let (one, other) = (hash('1'), hash('2'));
    let revoked = |text: &str, id: &str| {
        directory.write("keys.yaml", text);
        let ran = run(&directory, &format!("key revoke {id} --keys keys.yaml"));
        let list = run(&directory, "key list --keys keys.yaml --format json").output;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let revoked = list.as_array().unwrap().iter().filter(|key| key["state"] == "revoked");
        let revoked: Vec<String> =
            revoked.map(|key| key["id"].as_str().unwrap().to_owned()).collect();
        (ran, revoked)
    };
    for text in [
        format!(
            "keys:\n- id: a\n  hash: {one}\n  scopes: &s [read]\n- id: b\n  hash: {other}\n  scopes: *s\n"
        ),
        format!("keys:\n- &a\n  id: a\n  hash: {one}\n- id: b\n  hash: {other}\n"),
        format!(
            "keys: &k\n- &a {{id: a, hash: {one}, account: &x y}}\n- {{id: b, hash: {other}, account: *x}}\n"
        ),
        format!("\u{feff}keys:\r\n- id: a\r\n  hash: {one}\r\n- id: b\r\n  hash: {other}\r\n"),
    ] {
        for id in ["a", "b"] {
            let (ran, revoked) = revoked(&text, id);
            assert_eq!((ran.code, revoked), (Some(0), vec![id.to_owned()]), "{text}{}", ran.error);
            assert_eq!(
                read(&directory, "keys.yaml").starts_with('\u{feff}'),
                text.starts_with('\u{feff}')
            );
        }
    }
    // What it would carry further is left alone, so long as that ends the key.
    let shared = format!(
        "keys:\n- id: a\n  hash: {one}\n  expires_at: &end 4000000000\n- id: b\n  hash: {other}\n  expires_at: *end\n"
    );
    let (ran, over) = revoked(&shared, "a");
    assert_eq!(over, ["a"]);
    let told = "warning: the file does not say since when `a` is revoked, so `prune` keeps it\n";
    assert!(ran.error.starts_with(told), "{}", ran.error);
    assert_eq!(revoked(&shared, "b").1, ["b"]);
    let shared = shared
        .replace("expires_at: &end 4000000000", "disabled: &off false")
        .replace("expires_at: *end", "disabled: *off");
    let (ran, over) = revoked(&shared, "a");
    assert_eq!(over, [""; 0]);
    ran.fails(
        1,
        "error: cannot change `keys.yaml` without touching the rest of it, so it is unchanged: an alias, \
         such as `*name`, carries it further: write out what it stands for\n",
    );
    assert_eq!(read(&directory, "keys.yaml"), shared);
    // YAML 1.2 has no merge keys.
    directory
        .write("keys.yaml", &format!("keys:\n- &a {{id: a, hash: {one}}}\n- {{<<: *a, id: b}}\n"));
    run(&directory, "key revoke b --keys keys.yaml").fails(
        1,
        "error: keys.yaml:3:4: unknown field `<<`: YAML 1.2 has no merge keys; write the fields out, or \
         let an alias stand for a whole value\n",
    );
    assert_eq!(names(&directory), ["keys.yaml", "policy.yaml"]);
}

#[test]
fn a_token_that_cannot_be_printed_is_told_of() {
    let directory = Directory::new();
    let mut new = command(&directory, &["key", "new", "--keys", "keys.yaml", "--id", "a"]);
    new.stdout(File::options().write(true).open("/dev/full").unwrap());
    let ran = finish(new);
    assert_eq!(ran.code, Some(1));
    assert!(ran.error.ends_with(
        "error: the token of `a`, which is in the file, cannot be printed: No space left on \
         device (os error 28); revoke it\n"
    ));
}

#[test]
fn no_token_is_in_any_file_or_message() {
    let directory = directory();
    let mut tokens = Vec::new();
    let mut told = String::new();
    for arguments in [
        "key new --keys keys.yaml --policy policy.yaml --id a --type read-only",
        "key new --keys keys.yaml --policy policy.yaml --id b --type formatted",
        "key new --keys keys.json --id a --prefix flk_live_ --expires 90d",
        "key rotate a --keys keys.yaml --policy policy.yaml --overlap 24h",
        "key rotate a --keys keys.json",
    ] {
        let ran = run(&directory, arguments);
        tokens.push(ran.token().to_owned());
        told.push_str(&ran.error);
    }
    for arguments in [
        "key revoke a-2 --keys keys.yaml",
        "key list --keys keys.yaml",
        "key list --keys keys.json --format json",
        "key new --keys keys.yaml --policy policy.yaml --id c --type nothing",
        "key prune --keys keys.json --older-than 0s",
    ] {
        let ran = run(&directory, arguments);
        told.push_str(&ran.output);
        told.push_str(&ran.error);
    }
    for name in names(&directory) {
        told.push_str(&read(&directory, &name));
    }
    for token in &tokens {
        // Not whole, nor without its prefix, nor more of its end than a hint tells.
        let tail = &token[token.len() - 5..];
        assert!(!told.contains(token) && !told.contains(tail), "{tail}");
    }
    assert_eq!(tokens.len(), 5);
}

#[test]
fn a_mode_and_a_link_stay_as_they_are() {
    let directory = Directory::new();
    directory.write("secret/keys.yaml", "keys: []\n");
    let (file, link) =
        (directory.path().join("secret/keys.yaml"), directory.path().join("link.yaml"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("secret/keys.yaml", &link).unwrap();
    let ran = run(&directory, "key new --keys link.yaml --id a");
    ran.token();
    assert!(!ran.error.contains("warning"), "{}", ran.error);
    assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o640);
    assert!(read(&directory, "secret/keys.yaml").contains("id: a"));
}

#[test]
fn the_token_goes_where_a_shell_wants_it() {
    let directory = Directory::new();
    let script =
        r#"TOKEN=$("$LATCHKEY" key new --keys keys.yaml --id a --prefix t_) && echo "[$TOKEN]""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(directory.path()).stderr(Stdio::null());
    shell.env("LATCHKEY", env!("CARGO_BIN_EXE_latchkey"));
    let ran = finish(shell);
    let token = ran.output.strip_prefix("[t_").unwrap().strip_suffix("]\n").unwrap();
    assert_eq!(token.len(), 36);
}
