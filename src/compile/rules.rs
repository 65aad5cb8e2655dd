//! Rules.

use std::collections::BTreeMap;

use super::keys::header_text;
use super::responses::rule_wording;
use super::{Known, check_method, is_observed, quoted, scope, template_of};
use crate::config::{Node, Object, RawAccess, RawHold, RawMode, Whole};
use crate::finding::{Code, Place};
use crate::graphql;
use crate::host::is_host;
use crate::http::{is_field_value, is_token};
use crate::limits;
use crate::path::{PathTemplate, is_parameter_name};
use crate::pattern::Pattern;
use crate::query::QueryNames;
use crate::rule::{
    GraphQlRule, HostPattern, Introspection, Requirement, Rule, RuleAccess, names_read,
};
use crate::scope::{Scope, is_word};
use crate::template::{Part, Template, Variable, Vocabulary};

impl Known {
    /// Compiles the rules, whose query parameters are added to the policy's `names`.
    pub(super) fn rules(&self, policy: &Object<'_, '_>, names: &mut QueryNames) -> Vec<Rule> {
        let Some(node) = policy.node("rules") else { return Vec::new() };
        let Some(list) = node.items() else { return Vec::new() };
        if list.len() > limits::RULES {
            node.place.too_many("rules", limits::RULES);
            return Vec::new();
        }
        let list = list.into_iter().enumerate();
        list.filter_map(|(index, item)| self.rule(item, index, names)).collect()
    }

    /// Compiles one rule; `None` if it is nothing that could be compiled.
    fn rule(&self, node: Node<'_, '_>, index: usize, names: &mut QueryNames) -> Option<Rule> {
        const FIELDS: [&str; 14] = [
            "name",
            "mode",
            "hosts",
            "paths",
            "methods",
            "query",
            "headers",
            "access",
            "credentials",
            "require",
            "require_any",
            "where",
            "graphql",
            "deny",
        ];
        let fields = node.object(&FIELDS)?;
        let name: Option<String> = fields.field("name");
        if let Some(name) = &name {
            header_text(name, "a rule's name", node.place.field("name"));
        }
        let access = fields.word("access").unwrap_or(RawAccess::Key);
        contradictions(access, &fields);
        let hosts = hosts(&fields);
        let paths = paths(&fields);
        let methods = methods(&fields);
        let query = query(&fields);
        let headers = headers(&fields);
        let conditions = self.conditions(&fields, &paths);
        let requirement = match (fields.has("require"), fields.has("require_any")) {
            (true, true) => {
                let message = "`require` and `require_any` cannot both stand in one rule";
                node.place.error(Code::Contradiction, message);
                return None;
            }
            (true, false) => Requirement::All(requirements(&fields, "require", &paths)),
            (false, true) => Requirement::Any(requirements(&fields, "require_any", &paths)),
            (false, false) => Requirement::action(),
        };
        let graphql = fields.node("graphql").and_then(|node| graphql(node, &paths));
        let says_what = fields.has("require") || fields.has("require_any") || graphql.is_none();
        let access = match access {
            // What a GraphQL request needs depends on its fields, not on its method.
            RawAccess::Key if !says_what => RuleAccess::Authenticated,
            RawAccess::Authenticated => RuleAccess::Authenticated,
            RawAccess::Deny => RuleAccess::Deny,
            RawAccess::Key => RuleAccess::Key(requirement),
            RawAccess::Optional => RuleAccess::Optional(says_what.then_some(requirement)),
            RawAccess::Public => RuleAccess::Public,
        };
        let mode = fields.word("mode");
        if self.is_observed && mode == Some(RawMode::Enforce) {
            let message = "`mode: enforce` has no meaning beside the policy's `mode: observe`";
            let place = node.place.field("mode");
            place.error(Code::Contradiction, message).help(
                "leave the policy's `mode` out, and write `mode: observe` into each rule that is only to be observed",
            );
        }
        let query_names = names_read(&query, &conditions, &access, graphql.as_ref())
            .map(|(name, is_in_bodies)| names.add(name, is_in_bodies))
            .collect();
        let rule = Rule {
            index,
            name: name.unwrap_or_else(|| format!("rules[{index}]")).into(),
            hosts,
            paths,
            methods,
            query,
            headers,
            query_names,
            access,
            credentials: self.counting(&fields),
            is_observed: is_observed(
                mode,
                &fields,
                "whatever this rule asks of a good key, it only observes",
            ),
            conditions,
            graphql,
            wording: rule_wording(&fields),
        };
        self.actions(&rule, node.place);
        Some(rule)
    }

