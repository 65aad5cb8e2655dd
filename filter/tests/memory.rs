//! What pushes take of a VM's memory, and what becomes of the policies that they replace.

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use latchkey::{Engine, Environment, limits};
use latchkey_testing::host::{Headers, Host, Outcome, Stream};
use latchkey_testing::policies;
use serde_json::{Value, json};

const KEYS: usize = 3_000;

/// A stream that has been decided keeps nothing of its policy, however long it stays open.
#[test]
fn ten_pushes_with_a_stream_left_open_from_each_take_no_more_than_twice_what_ten_without_take() {
    let grown = |leaves_open: bool| {
        let mut host = Host::load();
        configure(&mut host, 0);
        let before = host.memory_bytes();
        let mut open = Vec::new();
        for generation in 1..=10 {
            if leaves_open {
                open.push(decided(&mut host));
            } else {
                let stream = decided(&mut host);
                host.close(stream);
            }
            configure(&mut host, generation);
            if !leaves_open {
                host.retire_old_configurations();
            }
        }
        for stream in &mut open {
            let response = [(":status".to_owned(), b"200".to_vec())];
            host.respond(stream, &response);
        }
        for stream in open {
            assert_eq!(host.close(stream).decision(), "allow key:key_0000000");
        }
        host.memory_bytes() - before
    };
    let (without, with) = (grown(false), grown(true));
    assert!(with <= 2 * without, "{without} bytes without open streams, {with} with");
}

/// The proxy has no call for it: it uses the root context that is still there.
#[test]
fn a_policy_that_is_pushed_again_while_it_is_there_serves_again() {
    let mut host = Host::load();
    configure(&mut host, 0);
    let mut open = vec![decided(&mut host)];
    let old = host.newest_configuration();
    configure(&mut host, 1);
    open.push(decided(&mut host));
    host.serve_again(old);
    open.push(decided(&mut host));
    configure(&mut host, 2);
    open.push(decided(&mut host));
    assert_eq!(host.trap(), None);
}

/// `latchkey check` counts on any machine what a VM takes: the canary refuses by the same count.
#[test]
fn what_two_generations_take_is_no_more_than_what_is_counted() {
    let text = |index: usize, length: usize| format!("{index:x}").repeat(length / 4 + 1);
    let attributes = |index: usize, count: usize, length: usize| -> Value {
        (0..count).map(|at| (format!("a{at}"), json!(text(index * count + at, length)))).collect()
    };
    type Fields<'a> = &'a dyn Fn(usize) -> Value;
    let kinds: [(&str, usize, Fields<'_>); 7] = [
        ("plain", 8_000, &|_| json!({})),
        ("long attributes", 3_000, &|index| json!({"attributes": attributes(index, 10, 150)})),
        ("many attributes", 2_000, &|index| json!({"attributes": attributes(index, 32, 1)})),
        (
            "scopes",
            1_500,
            &|index| json!({"scopes": (0..12).map(|at| format!("s{}:read", index * 7 + at)).collect::<Vec<_>>()}),
        ),
        (
            "origins",
            1_500,
            &|index| json!({"origins": (0..12).map(|at| format!("https://h{index}-{at}.example.com")).collect::<Vec<_>>()}),
        ),
        (
            "addresses",
            1_500,
            &|index| json!({"addresses": (0..12).map(|at| format!("2001:db8::{index:x}:{at:x}")).collect::<Vec<_>>()}),
        ),
        ("metrics", 3_000, &|_| json!({})),
    ];
    for (kind, count, fields) in kinds {
        let of_size = |count: usize| {
            let key = |index: usize| {
                let mut key = json!({"id": format!("key_{index:07}"), "hash": format!("sha256:{index:064x}")});
                key.as_object_mut().unwrap().extend(fields(index).as_object().unwrap().clone());
                key
            };
            let keys: Vec<Value> = (0..count).map(key).collect();
            let policy = json!({
                "credentials": [{"header": "x-key"}],
                "keys": keys,
                "metrics": {"per_key": kind == "metrics"},
            });
            policy.to_string()
        };
        let (first, second) = (of_size(count - 1), of_size(count));
        let engine = Engine::compile(second.as_bytes(), &Environment::default()).unwrap();
        let counted = engine.memory().to_replace() - limits::HELD_BYTES - limits::REQUEST_BYTES;
        let mut host = Host::load();
        let empty = host.memory_bytes();
        assert!(host.configure(first.as_bytes()), "{:#?}", host.logs());
        let one = host.memory_bytes() - empty;
        let stream = host.open();
        assert!(host.configure(second.as_bytes()), "{:#?}", host.logs());
        let two = host.memory_bytes() - empty;
        host.close(stream);
        println!("{kind}: {} of JSON, {one} and {two} taken, {counted} counted", second.len());
        assert!(two <= counted, "{kind}: {two} bytes taken, {counted} counted");
    }
}

/// What a canary has accepted may find no room in a worker, whose memory is in pieces. Were it refused
/// there, Envoy would serve without the filter.
#[test]
fn a_worker_without_room_lets_nobody_in_and_is_healed_by_the_next_push() {
    for bytes_left in [0, 400_000, 800_000, 1_200_000] {
        let mut host = Host::load();
        configure(&mut host, 0);
        let open = decided(&mut host);
        host.limit_memory(host.memory_bytes() + bytes_left);
        let large = policies::with_keys(6 * KEYS);
        assert!(host.configure(large.as_bytes()), "{:#?}", host.logs());
        assert_eq!(host.trap(), None);
        let refused = host.exchange(&request());
        assert!(
            matches!(refused.outcome, Outcome::Reply { status: 503, .. }),
            "{}",
            refused.outcome
        );
        assert_eq!(refused.decision(), "");
        let lines: Vec<_> = host.logs().iter().filter(|line| line.level == "error").collect();
        let last = "every request is answered with 503 until the next push";
        assert_eq!(lines.last().unwrap().text, last, "{lines:#?}");
        host.close(open);

        let small = policies::with_keys(KEYS / 3);
        assert!(host.configure(small.as_bytes()), "{:#?}", host.logs());
        assert_eq!(host.exchange(&request()).decision(), "allow key:key_0000000");
        assert_eq!(host.trap(), None);
    }
}

/// There the memory is new, so what finds no room in it finds none anywhere.
#[test]
fn a_canary_without_room_refuses() {
    let mut host = Host::load();
    host.limit_memory(host.memory_bytes() + 400_000);
    assert!(!host.configure(policies::with_keys(6 * KEYS).as_bytes()), "{:#?}", host.logs());
    assert_eq!(host.trap(), None);
    let line = "/: there is no memory left for the configuration [out_of_memory]";
    assert_eq!(host.logs()[0].text, line);
}

fn configure(host: &mut Host, generation: usize) {
    let policy = policies::with_keys(KEYS + generation);
    assert!(host.configure(policy.as_bytes()), "{:#?}", host.logs());
}

/// A stream whose headers were let through, and which goes on.
fn decided(host: &mut Host) -> Stream {
    let mut stream = host.open();
    let outcome = host.request_headers(&mut stream, &request(), false);
    assert!(matches!(outcome, Outcome::Continue(_)), "{outcome}");
    stream
}

fn request() -> Headers {
    let authorization = format!("Bearer {}", policies::token(0));
    let pairs = [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "api.example.com"),
        ("authorization", &authorization),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec()
}
