//! The command line beside a real Envoy: what is pushed takes effect, and what was done is counted.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use latchkey_testing::{Client, Gateway, Key, Load, Scratch, Setup, until};

/// So many keys are revoked one after the other.
const ROUNDS: usize = 20;

#[test]
fn a_revoked_key_is_refused_once_it_is_pushed_and_no_answer_is_wrong() {
    let (steady, unknown, spare) = (Key::new("steady"), Key::new("unknown"), Key::new("spare"));
    let keys: Vec<Key> = (0..ROUNDS).map(|index| Key::new(&format!("k{index}"))).collect();
    let scratch = Scratch::new();
    let credentials = json!([{"header": "authorization", "scheme": "Bearer"}]);
    let policy = scratch
        .replace("policy.json", &json!({"credentials": credentials, "keys": []}).to_string());
    let mut file = "keys:\n".to_owned();
    for key in keys.iter().chain([&steady, &spare]) {
        let (id, hash) = (&key.id, key.hash());
        writeln!(file, "  - {{id: {id}, hash: \"{hash}\", scopes: [read]}}").unwrap();
    }
    let keys_file = scratch.replace("keys.yaml", &file);
    let gateway = Gateway::start(json!({"credentials": credentials, "keys": []}));
    // The gateway itself stays on this thread.
    let (wasm, ecds) = (gateway.wasm().to_owned(), gateway.ecds_file());
    let push = || {
        let files = [path(&policy), "--keys", path(&keys_file), "--ecds", path(&ecds)];
        latchkey(&[&["push"], &files[..], &["--wasm", path(&wasm)]].concat());
    };
    gateway.pushed_by(push).unwrap();

    let mut waits: Vec<Duration> = Vec::new();
    let address = gateway.address;
    let bearers = [&steady, &steady, &unknown].map(Key::bearer);
    let load = Load::start(address, &bearers.each_ref().map(String::as_str));
    for key in &keys {
        let mut client = Client::new(address, &key.bearer());
        assert_eq!(client.status(), 200, "{} before it is revoked", key.id);
        latchkey(&["key", "revoke", &key.id, "--keys", path(&keys_file)]);
        assert_eq!(client.status(), 200, "{} before the push", key.id);
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(push);
            until("a refusal", || match client.status() {
                200 => None,
                401 => Some(()),
                status => panic!("{status} while {} is revoked", key.id),
            });
            waits.push(start.elapsed());
        });
        for _ in 0..50 {
            assert_eq!(client.status(), 401, "{} after it was refused", key.id);
        }
    }
    let mut statuses = load.stop();
    let answers: Vec<usize> = statuses.iter().map(Vec::len).collect();
    statuses.iter_mut().for_each(Vec::dedup);
    assert_eq!(statuses, [[200], [200], [401]]);
    waits.sort_unstable();
    println!(
        "push to refusal under load, {ROUNDS} rounds: median {:?}, worst {:?}; {} answers to \
         others, none wrong",
        waits[ROUNDS / 2],
        waits[ROUNDS - 1],
        answers.iter().sum::<usize>()
    );

    let admin = format!("http://{}", gateway.admin_address());
    let usage = ["usage", "--admin", &admin, "--keys", path(&keys_file), "--format", "json"];
    let counted = until("the counts of every request", || {
        let usage: Value = serde_json::from_slice(&latchkey(&usage).stdout).unwrap();
        // The filter hands its counts over about once a second.
        let requests = key_usage(&usage, "steady")["requests"].as_u64();
        (requests == Some((answers[0] + answers[1]) as u64)).then_some(usage)
    });
    assert_eq!(key_usage(&counted, "steady")["state"], "used");
    assert_eq!(key_usage(&counted, "steady")["denied"], 0);
    assert_eq!(key_usage(&counted, "spare")["state"], "never_used");
    assert_eq!(key_usage(&counted, "k0")["denied"], 51);
    assert_eq!(counted["denied"]["unknown_key"], answers[2]);
    assert_eq!(counted["denied"]["revoked_key"], 51 * ROUNDS);
    assert_eq!(counted["served_keys"], ROUNDS + 2);
}

