//! What README.md and docs/systems.md show of the demos is what the demos show, README's figures are
//! those of the benchmark, and docs/configuration.md has every reason.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails by panicking")]

use std::fs;
use std::process::Command;

use latchkey::{Class, Reason};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_documents_show_what_the_demos_answer() {
    let readme = document("README.md");
    let shown = readme.split("\n## ").find(|section| section.starts_with("An example"));
    let systems = document("docs/systems.md");
    for system in ["FloKit", "FLORA", "Flowyte", "FluenzR", "Flotiq"] {
        let answers = demo(&system.to_lowercase());
        let mut sections: Vec<_> =
            systems.split("\n## ").filter(|section| section.starts_with(system)).collect();
        assert_eq!(sections.len(), 1, "{system}");
        if system == "FloKit" {
            sections.extend(shown);
            assert_eq!(sections.len(), 2);
        }
        for section in sections {
            let block = output(section).unwrap_or_else(|| panic!("no output in {section}"));
            let mut rest = answers.iter();
            for line in masked(block) {
                let is_shown = rest.any(|answer| shows(&line, answer));
                assert!(is_shown, "{system} does not answer: {line}");
            }
        }
    }
}

#[test]
fn the_readmes_figures_are_those_of_the_benchmark() {
    let (readme, results) = (document("README.md"), document("docs/benchmarks/results.md"));
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("| {name} |")));
        line.unwrap_or_else(|| panic!("no row `{name}`")).to_owned()
    };
    for (name, variants) in [
        ("Latchkey, guard included", ["Latchkey allows, with guard", "Latchkey allows"].as_slice()),
        (
            "Latchkey's [native module](docs/module.md), guard included",
            &["native module allows, with guard", "native module allows"],
        ),
        ("`api_key_auth` and RBAC", &["native api_key_auth and RBAC"]),
        ("Lua", &["Lua"]),
        ("`ext_authz`", &["ext_authz to a local nginx"]),
    ] {
        let own = row(&readme, name);
        let figures = own.split(['|', ' ', '(']).filter(|word| word.parse::<f64>().is_ok());
        // The columns are name, processor and added.
        let measured = variants.iter().map(|name| row(&results, name));
        let added: Vec<String> =
            measured.map(|row| row.split(" | ").nth(2).unwrap().to_owned()).collect();
        assert_eq!(figures.collect::<Vec<_>>(), added, "{name}");
    }
}

#[test]
fn each_reason_stands_in_the_order_of_decision_with_its_status() {
    let document = document("docs/configuration.md");
    let mut sections = document.split("\n## ");
    let order = sections.find(|section| section.starts_with("Order of decision")).unwrap();
    for reason in Reason::ALL {
        let status = match reason.class() {
            Class::BadRequest => "400",
            Class::Forbidden => "403",
            Class::Unauthorized => "401",
        };
        let name = format!("`{}`", reason.as_str());
        let mut rows = order.lines().filter(|line| line.starts_with('|') && line.contains(&name));
        let statuses = |row: &str| row.rsplit('|').nth(1).unwrap().to_owned();
        assert!(rows.any(|row| statuses(row).contains(status)), "{name} {status}");
    }
}

#[test]
fn a_shortened_answer_is_shown_where_all_that_is_left_of_it_is() {
    let answer = r#"200 {"a":1,"b":2,"c":3}"#;
    assert!(shows(answer, answer));
    assert!(shows(r#"200 {…"b":2…}"#, answer));
    for other in [
        r#"200 {…"b":2"#,
        r#"200 {…"b":3…}"#,
        r#"200 {…"c":3…"b":2…}"#,
        r#"{…"b":2…}"#,
        r#"401 {…}"#,
    ] {
        assert!(!shows(other, answer), "{other}");
    }
    assert!(!shows("200 {…}", r#"200 {"key":"flk_ro_demo"}"#), "a token is left out");
}

/// `LATCHKEY_WRITE_UPSTREAMS=1 cargo test --workspace --test documents` writes the table anew.
#[test]
fn the_upstreams_are_those_of_the_table() {
    const FILE: &str = "docs/upstreams.md";
    let page = document(FILE);
    let (before, rest) = page.split_at(page.find("| `upstream`").unwrap());
    let (shown, behind) = rest.split_at(rest.find("\n\n").unwrap() + 1);
    let mut table =
        "| `upstream` | measured | what it reads otherwise | what must be allowed as well | its own switch |\n\
         | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for own in latchkey::UPSTREAMS {
        let readings = match own.readings().join("; ") {
            nothing if nothing.is_empty() => "nothing".to_owned(),
            readings => readings,
        };
        let (name, measured, does, switch) = (own.name, own.measured, own.does, own.switch);
        table += &format!("| `{name}` | {measured} | {does} | {readings} | {switch} |\n");
    }
    if std::env::var_os("LATCHKEY_WRITE_UPSTREAMS").is_some() {
        let page = [before, &table, behind].concat();
        fs::write(format!("{ROOT}/{FILE}"), page).unwrap();
        return;
    }
    assert_eq!(shown, table);
}

fn document(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether an answer is what a document shows of it, where `…` stands for anything but a token.
fn shows(line: &str, answer: &str) -> bool {
    let Some((shown, last)) = line.rsplit_once('…') else { return line == answer };
    let Some(mut rest) = answer.strip_suffix(last) else { return false };
    for (index, part) in shown.split('…').enumerate() {
        let Some((left_out, behind)) = rest.split_once(part) else { return false };
        if left_out.contains("flk_") || (index == 0 && !left_out.is_empty()) {
            return false;
        }
        rest = behind;
    }
    !rest.contains("flk_")
}

/// What a demo prints.
fn demo(system: &str) -> Vec<String> {
    let ran = Command::new(format!("{ROOT}/envoy/demo")).arg(system).output().unwrap();
    let (output, error) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "`make demo SYSTEM={system}` fails: {output}{error}");
    masked(&output)
}

/// The block of a section that names no language.
fn output(section: &str) -> Option<&str> {
    let mut blocks = section.split("\n```").skip(1).step_by(2);
    blocks.find_map(|block| block.strip_prefix('\n'))
}

/// The lines that say something, without Envoy's port, which is another each time.
fn masked(text: &str) -> Vec<String> {
    const HOST: &str = "127.0.0.1:";
    let without_port = |line: &str| {
        let (first, rest) = line.split_once(HOST).unwrap_or((line, ""));
        format!("{first}{}", rest.trim_start_matches(char::is_numeric))
    };
    text.lines().filter(|line| !line.is_empty()).map(without_port).collect()
}
