//! Rules.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Compiler;
use crate::config::{Entries, Object, RawAccess, RawHold, Whole, missing_field, parse, strings};
use crate::finding::{Code, Place};
use crate::graphql;
use crate::http::is_token;
use crate::limits;
use crate::origin::is_host;
use crate::path::{PathTemplate, is_parameter_name};
use crate::rule::{
    GraphQlRule, HostPattern, Introspection, QueryPattern, Requirement, Rule, RuleAccess,
};
use crate::scope::{Scope, is_word};
use crate::template::{Part, Template, Variable, Vocabulary};

impl Compiler {
    pub(super) fn rules(&mut self, policy: &Object<'_>) -> Vec<Rule> {
        let place = Place::ROOT.field("rules");
        let raw: Vec<&RawValue> = self.value(policy, "rules").unwrap_or_default();
        if raw.len() > limits::RULES {
            self.too_many("rules", limits::RULES, place);
            return Vec::new();
        }
        let compile = |(index, raw)| self.rule(raw, index, place.item(index));
        raw.into_iter().enumerate().filter_map(compile).collect()
    }

    /// Compiles one rule; `None` if it is nothing that could be compiled.
    fn rule(&mut self, raw: &RawValue, index: usize, place: Place<'_>) -> Option<Rule> {
        const FIELDS: [&str; 11] = [
            "name",
            "hosts",
            "paths",
            "methods",
            "query",
            "access",
            "require",
            "require_any",
            "where",
            "graphql",
            "deny",
        ];
        let raw = Object::parse(raw, place, &FIELDS, &mut self.findings)?;
        let name: Option<String> = raw.field("name", place, &mut self.findings);
        let access = raw.word("access", place, &mut self.findings).unwrap_or(RawAccess::Key);
        self.contradictions(access, &raw, place);
        let hosts = self.hosts(&raw, place);
        let paths = self.paths(&raw, place);
        let methods = self.rule_methods(&raw, place);
        let query = self.query(&raw, place);
        let conditions = self.conditions(&raw, place, &paths);
        let requirement = match (raw.has("require"), raw.has("require_any")) {
            (true, true) => {
                let message = "`require` and `require_any` cannot both stand in one rule";
                self.findings.error(place, Code::Contradiction, message);
                return None;
            }
            (true, false) => Requirement::All(self.requirements(&raw, "require", place, &paths)),
            (false, true) => {
                Requirement::Any(self.requirements(&raw, "require_any", place, &paths))
            }
            (false, false) => Requirement::action(),
        };
        let graphql = self.graphql(&raw, place, &paths);
        let says_what = raw.has("require") || raw.has("require_any") || graphql.is_none();
        let access = match access {
            // What a GraphQL request needs depends on its fields, not on its method.
            RawAccess::Key if !says_what => RuleAccess::Authenticated,
            RawAccess::Authenticated => RuleAccess::Authenticated,
            RawAccess::Deny => RuleAccess::Deny,
            RawAccess::Key => RuleAccess::Key(requirement),
            RawAccess::Public => RuleAccess::Public,
        };
        let rule = Rule {
            index,
            name: name.unwrap_or_else(|| format!("rules[{index}]")).into(),
            hosts,
            paths,
            methods,
            query,
            query_names: Vec::new(),
            access,
            conditions,
            graphql,
            wording: self.rule_wording(&raw, place),
        };
        self.actions(&rule, place);
        Some(rule)
    }

