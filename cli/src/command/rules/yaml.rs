//! Rules as people read them.

use std::fmt::Write as _;

use super::access::{Access, Asked};
use super::group::Rule;
use crate::document::json_for_yaml;

/// So wide may a line be in which a list stands.
const WIDTH: usize = 100;

/// `rules:` of a policy. Where a rule is of several operations, each path is followed by their names.
pub(super) fn print(rules: &[Rule]) -> String {
    let mut text = String::new();
    if rules.is_empty() {
        return "rules: []\n".to_owned();
    }
    text.push_str("rules:\n");
    for rule in rules {
        let Some(first) = rule.entries.first() else { continue };
        _ = writeln!(text, "  - name: {}", scalar(&rule.name));
        list("hosts", &first.hosts, &mut text);
        list("methods", &first.methods, &mut text);
        match rule.entries.as_slice() {
            [only] if only.names.iter().all(|name| *name == rule.name) => {
                list("paths", std::slice::from_ref(&only.path.text), &mut text);
            }
            entries => {
                text.push_str("    paths:\n");
                for entry in entries {
                    let path = scalar(&entry.path.text);
                    _ = writeln!(text, "      - {path}  # {}", entry.names.join(", "));
                }
            }
        }
        let asked = match &first.access {
            Access::Authenticated => {
                text.push_str("    access: authenticated\n");
                continue;
            }
            Access::Deny => {
                text.push_str("    access: deny\n");
                continue;
            }
            Access::Public => {
                text.push_str("    access: public\n");
                continue;
            }
            Access::Key(asked) => asked,
            Access::Optional(asked) => {
                text.push_str("    access: optional\n");
                asked
            }
        };
        match asked {
            Asked::Action => {}
            Asked::All(scopes) => list("require", scopes, &mut text),
            Asked::Any(scopes) => list("require_any", scopes, &mut text),
        }
    }
    text
}

/// A field with a list, in a line of its own where it fits into one.
fn list(name: &str, items: &[String], text: &mut String) {
    if items.is_empty() {
        return;
    }
    let items: Vec<String> = items.iter().map(|item| flow_scalar(item)).collect();
    let line = format!("    {name}: [{}]", items.join(", "));
    if line.len() <= WIDTH {
        _ = writeln!(text, "{line}");
        return;
    }
    _ = writeln!(text, "    {name}:");
    for item in items {
        _ = writeln!(text, "      - {item}");
    }
}

/// A text in a line of its own: as it stands where YAML reads it as that, else in quotes.
fn scalar(value: &str) -> String {
    let is_path = value.starts_with('/')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_.{}~+-".contains(&byte));
    if is_path || is_word(value) { value.to_owned() } else { quoted(value) }
}

/// A text between brackets, where braces would be an object.
fn flow_scalar(value: &str) -> String {
    let is_path = value.starts_with('/') && !value.contains(['{', '}']);
    if is_path && scalar(value) == value || is_word(value) {
        value.to_owned()
    } else {
        quoted(value)
    }
}

/// Whether YAML reads it as a text, whatever its version, and wherever it stands.
fn is_word(value: &str) -> bool {
    const OTHERWISE: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.- ".contains(&byte);
    value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.bytes().all(is_plain)
        && !value.ends_with(' ')
        && !OTHERWISE.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn quoted(value: &str) -> String {
    json_for_yaml(&serde_json::Value::from(value).to_string())
}