/// FloKit's policy: a rotation ends the old key with the push, and disturbs nobody.
#[test]
fn a_rotated_key_and_its_successor_change_places_under_load() {
    let mut policy = system("flokit");
    let keys = policy["keys"].take();
    policy["keys"] = json!([]);
    let scratch = Scratch::new();
    let keys_file = scratch.replace("keys.json", &json!({"keys": keys}).to_string());
    let policy_file = scratch.replace("policy.json", &policy.to_string());
    policy["keys"] = keys;
    let gateway = Setup::new(&policy).system("flokit").start();

    let (files, ecds) = ([path(&policy_file), "--keys", path(&keys_file)], gateway.ecds_file());
    let rotate = ["key", "rotate", "demo-read-write", "--keys", files[2], "--policy", files[0]];
    let output = latchkey(&rotate).stdout;
    let successor = format!("Bearer {}", str::from_utf8(&output).unwrap().trim());
    let predecessor = "Bearer flk_rw_demo0000000000000000000000000000";
    let unknown = "Bearer flk_rw_demo0000000000000000000000000001";
    let reader = "Bearer flk_ro_demo0000000000000000000000000000";
    assert!(successor.starts_with("Bearer flk_rw_"));

    let load = Load::start(gateway.address, &[predecessor, &successor, reader, unknown]);
    let both = |expected: [u16; 2]| {
        let mut clients =
            [predecessor, &successor].map(|bearer| Client::new(gateway.address, bearer));
        (0..50).all(|_| clients.each_mut().map(Client::status) == expected)
    };
    load.goes_on();
    assert!(both([200, 401]), "nothing changes before the push");
    let push = || {
        let ecds = ["--ecds", path(&ecds), "--wasm", path(gateway.wasm())];
        latchkey(&[&["push"], &files[..], &ecds].concat());
    };
    gateway.pushed_by(push).unwrap();
    assert!(both([401, 200]), "the push has taken effect");
    load.goes_on();
    let mut statuses = load.stop();
    statuses.iter_mut().for_each(Vec::dedup);
    assert_eq!(statuses, [vec![200, 401], vec![401, 200], vec![200], vec![401]]);
    let exchange = gateway.get("/v1/events", &[("authorization", &successor)]);
    assert_eq!(exchange.decision(), "allow key:demo-read-write-2");
    assert_eq!(exchange.log.account.as_deref(), Some("ws_demo"));
}

/// FluenzR's policy: who asks for what can be seen, and which keys nobody needs.
#[test]
fn the_use_of_every_key_is_visible() {
    let setup = Setup::of_system("fluenzr").wasm(&latchkey_testing::wasm());
    let prometheus = the_use_is_visible(setup).admin("/stats/prometheus");
    for line in [
        "latchkey_key_allowed{latchkey_key=\"production\"} 2",
        "latchkey_key_denied{latchkey_key=\"development\"} 1",
        "latchkey_key_last_used{latchkey_key=\"starter-plan\"} 0",
        "latchkey_denied{latchkey_reason=\"condition_failed\"} 1",
    ] {
        assert!(prometheus.lines().any(|own| own.ends_with(line)), "{line} in\n{prometheus}");
    }
}

/// The native module counts under names of its own.
#[test]
fn the_use_of_every_key_is_visible_where_a_module_counts() {
    the_use_is_visible(Setup::of_system("fluenzr").module());
}

