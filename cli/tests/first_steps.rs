//! docs/first-steps.md, walked as a reader would: its files written, its commands typed, its answers compared.
#![allow(
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::net::TcpListener;

#[path = "support/page.rs"]
mod page;
mod support;

use page::{Shell, blocks, shows, steps};
use support::{Directory, repository, wasm};

const PAGE: &str = include_str!("../../docs/first-steps.md");

#[test]
fn the_first_steps_lead_where_they_say() {
    let directory = Directory::new();
    let mut shell = Shell::new(&repository(""));
    // Nothing waits for ever, and folders are not those that somebody else uses.
    shell.run(&format!(
        "TMPDIR='{}'; sleep() {{ command sleep 0.2; tries=$((tries + 1)); [ $tries -lt 150 ] || exit 9; }}",
        directory.path().display()
    ));
    let here = Here::new();
    let mut walked = 0;
    for (language, block) in blocks(PAGE) {
        if let Some((_, file)) = language.split_once(' ') {
            shell.run(&format!("cat > {file} <<'END'\n{block}\nEND"));
        } else if language == "console" {
            for (command, answer) in steps(block) {
                shell.step(&here.replaced(command), answer, str::to_owned);
                walked += 1;
            }
        }
    }
    assert!(walked > 15, "{walked}");
}

/// What a reader has of this machine: the tools that were built, and free ports.
struct Here(Vec<(&'static str, String)>);

impl Here {
    fn new() -> Here {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [api, ingress, admin] =
            listeners.map(|own| own.local_addr().unwrap().port().to_string());
        let ports = format!(
            "| sed 's/port_value: 10000/port_value: {ingress}/; s/port_value: 9901/port_value: {admin}/' > envoy.yaml"
        );
        let all = [
            ("PATH=$LATCHKEY/dist:$LATCHKEY/.tools:$PATH", "true".to_owned()),
            ("$LATCHKEY/dist/latchkey.wasm", wasm().display().to_string()),
            ("> envoy.yaml", ports),
            ("8080", api),
            ("127.0.0.1:10000", format!("127.0.0.1:{ingress}")),
            ("127.0.0.1:9901", format!("127.0.0.1:{admin}")),
            ("envoy -c", "envoy --disable-hot-restart --concurrency 1 -c".to_owned()),
        ];
        for (of_page, _) in &all {
            assert!(PAGE.contains(of_page), "`{of_page}` is not in the page");
        }
        Here(all.to_vec())
    }

    fn replaced(&self, command: &str) -> String {
        let all = self.0.iter();
        all.fold(command.to_owned(), |command, (of_page, here)| command.replace(of_page, here))
    }
}

#[test]
fn an_answer_that_is_another_is_seen() {
    assert!(shows("a … c", "a b c") && shows("a…", "abc") && shows("a\n\n b", "a\n\n b"));
    assert!(shows("…\nc", "a\nb\nc") && shows("a\n…\nc…", "a\nb\nc\ncd") && shows("a…b", "a b b"));
    for other in ["a b d", "b c", "a c d", "a b c\nd", ""] {
        assert!(!shows("a … c", other), "{other}");
    }
    for other in ["a\nb", "b\nc", "a\nc\nb", ""] {
        assert!(!shows("a\n…\nc", other), "{other}");
    }
}

#[test]
fn a_command_may_have_several_lines() {
    let found: Vec<_> = steps("$ a \\\n  b\nanswer\n\n$ c\n$ d\nlines\nof it").collect();
    assert_eq!(found, [("a \\\n  b", "answer\n"), ("c", ""), ("d", "lines\nof it")]);
}