    fn hosts(&mut self, raw: &Object<'_>, place: Place<'_>) -> Vec<HostPattern> {
        let texts = self.filled_strings(raw, "hosts", place);
        let place = place.field("hosts");
        let mut hosts = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            let lower = text.to_ascii_lowercase();
            let (subdomains, host) = match lower.strip_prefix("*.") {
                Some(host) => (true, host),
                None => (false, lower.as_str()),
            };
            if !is_host(host) {
                let message = format!("`{text}` is no host");
                self.findings
                    .error(place.item(index), Code::InvalidHost, message)
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

    fn paths(&mut self, raw: &Object<'_>, place: Place<'_>) -> Vec<PathTemplate> {
        let texts = self.filled_strings(raw, "paths", place);
        let place = place.field("paths");
        let mut paths = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            match PathTemplate::parse(&text) {
                Ok(path) => {
                    if text.split('/').any(|segment| segment.starts_with([':', '<'])) {
                        let message = format!("`{text}` has a segment that is taken as it stands");
                        self.findings
                            .warning(place.item(index), Code::InvalidPath, message)
                            .help("a parameter is written `{name}`");
                    }
                    paths.push(path);
                }
                Err(error) => {
                    let message = format!("`{text}`: {error}");
                    self.findings.error(place.item(index), Code::InvalidPath, message);
                }
            }
        }
        paths
    }

    fn rule_methods(&mut self, raw: &Object<'_>, place: Place<'_>) -> Vec<Box<str>> {
        let texts = self.filled_strings(raw, "methods", place);
        let place = place.field("methods");
        let mut methods = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            self.method(&text, place.item(index));
            methods.push(text.into());
        }
        methods
    }

    fn query(&mut self, raw: &Object<'_>, place: Place<'_>) -> Vec<QueryPattern> {
        let entries: Option<Entries<&RawValue>> = raw.field("query", place, &mut self.findings);
        let place = place.field("query");
        let mut patterns = Vec::new();
        for (name, raw) in self.filled(entries.map(|entries| entries.0), "parameters", place) {
            let place = place.field(&name);
            if name.is_empty() {
                let message = "a query parameter needs a name";
                self.findings.error(place, Code::InvalidValue, message);
            }
            let values = strings(raw, place, &mut self.findings);
            let values = self.filled(values, "values", place);
            let any = values.iter().any(|value| value == "*");
            let values = values.into_iter().map(Into::into).collect();
            patterns.push(QueryPattern { name: name.into(), values: (!any).then_some(values) });
        }
        patterns
    }

    /// The strings of a list that may be absent, and may not be empty.
    fn filled_strings(&mut self, raw: &Object<'_>, name: &str, place: Place<'_>) -> Vec<String> {
        let texts = raw.strings(name, place, &mut self.findings);
        self.filled(texts, name, place.field(name))
    }