fn the_use_is_visible(setup: Setup) -> Gateway {
    let policy = system("fluenzr");
    let scratch = Scratch::new();
    let keys_file = scratch.replace("keys.json", &json!({"keys": policy["keys"]}).to_string());
    let gateway = setup.start();
    let (all, reader, free, retired) = (
        "Bearer flz_sk_demoAll0000000000000000000000000",
        "Bearer flz_sk_demoReadOnly00000000000000000000",
        "Bearer flz_sk_demoFree000000000000000000000000",
        "Bearer flz_sk_short",
    );
    for (method, bearer, decision) in [
        ("GET", all, "allow key:production"),
        ("DELETE", all, "allow key:production"),
        ("GET", reader, "allow key:development"),
        ("DELETE", reader, "deny insufficient_scope key:development"),
        ("GET", free, "deny condition_failed key:free-plan"),
        ("GET", retired, "deny malformed_credential"),
    ] {
        let head = format!("{method} /v1/contacts/42 HTTP/1.1\r\nhost: a\r\n");
        let exchange = gateway.raw(format!("{head}authorization: {bearer}\r\n\r\n").as_bytes());
        assert_eq!(exchange.decision(), decision);
        assert_eq!(exchange.log.path.as_deref(), Some("/v1/contacts/42"));
    }

    let admin = format!("http://{}", gateway.admin_address());
    let usage = ["usage", "--admin", &admin, "--keys", path(&keys_file)];
    let counted = until("the counts of every request", || {
        let json = latchkey(&[&usage[..], &["--format", "json"]].concat()).stdout;
        let usage: Value = serde_json::from_slice(&json).unwrap();
        (usage["denied"]["malformed_credential"] == 1).then_some(usage)
    });
    for (id, name, state, requests, denied) in [
        ("production", "Production", "used", 2, 0),
        ("development", "Dev/Test", "used", 2, 1),
        ("free-plan", "", "used", 1, 1),
        ("starter-plan", "", "never_used", 0, 0),
    ] {
        let key = key_usage(&counted, id);
        assert_eq!(key["name"].as_str().unwrap_or_default(), name, "{key}");
        assert_eq!((&key["state"], &key["requests"]), (&json!(state), &json!(requests)), "{key}");
        assert_eq!(key["denied"], denied, "{key}");
        assert_eq!(key["last_used"].is_null(), state == "never_used", "{key}");
    }
    let table = latchkey(&usage).stdout;
    let table = str::from_utf8(&table).unwrap();
    assert!(
        table.lines().any(|line| line.contains("starter-plan") && line.contains("never")),
        "{table}"
    );
    let admin = ["--admin", &admin, "--unused-since", "90d"];
    let unused = latchkey(&[&["key", "list", "--keys", path(&keys_file)], &admin[..]].concat());
    let unused = str::from_utf8(&unused.stdout).unwrap();
    assert!(unused.contains("starter-plan") && !unused.contains("development"), "{unused}");
    gateway
}

