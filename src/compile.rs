//! From the configuration as it is written to an [`Engine`], or to everything wrong with it.
//!
//! Compiling is a pure function of the configuration's bytes and the pepper: it must come out the
//! same in every VM of a proxy, since a worker in which it alone failed would serve unguarded.

mod keys;
mod responses;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::condition::{Condition, Subject};
use crate::config::{
    Entries, Object, RawMethodOverride, RawPreflight, is_quotable, missing_field, parse, strings,
    word,
};
use crate::credential::{HeaderSource, Sources};
use crate::engine::Engine;
use crate::finding::{Code, Finding, Findings, Place, is_identifier};
use crate::http::is_token;
use crate::limits;
use crate::method;
use crate::path::{Normalization, PathTemplate};
use crate::query::QueryNames;
use crate::rule::{Requirement, Rule, Rules};
use crate::scope::{self, Scope};
use crate::session::Sessions;
use crate::target::TargetHeader;
use crate::template::{Part, Template, TemplateError, Variable, Vocabulary};

/// The fields of a policy, in the order in which the documentation names them.
const FIELDS: [&str; 18] = [
    "name",
    "realm",
    "credentials",
    "forward_credential",
    "key_types",
    "keys",
    "where",
    "methods",
    "rules",
    "sessions",
    "cors_preflight",
    "method_override",
    "path_normalization",
    "keep_target_headers",
    "upstream_headers",
    "response_headers",
    "errors",
    "metrics",
];

/// What a configuration is compiled with besides its own text.
#[derive(Clone, Copy, Default)]
pub struct Environment<'a> {
    /// The secret under which `hmac-sha256` hashes were made: the VM's `LATCHKEY_PEPPER`. Empty is
    /// the same as none.
    pub pepper: Option<&'a [u8]>,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Environment(…)")
    }
}

impl Engine {
    /// Compiles a policy, given as JSON (RFC 8259).
    ///
    /// # Errors
    /// Every finding, warnings included, if one of them is an error. Findings quote names and
    /// patterns of the configuration, never a hash and nothing that could be a token.
    pub fn compile(json: &[u8], environment: &Environment<'_>) -> Result<Engine, Vec<Finding>> {
        let mut compiler = Compiler::default();
        let engine = compiler.policy(json, environment);
        match engine {
            Some(mut engine) if !compiler.findings.has_errors() => {
                engine.warnings = compiler.findings.into_vec();
                Ok(engine)
            }
            _ => Err(compiler.findings.into_vec()),
        }
    }
}

/// Collects findings on the way, and what later sections must know of earlier ones.
#[derive(Debug, Default)]
struct Compiler {
    findings: Findings,
    /// The actions that methods stand for.
    methods: BTreeMap<Box<str>, Box<str>>,
    /// The attributes that some key has.
    attributes: BTreeSet<Box<str>>,
    key_count: usize,
}

