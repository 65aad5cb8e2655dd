//! From the configuration as it is written to an [`Engine`], or to everything wrong with it.
//!
//! Compiling is a pure function of the configuration's bytes and the pepper: it must come out the
//! same in every VM of a proxy, since a worker in which it alone failed would serve unguarded.

mod credentials;
mod keys;
mod responses;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use self::credentials::NamedSource;
use crate::authenticate::Authenticator;
use crate::authorize::Authorizer;
use crate::condition::{Condition, Subject};
use crate::config::{
    Node, Object, RawMethodOverride, RawMode, RawPreflight, Word, is_quotable, word,
};
use crate::credential::Sources;
use crate::engine::Engine;
use crate::finding::{Code, Finding, Findings, Place, is_identifier};
use crate::http::is_token;
use crate::limits;
use crate::memory::{Memory, find_room};
use crate::method;
use crate::path::{EncodedSlashes, Normalization, PathTemplate};
use crate::query::QueryNames;
use crate::rule::{Requirement, Rule, Rules};
use crate::scope::{self, Scope};
use crate::session::Sessions;
use crate::source::Source;
use crate::spelling::Lengths;
use crate::target::TargetHeader;
use crate::template::{Part, Template, TemplateError, Variable, Vocabulary};
use crate::upstream::Readings;

/// The fields of a policy, in the order in which the documentation names them.
const FIELDS: [&str; 22] = [
    "name",
    "mode",
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
    "encoded_slashes",
    "upstream",
    "keep_target_headers",
    "upstream_headers",
    "response_headers",
    "publish",
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
        let findings = Findings::default();
        match policy(json, environment, findings.root()) {
            Some(mut engine) if !findings.has_errors() => {
                engine.warnings = findings.into_vec();
                Ok(engine)
            }
            _ => Err(findings.into_vec()),
        }
    }
}

/// What a configuration calls its policy, good or not, where that can be told.
pub fn policy_name(json: &[u8]) -> Option<Box<str>> {
    let findings = Findings::default();
    let policy = Object::document(str::from_utf8(json).ok()?, findings.root(), &FIELDS)?;
    let name: String = policy.field("name")?;
    is_policy_name(&name).then(|| name.into())
}

/// What pieces that are not full take, and the room that is looked for while keys are read, in bytes.
const SLACK: usize = 8 * 1024 * 1024;

/// What no room is looked for, in bytes.
const SMALL: usize = 2 * 1024 * 1024;

/// What the metrics of a key take, in bytes: three names of 64 bytes and what stands around a key's id, their
/// places, and what is counted.
const METRICS_OF_A_KEY: usize = 3 * (limits::IDENTIFIER_BYTES + 80) + 40;

/// What conditions, rules and headers must know of the rest of the policy.
#[derive(Debug)]
struct Known {
    /// The actions that methods stand for.
    methods: BTreeMap<Box<str>, Box<str>>,
    /// The attributes that some key has; `None` if there are no keys.
    attributes: Option<BTreeSet<Box<str>>>,
    /// Where a token may stand, in the order in which the policy lists it.
    sources: Vec<NamedSource>,
    /// Whether the whole policy only observes.
    is_observed: bool,
}

