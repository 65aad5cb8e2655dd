//! The corpus `tests/cases` through the binary.

use super::{TestCommand, directory, repository};

#[test]
fn every_case_holds_in_the_binary() {
    let directory = directory();
    let mut failures = String::new();
    let mut count = 0;
    for file in std::fs::read_dir(repository("tests/cases")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let suite: serde_json::Value = serde_json::from_str(&text).unwrap();
        let policy = match suite.get("policy") {
            // As text, since a value would lose the order of fields.
            Some(_) => {
                let suite = latchkey_cli::cases::Suite::load(&file).unwrap();
                directory.write("inline.json", &String::from_utf8(suite.policy).unwrap())
            }
            None => file.parent().unwrap().join(suite["policy_file"].as_str().unwrap()),
        };
        let arguments = ["test", policy.to_str().unwrap(), file.to_str().unwrap()];
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        let cases = suite["cases"].as_array().unwrap().len();
        let noun = if cases == 1 { "case" } else { "cases" };
        if output != format!("{cases} {noun}, 0 failed\n") {
            failures.push_str(&format!("{}: {output}", file.display()));
        }
        count += cases;
    }
    println!("{count} cases in the binary");
    assert!(failures.is_empty(), "{failures}");
}
