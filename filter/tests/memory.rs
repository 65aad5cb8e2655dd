//! What pushes take of a VM's memory, and what becomes of the policies that they replace.

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use latchkey_testing::host::{Headers, Host, Outcome, Stream};
use latchkey_testing::policies;

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