fn policy(json: &[u8], environment: &Environment<'_>, place: Place<'_>) -> Option<Engine> {
    if json.len() > limits::CONFIGURATION_BYTES {
        let message =
            format!("the configuration is larger than {} bytes", limits::CONFIGURATION_BYTES);
        place.error(Code::TooLarge, message);
        return None;
    }
    let Ok(json) = std::str::from_utf8(json) else {
        place.error(Code::InvalidJson, "not JSON: not UTF-8");
        return None;
    };
    let policy = Object::document(json, place, &FIELDS)?;

    let keys = policy.node("keys").map_or(0, |keys| keys.raw.get().len());
    if json.len().saturating_sub(keys) > limits::POLICY_BYTES {
        let message =
            format!("the policy besides its keys is larger than {} bytes", limits::POLICY_BYTES);
        place.error(Code::TooLarge, message);
        return None;
    }

    let rest = json.len().saturating_sub(keys).saturating_mul(limits::POLICY_GROWTH);
    if rest > SMALL && !find_room(rest, place) {
        return None;
    }
    let memory = Memory { text: json.len(), work: SLACK, policy: rest };

    let name = name(&policy);
    let mode = policy.word("mode");
    let is_observed = is_observed(mode, &policy, "nothing is refused: the policy only observes");
    let realm = realm(&policy);
    let named_sources = credentials::credentials(&policy);
    let forward_credential = policy.field("forward_credential");
    let methods = method_table(&policy);
    let types = keys::key_types(&policy);
    let every_type_has_a_prefix =
        !types.is_empty() && types.iter().all(|key_type| key_type.prefix.is_some());
    let keys::Keys { ring, every_key_has_a_type, attributes, mut memory } =
        keys::keys(&policy, types, environment, memory)?;
    let known = Known { methods, attributes, sources: named_sources, is_observed };
    let conditions = known.conditions(&policy, &[]);
    let mut query_names = QueryNames::default();
    let choices = conditions.iter().flat_map(|condition| &condition.choices);
    let conditions_read =
        choices.flat_map(Template::query_names).map(|name| query_names.add(name, true)).collect();
    let upstream = upstream(&policy).unwrap_or(Readings::CAUTIOUS);
    let rules = Rules::new(known.rules(&policy, &mut query_names), upstream.letters);
    let sessions = sessions(&policy);
    let preflight = policy.word("cors_preflight");
    let method_override = policy.word("method_override");
    let normalization: Option<Normalization> = policy.word("path_normalization");
    let encoded_slashes: Option<EncodedSlashes> = policy.word("encoded_slashes");
    let target_headers = target_headers(&policy);
    let upstream_headers = known.headers(&policy, "upstream_headers");
    let response_headers = known.headers(&policy, "response_headers");
    let all_sources: Vec<Source> = known.sources.into_iter().map(|named| named.source).collect();
    let sources = Sources::new(all_sources.iter());
    let wordings = responses::errors(&policy, &realm, &all_sources);
    let metrics_per_key = metrics(&policy).unwrap_or(ring.len() <= limits::KEYS_WITH_METRICS);
    // Keys that took too much were told of.
    if metrics_per_key && memory.to_replace() <= limits::VM_BYTES {
        let names = name.as_deref().map_or(0, str::len).saturating_mul(3);
        let of_keys = names.saturating_add(METRICS_OF_A_KEY).saturating_mul(ring.len());
        memory.policy = memory.policy.saturating_add(of_keys);
        memory.fits(place.field("metrics"));
    }

    let of_sources = sources.headers.iter().map(|source| &*source.name);
    let are_parameters = upstream.cookies && !query_names.is_empty();
    let of_cookies = (!sources.cookies.is_empty() || are_parameters).then_some("cookie");
    let choices = conditions.iter().flat_map(|condition| &condition.choices);
    let read = choices.chain(rules.all.iter().flat_map(Rule::templates));
    let of_policy = upstream_headers
        .iter()
        .map(|(name, _)| &**name)
        .chain(target_headers.iter().map(|header| header.0))
        .chain(method::OVERRIDES)
        .chain(of_sources)
        .chain(of_cookies)
        .chain(read.flat_map(Template::header_names))
        .chain(rules.all.iter().flat_map(|rule| &rule.headers).map(|header| &*header.name));
    let mut own_headers: Vec<Box<str>> = Vec::new();
    of_policy.for_each(|name| add(&mut own_headers, name));
    let listed = rules.all.iter().flat_map(|rule| &rule.methods);
    let mut asked_methods: Vec<Box<str>> = Vec::new();
    known.methods.keys().chain(listed).for_each(|method| add(&mut asked_methods, method));

    let forged = upstream_headers.iter().map(|(name, _)| &**name);
    let forged = forged.chain(target_headers.iter().map(|header| header.0));
    let forged_lengths = Lengths::of(forged.chain(method::OVERRIDES));

    Some(Engine {
        name,
        is_observed,
        sources: all_sources,
        conditions_read,
        forward_credential: forward_credential.unwrap_or(false),
        published: words(&policy, "publish"),
        metrics_per_key,
        memory,
        authenticator: Authenticator {
            sources,
            ring,
            every_token_has_a_shape: every_type_has_a_prefix && every_key_has_a_type,
            sessions,
        },
        authorizer: Authorizer {
            conditions,
            methods: known.methods.into_iter().collect(),
            default_requirement: Requirement::action(),
        },
        rules,
        query_names,
        preflight: preflight.unwrap_or(RawPreflight::Allow),
        method_override: method_override.unwrap_or(RawMethodOverride::Authorize),
        normalization: normalization.unwrap_or_default(),
        encoded_slashes: encoded_slashes.unwrap_or_default(),
        upstream,
        asked_methods,
        target_headers,
        forged_lengths,
        own_headers,
        upstream_headers,
        response_headers,
        wordings,
        warnings: Vec::new(),
    })
}