impl Compiler {
    fn policy(&mut self, json: &[u8], environment: &Environment<'_>) -> Option<Engine> {
        if json.len() > limits::CONFIGURATION_BYTES {
            let message =
                format!("the configuration is larger than {} bytes", limits::CONFIGURATION_BYTES);
            self.findings.error(Place::ROOT, Code::TooLarge, message);
            return None;
        }
        let Ok(json) = std::str::from_utf8(json) else {
            self.findings.error(Place::ROOT, Code::InvalidJson, "not JSON: not UTF-8");
            return None;
        };
        let policy = Object::document(json, &FIELDS, &mut self.findings)?;

        let keys = policy.raw("keys").map_or(0, |keys| keys.get().len());
        if json.len().saturating_sub(keys) > limits::POLICY_BYTES {
            let message = format!(
                "the policy besides its keys is larger than {} bytes",
                limits::POLICY_BYTES
            );
            self.findings.error(Place::ROOT, Code::TooLarge, message);
            return None;
        }

        let name = self.name(&policy);
        let realm = self.realm(&policy);
        let sources = self.credentials(&policy);
        let forward_credential = self.value(&policy, "forward_credential");
        self.methods = self.method_table(&policy);
        let types = self.key_types(&policy);
        let every_type_has_a_prefix =
            !types.is_empty() && types.iter().all(|own| own.prefix.is_some());
        let (ring, every_key_has_a_type) = self.keys(&policy, types, environment);
        let conditions = self.conditions(&policy, Place::ROOT, &[]);
        let mut query_names = QueryNames::default();
        let choices = conditions.iter().flat_map(|condition| &condition.choices);
        let conditions_read =
            choices.flat_map(Template::query_names).map(|name| query_names.add(name)).collect();
        let rules = Rules::new(self.rules(&policy), &mut query_names);
        let sessions = self.sessions(&policy);
        let preflight = policy.word("cors_preflight", Place::ROOT, &mut self.findings);
        let method_override = policy.word("method_override", Place::ROOT, &mut self.findings);
        let normalization: Option<Normalization> =
            policy.word("path_normalization", Place::ROOT, &mut self.findings);
        let target_headers = self.target_headers(&policy);
        let upstream_headers = self.headers(&policy, "upstream_headers");
        let response_headers = self.headers(&policy, "response_headers");
        let wordings = self.errors(&policy, realm, &sources);
        let metrics_per_key = self.metrics(&policy);

        let of_sources = sources.headers.iter().map(|source| &*source.name);
        let of_cookies = (!sources.cookies.is_empty()).then_some("cookie");
        let choices = conditions.iter().flat_map(|condition| &condition.choices);
        let read = choices.chain(rules.all.iter().flat_map(Rule::templates));
        let own_headers = upstream_headers
            .iter()
            .map(|(name, _)| &**name)
            .chain(target_headers.iter().map(|header| header.0))
            .chain(method::OVERRIDES)
            .chain(of_sources)
            .chain(of_cookies)
            .chain(read.flat_map(Template::header_names))
            .map(Into::into)
            .collect();

        Some(Engine {
            name,
            conditions_read,
            sources,
            forward_credential: forward_credential.unwrap_or(false),
            metrics_per_key: metrics_per_key.unwrap_or(ring.len() <= limits::KEYS_WITH_METRICS),
            ring,
            every_token_has_a_shape: every_type_has_a_prefix && every_key_has_a_type,
            conditions,
            methods: std::mem::take(&mut self.methods),

            rules,
            query_names,
            default_requirement: Requirement::action(),
            sessions,
            preflight: preflight.unwrap_or(RawPreflight::Allow),
            method_override: method_override.unwrap_or(RawMethodOverride::Authorize),
            normalization: normalization.unwrap_or_default(),
            target_headers,
            own_headers,
            upstream_headers,
            response_headers,
            wordings,
            warnings: Vec::new(),
        })
    }

    /// A top-level field, if it is there and has the right shape.
    fn value<'a, T: Deserialize<'a>>(&mut self, policy: &Object<'a>, name: &str) -> Option<T> {
        policy.field(name, Place::ROOT, &mut self.findings)
    }

