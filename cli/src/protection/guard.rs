//! What an RBAC filter does about Latchkey's decision: a guard lets through only what is `allow …` in filter state
//! `wasm.latchkey`.
//!
//! A guard is known by its effect. What is not understood, such as a matcher of another kind, counts as letting through.

use serde_json::Value;

use super::dump::{at, field, is_set, items, text, typed};

/// The type of the filter.
pub(super) const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

/// What an RBAC filter does about Latchkey's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// It lets through only what Latchkey allowed.
    Holds,
    /// It has nothing to do with it.
    None,
    /// It asks for the decision, but lets more through; why.
    Weak(&'static str),
}

/// Judges the `RBAC` message of a filter.
pub(super) fn judge(rbac: &Value) -> Guard {
    let verdict = match (field(rbac, "matcher"), field(rbac, "rules")) {
        (Some(matcher), _) if allows_only_allowed(matcher) => return Guard::Holds,
        (Some(_), _) => "a rule of it lets through what Latchkey did not allow",
        (None, Some(rules)) => match text(rules, "action") {
            "" | "ALLOW" if policies(rules).all(policy_demands) => return Guard::Holds,
            "" | "ALLOW" => "a policy of it lets through what Latchkey did not allow",
            "DENY" => "its action is `DENY`, not `ALLOW`",
            _ => "its action is to log, and refuses nothing",
        },
        (None, None) => "its rules are shadow rules, which refuse nothing",
    };
    if mentions(rbac, KEY) { Guard::Weak(verdict) } else { Guard::None }
}

/// The filter state that Latchkey alone writes.
const KEY: &str = "wasm.latchkey";

/// How it starts for a request that is let through.
const ALLOW: &str = "allow ";

/// Whether a text stands somewhere in a message, also inside a longer one.
pub(super) fn mentions(message: &Value, wanted: &str) -> bool {
    match message {
        Value::Array(items) => items.iter().any(|item| mentions(item, wanted)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, wanted)),
        Value::String(text) => text.contains(wanted),
        _ => false,
    }
}

fn policies(rules: &Value) -> impl Iterator<Item = &Value> {
    let policies = field(rules, "policies").and_then(Value::as_object);
    policies.into_iter().flat_map(|policies| policies.values())
}

/// Whether a policy matches only requests that Latchkey allowed: any of its principals may match, and the condition must.
fn policy_demands(policy: &Value) -> bool {
    let principals = items(policy, "principals");
    let condition = field(policy, "condition").or_else(|| at(policy, "checked_condition.expr"));
    condition.is_some_and(expression_demands)
        || (!principals.is_empty() && principals.iter().all(principal_demands))
}

fn principal_demands(principal: &Value) -> bool {
    if let Some(state) = field(principal, "filter_state") {
        return text(state, "key") == KEY && field(state, "string_match").is_some_and(text_demands);
    }
    let all = at(principal, "and_ids.ids").and_then(Value::as_array);
    let any = at(principal, "or_ids.ids").and_then(Value::as_array);
    all.is_some_and(|ids| ids.iter().any(principal_demands))
        || any.is_some_and(|ids| !ids.is_empty() && ids.iter().all(principal_demands))
}

/// Whether a matcher of texts takes only those that start with `allow `.
fn text_demands(matcher: &Value) -> bool {
    let starts = |name| text(matcher, name).starts_with(ALLOW);
    (starts("prefix") || starts("exact")) && !is_set(matcher, "ignore_case")
}

/// Whether each action of a matcher that lets through demands what Latchkey allowed. Where nothing matches and there is no
/// action for that, Envoy refuses.
fn allows_only_allowed(matcher: &Value) -> bool {
    if field(matcher, "matcher_tree").is_some() {
        return false;
    }
    let refuses = |on_match: &Value| match field(on_match, "matcher") {
        Some(matcher) => allows_only_allowed(matcher),
        None => at(on_match, "action.typed_config").is_some_and(is_denial),
    };
    items(matcher, "matcher_list.matchers").iter().all(|matcher| {
        field(matcher, "on_match").is_some_and(refuses)
            || field(matcher, "predicate").is_some_and(predicate_demands)
    }) && field(matcher, "on_no_match").is_none_or(refuses)
}

fn is_denial(action: &Value) -> bool {
    text(typed(action).1, "action") == "DENY"
}

fn predicate_demands(predicate: &Value) -> bool {
    let custom = at(predicate, "single_predicate.custom_match.typed_config");
    if let Some(("xds.type.matcher.v3.CelMatcher", cel)) = custom.map(typed) {
        let parsed = at(cel, "expr_match.cel_expr_parsed.expr");
        let checked = at(cel, "expr_match.cel_expr_checked.expr");
        return parsed.or(checked).is_some_and(expression_demands);
    }
    let list = |name: &str| at(predicate, name).and_then(Value::as_array);
    list("and_matcher.predicate").is_some_and(|all| all.iter().any(predicate_demands))
        || list("or_matcher.predicate")
            .is_some_and(|any| !any.is_empty() && any.iter().all(predicate_demands))
}

/// Whether a CEL expression, as a syntax tree, is true only of decisions in the range of bytes from `allow ` to `allow!`.
fn expression_demands(expression: &Value) -> bool {
    let mut parts = Vec::new();
    collect_conjunction(expression, &mut parts);
    let has = |function: &str, limit: &str| {
        parts.iter().any(|part| {
            text(part, "call_expr.function") == function
                && matches!(items(part, "call_expr.args"), [state, bytes]
                    if is_decision(state) && text(bytes, "const_expr.bytes_value") == limit)
        })
    };
    // `allow ` and `allow!` in base64: a tree is printed with bytes so.
    has("_>=_", "YWxsb3cg") && has("_<_", "YWxsb3ch")
}