/// Adds a name, if it is new.
fn add(names: &mut Vec<Box<str>>, name: &str) {
    if !names.iter().any(|known| **known == *name) {
        names.push(name.into());
    }
}

/// The headers that a client's request loses, lest an upstream take another target by one.
fn target_headers(policy: &Object<'_, '_>) -> Vec<TargetHeader> {
    let kept = words(policy, "keep_target_headers");
    TargetHeader::all().filter(|header| !kept.contains(header)).collect()
}

/// The words of a list, each of which may stand there once.
fn words<W: Word + PartialEq>(policy: &Object<'_, '_>, field: &'static str) -> Vec<W> {
    let mut words = Vec::new();
    let list = policy.node(field);
    for (place, text) in list.iter().filter_map(Node::texts).flatten() {
        let Some(word) = word(&text, place) else { continue };
        if words.contains(&word) {
            place.error(Code::Duplicate, format!("`{text}` is listed twice"));
        }
        words.push(word);
    }
    words
}

/// What an upstream may read otherwise: all that any does, nothing, or what frameworks do that are named.
fn upstream(policy: &Object<'_, '_>) -> Option<Readings> {
    const WORDS: [(&str, Readings); 2] =
        [("cautious", Readings::CAUTIOUS), ("exact", Readings::EXACT)];
    let node = policy.node("upstream")?;
    if !node.raw.get().starts_with('[') {
        let text: String = node.read()?;
        let word = WORDS.iter().find(|(word, _)| *word == text).map(|(_, readings)| *readings);
        if word.is_none() {
            let message = format!("{} is not one of `cautious`, `exact`", quoted(&text));
            node.place
                .error(Code::InvalidValue, message)
                .help("frameworks are named in a list, such as `[rails]`");
        }
        return word;
    }
    let texts = node.texts()?;
    if texts.is_empty() {
        node.place.error(Code::Empty, "no framework is named").help("write `exact` for none");
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut readings = Readings::EXACT;
    for (place, text) in &texts {
        if seen.contains(&text.as_str()) {
            place.error(Code::Duplicate, format!("{} is listed twice", quoted(text)));
        }
        seen.push(text);
        readings = readings.and(word(text, *place).unwrap_or_default());
    }
    Some(readings)
}

fn metrics(policy: &Object<'_, '_>) -> Option<bool> {
    policy.node("metrics")?.object(&["per_key"])?.field("per_key")
}

fn sessions(policy: &Object<'_, '_>) -> Option<Sessions> {
    const FIELDS: [&str; 4] = ["payload", "id", "account", "scopes"];
    let node = policy.node("sessions")?;
    let sessions = node.object(&FIELDS)?;
    for name in ["payload", "id"].into_iter().filter(|name| !sessions.has(name)) {
        sessions.missing(name);
    }
    let [payload, id, account, scopes] = FIELDS.map(|name| {
        let text: Option<String> = sessions.field(name);
        if text.as_deref() == Some("") {
            sessions.place.field(name).error(Code::InvalidValue, "expected a name");
        }
        text.map(String::into_boxed_str)
    });
    Some(Sessions { payload: payload?, id: id?, account, scopes })
}

/// Whether a policy or a rule is observed only by its `mode`, of which `message` warns.
fn is_observed(mode: Option<RawMode>, object: &Object<'_, '_>, message: &'static str) -> bool {
    let is_observed = mode == Some(RawMode::Observe);
    if is_observed {
        let place = object.place.field("mode");
        place
            .warning(Code::NotEnforced, message)
            .help("leave `mode` out once the log shows no refusal that should not be");
    }
    is_observed
}

/// What parts this policy's metrics from another's. Without dots, which part the words of a metric's name.
fn name(policy: &Object<'_, '_>) -> Option<Box<str>> {
    let name: String = policy.field("name")?;
    if !is_policy_name(&name) {
        let bytes = limits::IDENTIFIER_BYTES;
        let message = format!("the name of a policy is 1 to {bytes} of `A-Za-z0-9_-`");
        policy.place.field("name").error(Code::InvalidIdentifier, message);
    }
    Some(name.into())
}

fn is_policy_name(name: &str) -> bool {
    is_identifier(name) && !name.contains('.')
}

fn realm(policy: &Object<'_, '_>) -> Box<str> {
    let realm: String = policy.field("realm").unwrap_or_else(|| "api".to_owned());
    if realm.is_empty() || !realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        let message = "a realm is 1 or more printable ASCII characters";
        policy.place.field("realm").error(Code::InvalidHeader, message);
    }
    realm.replace('\\', "\\\\").replace('"', "\\\"").into()
}

