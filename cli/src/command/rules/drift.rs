//! What an OpenAPI document and a policy do not have in common.

use std::collections::HashSet;

use latchkey::{Engine, Remark};

use super::Problem;
use crate::finding::Finding;
use crate::openapi::{Operation, Server};

/// Operations that no rule names, and what rules name that no operation is. Neither are credentials, scopes and queries
/// looked at, nor rules without paths and those for everything, nor such as deny.
pub(super) fn find(
    operations: &[Operation],
    engine: &Engine,
    document: &str,
) -> (Vec<Finding>, Vec<Remark>) {
    // The places of rules and of their paths, and of rules and methods, that some operation has.
    let mut paths: HashSet<(usize, usize)> = HashSet::new();
    let mut methods: HashSet<(usize, &str)> = HashSet::new();
    let mut unnamed = Vec::new();
    for operation in operations {
        let naming = |Server { host, base }: &Server| {
            let path = format!("{base}{}", example(&operation.path));
            engine.naming(&operation.method, host.as_deref(), &path)
        };
        let naming: Vec<_> = operation.servers.iter().flat_map(naming).collect();
        if naming.is_empty() {
            let message = format!("no rule names `{}`", operation.title());
            unnamed.push(Problem::error("operation_without_rule", message).at(operation));
        }
        methods.extend(naming.iter().map(|(rule, _)| (*rule, operation.method.as_str())));
        paths.extend(naming);
    }
    let mut stale = Vec::new();
    let rules = engine.rules().iter().enumerate().filter(|(_, rule)| rule.access() != "deny");
    for (place, rule) in rules {
        for (index, path) in
            rule.naming_paths().filter(|(index, _)| !paths.contains(&(place, *index)))
        {
            stale.push(Remark {
                code: "path_without_operation",
                pointer: format!("{}/paths/{index}", rule.pointer()),
                message: format!("no operation of `{document}` is one of `{path}`"),
                help: HELP,
            });
        }
        let is_used = |method: &str| methods.contains(&(place, method));
        // Where none is, the paths say so.
        if !methods.iter().any(|(index, _)| *index == place) {
            continue;
        }
        for (index, method) in rule.methods().enumerate() {
            // Whoever serves GET serves HEAD, and few documents tell of OPTIONS.
            let is_implied = method == "OPTIONS" || method == "HEAD" && is_used("GET");
            if !is_used(method) && !is_implied {
                stale.push(Remark {
                    code: "method_without_operation",
                    pointer: format!("{}/methods/{index}", rule.pointer()),
                    message: format!(
                        "no operation of `{document}` is a `{method}` of this rule's paths"
                    ),
                    help: HELP,
                });
            }
        }
    }
    (unnamed, stale)
}

const HELP: &str = "take it out of the rule, or document it";

/// A request's path for the path of an operation.
pub(super) fn example(path: &str) -> String {
    let mut example = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((_, after)) = after.split_once('}') else { break };
        example.push_str(before);
        example.push_str("example");
        rest = after;
    }
    example.push_str(rest);
    example
}