    /// What is in a list that may be absent, and may not be empty.
    fn filled<T>(&mut self, list: Option<Vec<T>>, what: &str, place: Place<'_>) -> Vec<T> {
        if list.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("a list without {what} would match no request");
            self.findings.error(place, Code::Empty, message);
        }
        list.unwrap_or_default()
    }

    /// Notes what cannot stand beside an access, because it would never be looked at.
    fn contradictions(&mut self, access: RawAccess, raw: &Object<'_>, place: Place<'_>) {
        let (access, ignored): (_, &[&str]) = match access {
            RawAccess::Authenticated => ("authenticated", &["require", "require_any"]),
            RawAccess::Deny => ("deny", &["require", "require_any", "where", "graphql"]),
            RawAccess::Key => ("key", &[]),
            RawAccess::Public => {
                ("public", &["require", "require_any", "where", "graphql", "deny"])
            }
        };
        for name in ignored.iter().filter(|name| raw.has(name)) {
            let message = format!("`{name}` has no meaning beside `access: {access}`");
            self.findings.error(place.field(name), Code::Contradiction, message);
        }
    }

    fn requirements(
        &mut self,
        raw: &Object<'_>,
        name: &str,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Vec<Template> {
        let texts = raw.strings(name, place, &mut self.findings);
        let place = place.field(name);
        if texts.as_ref().is_some_and(Vec::is_empty) {
            self.findings
                .error(place, Code::Empty, "a rule that asks for no scope")
                .help("use `access: authenticated` for any good key");
        }
        let texts = texts.unwrap_or_default();
        if texts.len() > limits::REQUIRED_SCOPES {
            self.too_many("scopes", limits::REQUIRED_SCOPES, place);
            return Vec::new();
        }
        let mut templates = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            let place = place.item(index);
            templates.extend(self.scope_template(Vocabulary::Request, &text, place, paths));
        }
        templates
    }

    /// A template of a scope.
    fn scope_template(
        &mut self,
        vocabulary: Vocabulary,
        text: &str,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Option<Template> {
        let template = self.template_of(vocabulary, text, place, paths)?;
        if let Err(error) = Scope::parse(&specimen(&template)) {
            let message = format!("`{text}` is no scope: {error}");
            self.findings.error(place, Code::InvalidScope, message);
        }
        Some(template)
    }

    fn graphql(
        &mut self,
        rule: &Object<'_>,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Option<GraphQlRule> {
        const FIELDS: [&str; 7] =
            ["require", "fields", "nested", "introspection", "max_depth", "max_bytes", "hold"];
        let (raw, place) = (rule.raw("graphql")?, place.field("graphql"));
        let raw = Object::parse(raw, place, &FIELDS, &mut self.findings)?;
        let require: Option<String> = raw.field("require", place, &mut self.findings);
        if !raw.has("require") {
            missing_field("require", place, &mut self.findings)
                .help("such as `{field}:{operation}`");
        }
        let require = require.and_then(|text| {
            let place = place.field("require");
            self.scope_template(Vocabulary::GraphQl, &text, place, paths)
        });
        let fields = self.graphql_fields("fields", &raw, place).unwrap_or_default();
        let nested = self.graphql_fields("nested", &raw, place);
        let findings = &mut self.findings;
        let introspection: Option<String> = raw.field("introspection", place, findings);
        let hold = raw.word("hold", place, findings);
        let mut limit = |name: &str, default: usize, most: usize| {
            let Some(Whole(value)) = raw.field(name, place, findings) else { return default };
            let value = usize::try_from(value).ok().filter(|value| (1..=most).contains(value));
            if value.is_none() {
                let message = format!("expected 1 to {most}");
                findings.error(place.field(name), Code::InvalidValue, message);
            }
            value.unwrap_or(default)
        };
        let depth = limit("max_depth", 15, limits::GRAPHQL_DEPTH);
        let bytes = limit("max_bytes", 65_536, limits::GRAPHQL_BYTES);
        let introspection = match introspection.as_deref() {
            None | Some("deny") => Introspection::Deny,
            Some("allow") => Introspection::Allow,
            Some(text) => Introspection::Scope(self.scope(text, place.field("introspection"))?),
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
    fn graphql_fields(
        &mut self,
        field: &str,
        raw: &Object<'_>,
        place: Place<'_>,
    ) -> Option<BTreeMap<Box<str>, Box<str>>> {
        let entries: Entries<&RawValue> = raw.field(field, place, &mut self.findings)?;
        let place = place.field(field);
        let mut fields = BTreeMap::new();
        for (name, raw) in entries.0 {
            let place = place.field(&name);
            if !is_parameter_name(&name) || name.starts_with("__") {
                let message = "a field's name is a GraphQL name, not an introspection field's";
                self.findings.error(place, Code::InvalidValue, message);
            }
            let Some(text) = parse::<String>(raw, place, &mut self.findings) else { continue };
            if text.contains(':') {
                self.scope(&text, place);
            } else if !is_word(&text) {
                let message = format!("`{text}` is neither a resource nor a scope");
                self.findings.error(place, Code::InvalidScope, message);
            }
            fields.insert(name.into(), text.into());
        }
        Some(fields)
    }

    /// Notes a method that the rule lists, that stands for no action, and of which the rule needs
    /// the action.
    fn actions(&mut self, rule: &Rule, place: Place<'_>) {
        let needs = |template: &Template| {
            template.parts.iter().any(|part| {
                matches!(part, Part::Placeholder { variable: Variable::Action, fallback: None })
            })
        };
        let required = match &rule.access {
            RuleAccess::Key(requirement) => requirement.templates(),
            _ => &[],
        };
        let mut conditions = rule.conditions.iter().flat_map(|condition| &condition.choices);
        if !required.iter().any(needs) && !conditions.any(needs) {
            return;
        }
        let place = place.field("methods");
        for (index, method) in rule.methods.iter().enumerate() {
            if is_token(method) && !self.methods.contains_key(method) {
                let message =
                    format!("`{method}` stands for no action, and this rule needs `{{action}}`");
                self.findings
                    .error(place.item(index), Code::Contradiction, message)
                    .help("add it to `methods`, or say in `require` what it needs");
            }
        }
    }
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