/// The action that each method stands for.
fn method_table(policy: &Object<'_, '_>) -> BTreeMap<Box<str>, Box<str>> {
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
    let Some(fields) = policy.entries("methods") else { return table };
    for (method, node) in fields.iter() {
        let Some(action) = node.read::<String>() else { continue };
        check_method(method, node.place);
        if !scope::is_word(&action) {
            node.place
                .error(Code::InvalidScope, format!("`{action}` is not an action"))
                .help("an action is a word of `A-Za-z0-9_.-`, such as `read`");
        }
        table.insert(method.into(), action.into());
    }
    table
}

fn check_method(method: &str, place: Place<'_>) {
    if !is_token(method) {
        place.error(Code::InvalidMethod, format!("`{method}` is not an HTTP method"));
    } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let message = format!("as written, `{method}` matches no request");
        place
            .error(Code::InvalidMethod, message)
            .help(format!("methods are case-sensitive; write `{}`", method.to_ascii_uppercase()));
    }
}

impl Known {
    /// Compiles the `where` of the policy or of a rule, whose templates may name parameters of its paths.
    fn conditions(&self, object: &Object<'_, '_>, paths: &[PathTemplate]) -> Vec<Condition> {
        let Some(fields) = object.entries("where") else { return Vec::new() };
        if fields.len() == 0 {
            fields
                .node
                .place
                .error(Code::Empty, "this condition asks for nothing")
                .help("leave `where` out");
        }
        let mut conditions = Vec::new();
        for (name, node) in fields.iter() {
            let subject = Subject::named(name);
            if !is_identifier(name) {
                identifier("an attribute name", node.place);
            } else if matches!(subject, Subject::Attribute(_)) {
                self.attribute(name, node.place);
            }
            let (is_negated, choices) = wanted(node, paths);
            conditions.push(Condition { subject, is_negated, choices });
        }
        conditions
    }

    /// Warns of an attribute that no key has, which would be a condition that nobody meets or a
    /// header that nobody gets.
    fn attribute(&self, name: &str, place: Place<'_>) {
        if let Some(attributes) = &self.attributes
            && !attributes.contains(name)
        {
            place
                .warning(Code::UnknownAttribute, format!("no key has the attribute `{name}`"))
                .did_you_mean(name, attributes.iter().map(|known| &**known));
        }
    }
}