fn collect_conjunction<'v>(expression: &'v Value, parts: &mut Vec<&'v Value>) {
    match items(expression, "call_expr.args") {
        [left, right] if text(expression, "call_expr.function") == "_&&_" => {
            collect_conjunction(left, parts);
            collect_conjunction(right, parts);
        }
        _ => parts.push(expression),
    }
}

/// Whether an expression is `filter_state['wasm.latchkey']`.
fn is_decision(expression: &Value) -> bool {
    text(expression, "call_expr.function") == "_[_]"
        && matches!(items(expression, "call_expr.args"), [map, key]
            if text(map, "ident_expr.name") == "filter_state"
                && text(key, "const_expr.string_value") == KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(rules: &Value) -> Guard {
        judge(&json!({"rules": rules}))
    }

    fn principal(string_match: &Value) -> Value {
        json!({"filter_state": {"key": "wasm.latchkey", "string_match": string_match}})
    }

    fn policy(principals: &Value) -> Value {
        json!({"permissions": [{"any": true}], "principals": principals})
    }

    #[test]
    fn a_guard_is_known_by_what_it_lets_through() {
        let allowed = principal(&json!({"prefix": "allow "}));
        let any = json!({"any": true});
        let other = json!({"filter_state": {"key": "other", "string_match": {"prefix": "allow "}}});
        for principals in [
            json!([allowed]),
            json!([principal(&json!({"prefix": "allow key:"}))]),
            json!([principal(&json!({"exact": "allow public"})), allowed]),
            json!([{"and_ids": {"ids": [any, allowed]}}]),
            json!([{"or_ids": {"ids": [allowed, allowed]}}]),
        ] {
            assert_eq!(rules(&json!({"policies": {"a": policy(&principals)}})), Guard::Holds);
            let two = json!({"action": "ALLOW", "policies": {"a": policy(&principals), "b": policy(&json!([any]))}});
            assert!(matches!(rules(&two), Guard::Weak(_)));
            assert!(matches!(
                judge(&json!({"shadow_rules": {"policies": {"a": policy(&principals)}}})),
                Guard::Weak(_)
            ));
            for action in ["DENY", "LOG"] {
                let rules =
                    rules(&json!({"action": action, "policies": {"a": policy(&principals)}}));
                assert!(matches!(rules, Guard::Weak(_)), "{action}");
            }
        }
        for principals in [
            json!([allowed, any]),
            json!([principal(&json!({"prefix": "allow"}))]),
            json!([principal(&json!({"prefix": ""}))]),
            json!([principal(&json!({"prefix": "deny "}))]),
            json!([principal(&json!({"contains": "allow "}))]),
            json!([principal(&json!({"safe_regex": {"regex": "^allow .*"}}))]),
            json!([principal(&json!({"prefix": "allow ", "ignore_case": true}))]),
            json!([{"not_id": allowed}]),
            json!([{"or_ids": {"ids": [allowed, any]}}]),
        ] {
            assert!(
                matches!(rules(&json!({"policies": {"a": policy(&principals)}})), Guard::Weak(_)),
                "{principals}"
            );
        }
        for principals in [json!([any]), json!([other]), json!([])] {
            assert_eq!(rules(&json!({"policies": {"a": policy(&principals)}})), Guard::None);
        }
        assert_eq!(rules(&json!({})), Guard::Holds, "it refuses everything");
        assert_eq!(judge(&json!({})), Guard::None, "it lets everything through");
    }

    fn comparison(function: &str, bytes: &str) -> Value {
        let state = json!({"callExpr": {"function": "_[_]", "args": [
            {"identExpr": {"name": "filter_state"}}, {"constExpr": {"stringValue": "wasm.latchkey"}},
        ]}});
        json!({"callExpr": {"function": function, "args": [state, {"constExpr": {"bytesValue": bytes}}]}})
    }

    fn call(function: &str, args: &Value) -> Value {
        json!({"callExpr": {"function": function, "args": args}})
    }

    fn matcher(expression: &Value, default: &Value) -> Guard {
        let cel = json!({"singlePredicate": {"customMatch": {"typedConfig": {
            "@type": "type.googleapis.com/xds.type.matcher.v3.CelMatcher",
            "exprMatch": {"celExprParsed": {"expr": expression}},
        }}}});
        judge(&json!({"matcher": {
            "matcherList": {"matchers": [
                {"predicate": cel, "onMatch": {"action": {"typedConfig": {"name": "ALLOW"}}}},
            ]},
            "onNoMatch": {"action": {"typedConfig": default}},
        }}))
    }

    #[test]
    fn a_guard_in_cel_is_the_whole_range_of_bytes() {
        let (from, to) = (comparison("_>=_", "YWxsb3cg"), comparison("_<_", "YWxsb3ch"));
        let range = call("_&&_", &json!([from, to]));
        let deny = json!({"name": "DENY", "action": "DENY"});
        assert_eq!(matcher(&range, &deny), Guard::Holds);
        assert_eq!(
            matcher(&call("_&&_", &json!([range, {"identExpr": {"name": "x"}}])), &deny),
            Guard::Holds
        );
        for expression in
            [from.clone(), call("_||_", &json!([from, to])), comparison("_!=_", "YWxsb3cg")]
        {
            assert!(matches!(matcher(&expression, &deny), Guard::Weak(_)), "{expression}");
        }
        assert!(
            matches!(matcher(&range, &json!({"name": "ALLOW"})), Guard::Weak(_)),
            "all else is allowed"
        );
    }
}