    /// The headers that a client's request loses, lest an upstream take another target by one.
    fn target_headers(&mut self, policy: &Object<'_>) -> Vec<TargetHeader> {
        const FIELD: &str = "keep_target_headers";
        let texts = policy.strings(FIELD, Place::ROOT, &mut self.findings).unwrap_or_default();
        let mut kept = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let place = Place::ROOT.field(FIELD);
            let place = place.item(index);
            let Some(header) = word(text, place, &mut self.findings) else { continue };
            if kept.contains(&header) {
                let message = format!("`{text}` stands twice");
                self.findings.error(place, Code::Duplicate, message);
            }
            kept.push(header);
        }
        TargetHeader::all().filter(|header| !kept.contains(header)).collect()
    }

    fn metrics(&mut self, policy: &Object<'_>) -> Option<bool> {
        let place = Place::ROOT.field("metrics");
        let raw = policy.raw("metrics")?;
        let metrics = Object::parse(raw, place, &["per_key"], &mut self.findings)?;
        metrics.field("per_key", place, &mut self.findings)
    }

    fn sessions(&mut self, policy: &Object<'_>) -> Option<Sessions> {
        const FIELDS: [&str; 4] = ["payload", "id", "account", "scopes"];
        let place = Place::ROOT.field("sessions");
        let raw = policy.raw("sessions")?;
        let findings = &mut self.findings;
        let raw = Object::parse(raw, place, &FIELDS, findings)?;
        for name in ["payload", "id"].into_iter().filter(|name| !raw.has(name)) {
            missing_field(name, place, findings);
        }
        let mut names = FIELDS.map(|name| {
            let text: Option<String> = raw.field(name, place, findings);
            if text.as_deref() == Some("") {
                findings.error(place.field(name), Code::InvalidValue, "expected a name");
            }
            text.map(String::into_boxed_str)
        });
        let [payload, id, account, scopes] = names.each_mut().map(Option::take);
        Some(Sessions { payload: payload?, id: id?, account, scopes })
    }

    /// What parts this policy's metrics from another's. Without dots, which part the words of a metric's name.
    fn name(&mut self, policy: &Object<'_>) -> Option<Box<str>> {
        let name: String = self.value(policy, "name")?;
        if !is_identifier(&name) || name.contains('.') {
            let bytes = limits::IDENTIFIER_BYTES;
            let message = format!("the name of a policy is 1 to {bytes} of `A-Za-z0-9_-`");
            self.findings.error(Place::ROOT.field("name"), Code::InvalidIdentifier, message);
        }
        Some(name.into())
    }

    fn realm(&mut self, policy: &Object<'_>) -> Box<str> {
        let realm: String = self.value(policy, "realm").unwrap_or_else(|| "api".to_owned());
        if realm.is_empty() || !realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            let place = Place::ROOT.field("realm");
            let message = "a realm is 1 or more printable ASCII characters";
            self.findings.error(place, Code::InvalidHeader, message);
        }
        realm.replace('\\', "\\\\").replace('"', "\\\"").into()
    }

    fn credentials(&mut self, policy: &Object<'_>) -> Sources {
        let place = Place::ROOT.field("credentials");
        let mut sources = Sources::default();
        if !policy.has("credentials") {
            missing_field("credentials", Place::ROOT, &mut self.findings).help(
                "say where a token may stand, such as `[{header: authorization, scheme: Bearer}]`",
            );
        }
        let list: Option<Vec<&RawValue>> = self.value(policy, "credentials");
        if list.as_ref().is_some_and(Vec::is_empty) {
            let message = "a policy needs at least one credential source";
            self.findings.error(place, Code::Empty, message);
        }
        let list = list.unwrap_or_default();
        if list.len() > limits::HEADERS {
            self.too_many("credential sources", limits::HEADERS, place);
            return sources;
        }
        for (index, raw) in list.into_iter().enumerate() {
            self.credential(raw, place.item(index), &mut sources);
        }
        sources
    }

    fn credential(&mut self, raw: &RawValue, place: Place<'_>, sources: &mut Sources) {
        const FIELDS: [&str; 4] = ["header", "scheme", "query", "cookie"];
        let findings = &mut self.findings;
        let Some(raw) = Object::parse(raw, place, &FIELDS, findings) else { return };
        let [header, scheme, query, cookie] =
            FIELDS.map(|name| raw.field::<String>(name, place, findings));
        match FIELDS.map(|name| raw.has(name)) {
            [true, _, false, false] => {
                if let Some(name) = header {
                    header_source(&name, scheme, place, sources, findings);
                }
            }
            [false, false, true, false] => {
                let name = query.unwrap_or_default();
                if name.is_empty() {
                    let message = "a query parameter needs a name";
                    findings.error(place.field("query"), Code::InvalidValue, message);
                }
                if sources.query.iter().any(|own| **own == *name) {
                    let message = format!("query parameter `{name}` stands twice");
                    findings.error(place, Code::Duplicate, message);
                }
                sources.query.push(name.into());
            }
            [false, false, false, true] => {
                let name = cookie.unwrap_or_default();
                if !is_token(&name) {
                    let message = format!("{} is no cookie name", quoted(&name));
                    findings.error(place.field("cookie"), Code::InvalidHeader, message);
                }
                if sources.cookies.iter().any(|own| **own == *name) {
                    let message = format!("cookie `{name}` stands twice");
                    findings.error(place, Code::Duplicate, message);
                }
                sources.cookies.push(name.into());
            }
            _ => {
                let message = "a credential source is one of `header` (with or without `scheme`), \
                               `query` and `cookie`";
                findings.error(place, Code::Contradiction, message);
            }
        }
    }

    /// The action that each method stands for.
    fn method_table(&mut self, policy: &Object<'_>) -> BTreeMap<Box<str>, Box<str>> {
        const BUILT_IN: [(&str, &str); 7] = [
            ("DELETE", "delete"),
            ("GET", "read"),
            ("HEAD", "read"),
            ("OPTIONS", "read"),
            ("PATCH", "update"),
            ("POST", "create"),
            ("PUT", "update"),
        ];
        let mut table = BTreeMap::new();
        for (method, action) in BUILT_IN {
            table.insert(method.into(), action.into());
        }
        let place = Place::ROOT.field("methods");
        let own: Option<Entries<&RawValue>> = self.value(policy, "methods");
        for (method, raw) in own.into_iter().flat_map(|own| own.0) {
            let place = place.field(&method);
            let Some(action) = parse::<String>(raw, place, &mut self.findings) else { continue };
            self.method(&method, place);
            if !scope::is_word(&action) {
                let message = format!("`{action}` is no action");
                self.findings
                    .error(place, Code::InvalidScope, message)
                    .help("an action is a word of `A-Za-z0-9_.-`, such as `read`");
            }
            table.insert(method.into(), action.into());
        }
        table
    }

    fn method(&mut self, method: &str, place: Place<'_>) {
        if !is_token(method) {
            let message = format!("`{method}` is no HTTP method");
            self.findings.error(place, Code::InvalidMethod, message);
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let message = format!("`{method}` would match no request as methods are written");
            self.findings.error(place, Code::InvalidMethod, message).help(format!(
                "methods are case-sensitive; write `{}`",
                method.to_ascii_uppercase()
            ));
        }
    }

    /// Compiles the `where` of the policy or of a rule, whose templates may name parameters of its paths.
    fn conditions(
        &mut self,
        object: &Object<'_>,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Vec<Condition> {
        let raw: Option<Entries<&RawValue>> = object.field("where", place, &mut self.findings);
        let place = place.field("where");
        if raw.as_ref().is_some_and(|raw| raw.0.is_empty()) {
            self.findings
                .error(place, Code::Empty, "a condition that asks for nothing")
                .help("leave `where` out");
        }
        let mut conditions = Vec::new();
        for (name, raw) in raw.into_iter().flat_map(|raw| raw.0) {
            let place = place.field(&name);
            let subject = Subject::named(&name);
            if !is_identifier(&name) {
                self.identifier("an attribute name", place);
            } else if matches!(subject, Subject::Attribute(_)) {
                self.known_attribute(&name, place);
            }
            let choices = self.choices(raw, place, paths);
            conditions.push(Condition { subject, choices });
        }
        conditions
    }

    /// The values of a condition: one string, or a list of them.
    fn choices(
        &mut self,
        raw: &RawValue,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Vec<Template> {
        if !raw.get().starts_with('[') {
            let text: Option<String> = parse(raw, place, &mut self.findings);
            let template =
                text.and_then(|text| self.template_of(Vocabulary::Request, &text, place, paths));
            return template.into_iter().collect();
        }
        let values = strings(raw, place, &mut self.findings).unwrap_or_default();
        if values.len() > limits::GRANTS {
            self.too_many("values", limits::GRANTS, place);
            return Vec::new();
        }
        if values.is_empty() {
            let message = "no key could meet a condition without values";
            self.findings.error(place, Code::Empty, message);
        }
        let compile = |(index, text): (usize, &String)| {
            self.template_of(Vocabulary::Request, text, place.item(index), paths)
        };
        let choices: Vec<_> = values.iter().enumerate().filter_map(compile).collect();
        let templates = choices.iter().filter(|choice| choice.as_literal().is_none());
        if templates.count() > limits::TEMPLATES {
            self.too_many("templates", limits::TEMPLATES, place);
        }
        choices
    }

    /// Warns of an attribute that no key has, which would be a condition that nobody meets or a
    /// header that nobody gets.
    fn known_attribute(&mut self, name: &str, place: Place<'_>) {
        if self.key_count > 0 && !self.attributes.contains(name) {
            let message = format!("no key has the attribute `{name}`");
            self.findings
                .warning(place, Code::UnknownAttribute, message)
                .did_you_mean(name, self.attributes.iter().map(|known| &**known));
        }
    }

    /// A template over what a request holds, the parameters of these paths included.
    fn template_of(
        &mut self,
        vocabulary: Vocabulary,
        text: &str,
        place: Place<'_>,
        paths: &[PathTemplate],
    ) -> Option<Template> {
        let parameters: Vec<&str> = paths.iter().flat_map(PathTemplate::parameters).collect();
        let template = self.template(text, vocabulary, place, &parameters)?;
        for part in &template.parts {
            let Part::Placeholder { variable: Variable::Parameter(name), fallback } = part else {
                continue;
            };
            let has = |path: &PathTemplate| path.parameters().any(|own| own == &**name);
            if !parameters.contains(&&**name) {
                let message = format!("`{{{name}}}` is no parameter of this rule's paths");
                let known = parameters.iter().copied().chain(["action", "method"]);
                self.findings
                    .error(place, Code::UnknownParameter, message)
                    .did_you_mean(name, known);
            } else if fallback.is_none() && !paths.iter().all(has) {
                let message =
                    format!("a path of this rule has no `{{{name}}}`: nobody meets this there");
                self.findings
                    .warning(place, Code::UnknownParameter, message)
                    .help("write a rule of its own for that path");
            }
        }
        Some(template)
    }

    fn template(
        &mut self,
        text: &str,
        vocabulary: Vocabulary,
        place: Place<'_>,
        parameters: &[&str],
    ) -> Option<Template> {
        match Template::parse(text, vocabulary) {
            Ok(template) => Some(template),
            Err(error) => {
                let known = error.known().iter().chain(parameters).copied();
                match &error {
                    TemplateError::Unclosed => {
                        self.findings.error(place, Code::InvalidTemplate, error.to_string());
                    }
                    TemplateError::Unknown { name, .. } => {
                        self.findings
                            .error(place, Code::UnknownParameter, error.to_string())
                            .did_you_mean(name, known);
                    }
                }
                None
            }
        }
    }

    fn scope(&mut self, text: &str, place: Place<'_>) -> Option<Scope> {
        match Scope::parse(text) {
            Ok(scope) => Some(scope),
            Err(error) => {
                self.findings.error(place, Code::InvalidScope, error.to_string());
                None
            }
        }
    }

    fn identifier(&mut self, what: &str, place: Place<'_>) {
        let message = format!("{what} is 1 to {} of `A-Za-z0-9_.-`", limits::IDENTIFIER_BYTES);
        self.findings.error(place, Code::InvalidIdentifier, message);
    }

    fn too_many(&mut self, what: &str, most: usize, place: Place<'_>) {
        let message = format!("more than {most} {what}");
        self.findings.error(place, Code::TooLarge, message);
    }
}