/// What a condition asks for: one of some values, or under `not` none of them.
fn wanted(node: Node<'_, '_>, paths: &[PathTemplate]) -> (bool, Vec<Template>) {
    if !node.raw.get().starts_with('{') {
        return (false, choices(node, paths, "no key could meet"));
    }
    let fields = node.object(&["not"]);
    let not = fields.as_ref().and_then(|fields| {
        let not = fields.node("not");
        if not.is_none() {
            fields.missing("not").help("such as `{not: [free]}`");
        }
        not
    });
    (true, not.map(|not| choices(not, paths, "every key meets")).unwrap_or_default())
}

/// The values of a condition: one string, or a list of them.
fn choices(node: Node<'_, '_>, paths: &[PathTemplate], who: &str) -> Vec<Template> {
    if !node.raw.get().starts_with('[') {
        let text: Option<String> = node.read();
        let template =
            text.and_then(|text| template_of(Vocabulary::Request, &text, node.place, paths));
        return template.into_iter().collect();
    }
    let Some(values) = node.texts() else { return Vec::new() };
    if values.len() > limits::GRANTS {
        node.place.too_many("values", limits::GRANTS);
        return Vec::new();
    }
    if values.is_empty() {
        node.place.error(Code::Empty, format!("{who} a condition without values"));
    }
    let compile =
        |(place, text): &(Place<'_>, String)| template_of(Vocabulary::Request, text, *place, paths);
    let choices: Vec<_> = values.iter().filter_map(compile).collect();
    let templates = choices.iter().filter(|choice| choice.as_literal().is_none());
    if templates.count() > limits::TEMPLATES {
        node.place.too_many("templates", limits::TEMPLATES);
    }
    choices
}

/// A template over what a request holds, the parameters of these paths included.
fn template_of(
    vocabulary: Vocabulary,
    text: &str,
    place: Place<'_>,
    paths: &[PathTemplate],
) -> Option<Template> {
    let parameters: Vec<&str> = paths.iter().flat_map(PathTemplate::parameters).collect();
    let template = template(text, vocabulary, place, &parameters)?;
    for part in &template.parts {
        let Part::Placeholder { variable: Variable::Parameter(name), fallback } = part else {
            continue;
        };
        let has = |path: &PathTemplate| path.parameters().any(|parameter| parameter == &**name);
        if !parameters.contains(&&**name) {
            let message = format!("`{{{name}}}` is not a parameter of this rule's paths");
            let known = parameters.iter().copied().chain(["action", "method"]);
            place.error(Code::UnknownParameter, message).did_you_mean(name, known);
        } else if fallback.is_none() && !paths.iter().all(has) {
            let message =
                format!("a path of this rule has no `{{{name}}}`: nobody meets this there");
            place
                .warning(Code::UnknownParameter, message)
                .help("write a rule of its own for that path");
        }
    }
    Some(template)
}

fn template(
    text: &str,
    vocabulary: Vocabulary,
    place: Place<'_>,
    parameters: &[&str],
) -> Option<Template> {
    match Template::parse(text, vocabulary) {
        Ok(template) => Some(template),
        Err(error) => {
            match &error {
                TemplateError::Unclosed => {
                    place.error(Code::InvalidTemplate, error.to_string());
                }
                TemplateError::Unknown { name, .. } => {
                    let known = error.known().iter().chain(parameters).copied();
                    place
                        .error(Code::UnknownParameter, error.to_string())
                        .did_you_mean(name, known);
                }
            }
            None
        }
    }
}

fn scope(text: &str, place: Place<'_>) -> Option<Scope> {
    match Scope::parse(text) {
        Ok(scope) => Some(scope),
        Err(error) => {
            place.error(Code::InvalidScope, error.to_string());
            None
        }
    }
}

fn identifier(what: &str, place: Place<'_>) {
    let message = format!("{what} is 1 to {} of `A-Za-z0-9_.-`", limits::IDENTIFIER_BYTES);
    place.error(Code::InvalidIdentifier, message);
}

/// A text in backticks, or a word for one that may be a token in the wrong place.
fn quoted(text: &str) -> String {
    if is_quotable(text) { format!("`{text}`") } else { "this".to_owned() }
}