    /// Notes a method that the rule lists, that stands for no action, and of which the rule needs
    /// the action.
    fn actions(&self, rule: &Rule, place: Place<'_>) {
        let needs = |template: &Template| {
            template.parts.iter().any(|part| {
                matches!(part, Part::Placeholder { variable: Variable::Action, fallback: None })
            })
        };
        let required = rule.access.requirement().map(Requirement::templates).unwrap_or_default();
        let mut conditions = rule.conditions.iter().flat_map(|condition| &condition.choices);
        if !required.iter().any(needs) && !conditions.any(needs) {
            return;
        }
        let place = place.field("methods");
        for (index, method) in rule.methods.iter().enumerate() {
            if is_token(method) && !self.methods.contains_key(method) {
                let message =
                    format!("`{method}` stands for no action, and this rule needs `{{action}}`");
                place
                    .item(index)
                    .error(Code::Contradiction, message)
                    .help("add it to `methods`, or say in `require` what it needs");
            }
        }
    }
}

fn hosts(rule: &Object<'_, '_>) -> Vec<HostPattern> {
    let list = rule.node("hosts");
    let mut hosts = Vec::new();
    for (place, text) in filled_texts(list.as_ref(), "hosts") {
        let lower = text.to_ascii_lowercase();
        let (subdomains, host) = match lower.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, lower.as_str()),
        };
        if !is_host(host) {
            place
                .error(Code::InvalidHost, format!("`{text}` is not a host"))
                .help("a host is `example.com` or `*.example.com`, without a port");
        }
        hosts.push(if subdomains {
            HostPattern::Subdomains(format!(".{host}").into())
        } else {
            HostPattern::Exact(host.into())
        });
    }
    hosts
}

fn paths(rule: &Object<'_, '_>) -> Vec<PathTemplate> {
    let list = rule.node("paths");
    let mut paths = Vec::new();
    for (place, text) in filled_texts(list.as_ref(), "paths") {
        match PathTemplate::parse(&text) {
            Ok(path) => {
                if text.split('/').any(|segment| segment.starts_with([':', '<'])) {
                    let message = format!("`{text}` has a segment that is taken as it stands");
                    place
                        .warning(Code::InvalidPath, message)
                        .help("a parameter is written `{name}`");
                }
                paths.push(path);
            }
            Err(error) => {
                place.error(Code::InvalidPath, format!("`{text}`: {error}"));
            }
        }
    }
    paths
}

fn methods(rule: &Object<'_, '_>) -> Vec<Box<str>> {
    let list = rule.node("methods");
    let mut methods = Vec::new();
    for (place, text) in filled_texts(list.as_ref(), "methods") {
        check_method(&text, place);
        methods.push(text.into());
    }
    methods
}

fn query(rule: &Object<'_, '_>) -> Vec<Pattern> {
    let patterns = patterns(rule, "query", "parameters");
    if patterns.iter().any(|pattern| pattern.name.is_empty()) {
        let place = rule.place.field("query");
        place.field("").error(Code::InvalidValue, "a query parameter needs a name");
    }
    patterns
}

fn headers(rule: &Object<'_, '_>) -> Vec<Pattern> {
    let mut patterns = patterns(rule, "headers", "headers");
    let place = rule.place.field("headers");
    let mut names: Vec<Box<str>> = Vec::new();
    for Pattern { name, values } in &mut patterns {
        let written = name.clone();
        let place = place.field(&written);
        name.make_ascii_lowercase();
        if !is_token(name) {
            place.error(Code::InvalidHeader, format!("{} is not a header", quoted(name)));
        } else if **name == *"host" {
            let message = "`host` is not among the headers of a request";
            place.error(Code::InvalidHeader, message).help("use `hosts`");
        } else if names.contains(name) {
            place.error(Code::Duplicate, format!("header `{name}` is listed twice"));
        }
        names.push(name.clone());
        for (index, value) in values.iter().flatten().enumerate() {
            if value.is_empty() || !is_field_value(value) || value.contains(',') {
                let message = "a header's value is text without commas, control characters and spaces at \
                               its ends";
                place.item(index).error(Code::InvalidHeader, message);
            }
        }
    }
    patterns
}

/// Names, each with a list of values.
fn patterns(rule: &Object<'_, '_>, field: &str, what: &str) -> Vec<Pattern> {
    let Some(fields) = rule.entries(field) else { return Vec::new() };
    check_filled(fields.len(), what, fields.node.place);
    let mut patterns = Vec::new();
    for (name, node) in fields.iter() {
        let values = filled_texts(Some(&node), "values");
        let any = values.iter().any(|(_, value)| value == "*");
        let values = values.into_iter().map(|(_, value)| value.into()).collect();
        patterns.push(Pattern { name: name.into(), values: (!any).then_some(values) });
    }
    patterns
}

/// The strings of a list that may be absent, and may not be empty.
fn filled_texts<'p>(list: Option<&'p Node<'_, '_>>, what: &str) -> Vec<(Place<'p>, String)> {
    let Some(node) = list else { return Vec::new() };
    let Some(items) = node.items() else { return Vec::new() };
    check_filled(items.len(), what, node.place);
    items.into_iter().filter_map(|item| Some((item.place, item.read()?))).collect()
}

/// Notes that a list or an object is empty, which may not be.
fn check_filled(count: usize, what: &str, place: Place<'_>) {
    if count == 0 {
        place.error(Code::Empty, format!("a list without {what} would match no request"));
    }
}