/// A push with `--admin` ends well only once Envoy serves that very policy.
#[test]
fn a_push_says_whether_envoy_serves_it() {
    let key = Key::new("a");
    let scratch = Scratch::new();
    let policy = json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": "a", "hash": key.hash(), "scopes": ["read"]}],
    });
    let policy_file = scratch.replace("policy.json", &policy.to_string());
    let filter = scratch.file("filter.wasm");
    let gateway = Setup::new(&policy).wasm(&filter_at(&filter)).start();
    let status = || Client::new(gateway.address, &key.bearer()).status();
    let ecds = gateway.ecds_file();
    let envoy = gateway.admin_address();
    let push = |more: &[&str]| {
        let files = ["push", path(&policy_file), "--ecds", path(&ecds)];
        run(&[&files[..], more].concat())
    };
    let admin = format!("http://{envoy}");
    let old = || fs::read_to_string(&ecds).unwrap();
    let version = |text: &str| text.rsplit('"').nth(1).unwrap().to_owned();
    let served = || {
        let stats = gateway.admin("/stats?filter=latchkey.version_text");
        stats.split('"').nth(1).unwrap().to_owned()
    };
    let loaded = || gateway.stats()["wasm.envoy.wasm.runtime.v8.created"];
    assert_eq!(status(), 200);

    // What Envoy serves already is not news to it; nor to us.
    let before = (old(), loaded());
    let told = good(push(&["--admin", &admin]));
    let expected = format!("replaced {}: 1 key, {} bytes, version ", path(&ecds), before.0.len());
    assert!(told.starts_with(&expected), "{told}");
    assert_eq!((old(), loaded()), before);
    assert_eq!(served(), version(&old()));

    // Another build at the same path is loaded.
    let mut build = fs::read(&filter).unwrap();
    build.extend(b"\x00\x03\x01x-");
    fs::write(scratch.file("new.wasm"), build).unwrap();
    fs::rename(scratch.file("new.wasm"), &filter).unwrap();
    let told = good(push(&["--admin", &format!("{admin}/")]));
    assert!(told.contains("\nEnvoy serves it, "), "{told}");
    assert!(loaded() > before.1);
    assert_eq!(served(), version(&old()));
    assert_ne!(old(), before.0);

    // What Envoy refuses: a filter that is elsewhere only, as if it were in a container.
    good(run(&["key", "revoke", "a", "--keys", path(&policy_file)]));
    let before = old();
    let told = failed(push(&["--admin", &admin, "--wasm", "/etc/none/latchkey.wasm"]));
    let (name, now) = (path(&ecds), version(&before));
    let start = format!("error: Envoy at `{admin}` refuses version ");
    let end = format!(
        " and goes on serving version {now}; {name} is put back as it was. Envoy's log says why, behind \
         `update rejected`: `/etc/none/latchkey.wasm` may be missing there, or another build of the filter\n"
    );
    assert!(told.starts_with(&start) && told.ends_with(&end), "{told}");
    assert_eq!(old(), before);
    assert_eq!(status(), 200, "the key that is revoked in the file only");

    // Nothing is replaced where Envoy cannot be asked, or takes its filter from somewhere else.
    for (admin, message) in [
        ("http://127.0.0.1:1".to_owned(), "cannot read the statistics of Envoy at `{}`: "),
        (
            format!("http://{}", gateway.upstream_admin_address()),
            "Envoy at `{}` watches no file for the filter `latchkey`\n",
        ),
        (format!("http://{}", gateway.address), "cannot read the statistics of Envoy at `{}`: "),
    ] {
        let told = failed(push(&["--admin", &admin]));
        let message = message.replace("{}", &admin);
        assert!(told.starts_with(&format!("error: `{name}` is unchanged: {message}")), "{told}");
        assert_eq!(old(), before);
    }

    // A file that this Envoy does not watch.
    let other = scratch.file("other.yaml");
    let files = ["push", path(&policy_file), "--ecds", path(&other), "--wasm", path(&filter)];
    let told = failed(run(&[&files[..], &["--admin", &admin, "--timeout", "300ms"]].concat()));
    assert_eq!(
        told,
        format!(
            "error: Envoy at `{admin}` has not looked at {}, which is replaced, within 300ms, and serves \
             version {now}: does it watch that file?\n",
            path(&other)
        )
    );

    assert_eq!(status(), 200);
    good(push(&["--admin", &admin]));
    assert_eq!(status(), 401);
}

/// A copy of the filter at `file`.
fn filter_at(file: &Path) -> PathBuf {
    fs::copy(latchkey_testing::wasm(), file).unwrap();
    file.to_owned()
}

/// The policy of a system.
fn system(name: &str) -> Value {
    serde_json::from_str(&latchkey_testing::system(name)).unwrap()
}

fn key_usage<'u>(usage: &'u Value, id: &str) -> &'u Value {
    usage["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `latchkey`, which must go well.
fn latchkey(arguments: &[&str]) -> Output {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env_remove("LATCHKEY_PEPPER").output().unwrap()
}

/// What a command printed that must have gone well.
#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complained of that must have failed, and printed nothing else.
#[track_caller]
fn failed(output: Output) -> String {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    String::from_utf8(output.stderr).unwrap()
}