/// A text in backticks, or a word for one that may be a token in the wrong place.
fn quoted(text: &str) -> String {
    if is_quotable(text) { format!("`{text}`") } else { "this".to_owned() }
}

/// Adds a header to the places where a token may stand.
fn header_source(
    name: &str,
    scheme: Option<String>,
    place: Place<'_>,
    sources: &mut Sources,
    findings: &mut Findings,
) {
    let name = name.to_ascii_lowercase();
    const OTHERS: [&str; 4] = ["content-length", "cookie", "host", "x-request-id"];
    if !is_token(&name) || OTHERS.contains(&name.as_str()) {
        let message = format!("{} is no header that can carry a token", quoted(&name));
        findings.error(place.field("header"), Code::InvalidHeader, message);
    }
    if let Some(scheme) = &scheme
        && !is_token(scheme)
    {
        let message = format!("{} is no authentication scheme", quoted(scheme));
        findings.error(place.field("scheme"), Code::InvalidHeader, message);
    }
    let Some(known) = sources.headers.iter_mut().find(|header| *header.name == *name) else {
        let schemes = scheme.into_iter().map(Into::into).collect();
        sources.headers.push(HeaderSource { name: name.into(), schemes });
        return;
    };
    match scheme {
        Some(scheme) if !known.schemes.is_empty() => {
            if known.schemes.iter().any(|own| own.eq_ignore_ascii_case(&scheme)) {
                let message = format!("`{name}` with scheme `{scheme}` stands twice");
                findings.error(place, Code::Duplicate, message);
            }
            known.schemes.push(scheme.into());
        }
        None if known.schemes.is_empty() => {
            findings.error(place, Code::Duplicate, format!("`{name}` stands twice"));
        }
        _ => {
            let message = format!("`{name}` stands both with a scheme and without one");
            findings.error(place, Code::Contradiction, message);
        }
    }
}