/// Notes what cannot stand beside an access, because it would never be looked at.
fn contradictions(access: RawAccess, rule: &Object<'_, '_>) {
    let (access, ignored): (_, &[&str]) = match access {
        RawAccess::Authenticated => ("authenticated", &["require", "require_any"]),
        RawAccess::Deny => ("deny", &["require", "require_any", "where", "graphql"]),
        RawAccess::Key => ("key", &[]),
        RawAccess::Optional => ("optional", &[]),
        RawAccess::Public => (
            "public",
            &["mode", "credentials", "require", "require_any", "where", "graphql", "deny"],
        ),
    };
    for name in ignored.iter().filter(|name| rule.has(name)) {
        let message = format!("`{name}` has no meaning beside `access: {access}`");
        rule.place.field(name).error(Code::Contradiction, message);
    }
}

fn requirements(rule: &Object<'_, '_>, name: &str, paths: &[PathTemplate]) -> Vec<Template> {
    let list = rule.node(name);
    let Some(node) = &list else { return Vec::new() };
    let Some(texts) = node.texts() else { return Vec::new() };
    if texts.is_empty() {
        node.place
            .error(Code::Empty, "a rule that asks for no scope")
            .help("use `access: authenticated` for any good key");
    }
    if texts.len() > limits::REQUIRED_SCOPES {
        node.place.too_many("scopes", limits::REQUIRED_SCOPES);
        return Vec::new();
    }
    let template =
        |(place, text): (_, String)| scope_template(Vocabulary::Request, &text, place, paths);
    texts.into_iter().filter_map(template).collect()
}

/// A template of a scope.
fn scope_template(
    vocabulary: Vocabulary,
    text: &str,
    place: Place<'_>,
    paths: &[PathTemplate],
) -> Option<Template> {
    let template = template_of(vocabulary, text, place, paths)?;
    if let Err(error) = Scope::parse(&specimen(&template)) {
        place.error(Code::InvalidScope, format!("`{text}` is not a scope: {error}"));
    }
    Some(template)
}

fn graphql(node: Node<'_, '_>, paths: &[PathTemplate]) -> Option<GraphQlRule> {
    const FIELDS: [&str; 7] =
        ["require", "fields", "nested", "introspection", "max_depth", "max_bytes", "hold"];
    let rule = node.object(&FIELDS)?;
    if !rule.has("require") {
        rule.missing("require").help("such as `{field}:{operation}`");
    }
    let require = rule.field("require").and_then(|text: String| {
        scope_template(Vocabulary::GraphQl, &text, node.place.field("require"), paths)
    });
    let fields = graphql_fields(&rule, "fields").unwrap_or_default();
    let nested = graphql_fields(&rule, "nested");
    let introspection: Option<String> = rule.field("introspection");
    let hold = rule.word("hold");
    let limit = |name: &str, default: usize, most: usize| {
        let Some(Whole(value)) = rule.field(name) else { return default };
        let value = usize::try_from(value).ok().filter(|value| (1..=most).contains(value));
        if value.is_none() {
            let message = format!("expected 1 to {most}");
            node.place.field(name).error(Code::InvalidValue, message);
        }
        value.unwrap_or(default)
    };
    let depth = limit("max_depth", 15, limits::GRAPHQL_DEPTH);
    let bytes = limit("max_bytes", 65_536, limits::GRAPHQL_BYTES);
    let introspection = match introspection.as_deref() {
        None | Some("deny") => Introspection::Deny,
        Some("allow") => Introspection::Allow,
        Some(text) => Introspection::Scope(scope(text, node.place.field("introspection"))?),
    };
    Some(GraphQlRule {
        require: require?,
        fields,
        nested,
        introspection,
        limits: graphql::Limits { depth, bytes },
        hold_headers: hold == Some(RawHold::Headers),
    })
}

/// The resources of fields, or the whole scopes that they need.
fn graphql_fields(rule: &Object<'_, '_>, field: &str) -> Option<BTreeMap<Box<str>, Box<str>>> {
    let entries = rule.entries(field)?;
    let mut fields = BTreeMap::new();
    for (name, node) in entries.iter() {
        if !is_parameter_name(name) || name.contains('-') || name.starts_with("__") {
            let message = "a field's name is a GraphQL name, not an introspection field's";
            node.place.error(Code::InvalidValue, message);
        }
        let Some(text) = node.read::<String>() else { continue };
        if text.contains(':') {
            scope(&text, node.place);
        } else if !is_word(&text) {
            let message = format!("`{text}` is neither a resource nor a scope");
            node.place.error(Code::InvalidScope, message);
        }
        fields.insert(name.into(), text.into());
    }
    Some(fields)
}

/// A scope that the template could stand for, to see whether it could stand for any. A fallback
/// stands for itself; what a request may hold is always a word.
fn specimen(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Literal(text) => text.to_string(),
        Part::Placeholder { fallback: Some(fallback), .. } => fallback.to_string(),
        Part::Placeholder { fallback: None, .. } => "x".to_owned(),
    };
    template.parts.iter().map(part).collect()
}
