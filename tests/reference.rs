//! A second decider, as naive as can be: it reads the policy as plain JSON, looks at every rule and
//! every key in turn, and shares nothing with the engine. Both must say the same of generated
//! policies and of requests that nearly fit them. Then laws that hold of every policy.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and what a policy lacks is `null`"
)]

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use latchkey::{Body, Engine, Environment, Reason};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The time at which requests are made.
const NOW: i64 = 1_780_272_000;

/// A request as a client makes it.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    host: &'static str,
    path: String,
    query: Vec<&'static str>,
    headers: Vec<(&'static str, String)>,
    /// The client's address and port, where they can be told.
    client: Option<&'static str>,
}

impl Asked {
    fn target(&self) -> String {
        match self.query.as_slice() {
            [] => self.path.clone(),
            query => format!("{}?{}", self.path, query.join("&")),
        }
    }

    fn header_map(&self) -> Vec<(String, Vec<u8>)> {
        let mut map = vec![
            (":method".to_owned(), self.method.into()),
            (":path".to_owned(), self.target().into()),
            (":authority".to_owned(), self.host.into()),
        ];
        let own = self.headers.iter();
        map.extend(own.map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())));
        map
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let own = self.headers.iter().filter(|(own, _)| *own == name);
        own.map(|(_, value)| value.as_str()).collect()
    }

    /// What stands behind the first `;` of the path, decoded.
    fn behind_semicolon(&self) -> Option<String> {
        let path = self.path.replace("%3B", ";").replace("%3b", ";");
        path.split_once(';').map(|(_, behind)| decoded(behind))
    }

    /// How many occurrences of a parameter every upstream sees.
    fn seen_by_all(&self, name: &str) -> usize {
        let from = usize::from(self.behind_semicolon().is_some());
        let query = self.query.iter().skip(from).copied().collect();
        Asked { query, ..self.clone() }.parameters(name).len()
    }

    /// The decoded values of a query parameter.
    fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = self.query.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .map(|(own, value)| {
                (decoded(&own.replace('+', " ")), decoded(&value.replace('+', " ")))
            })
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value)
            .collect()
    }
}

/// What the engine says.
fn engine_says(policy: &Value, asked: &Asked, now: Option<i64>) -> String {
    Compiled::new(policy).says(asked, now)
}

/// A policy, compiled once for many requests.
struct Compiled(Engine);

impl Compiled {
    fn new(policy: &Value) -> Compiled {
        let json = policy.to_string();
        match Engine::compile(json.as_bytes(), &Environment::default()) {
            Ok(engine) => Compiled(engine),
            Err(findings) => panic!("{json}: {findings:#?}"),
        }
    }

    fn says(&self, asked: &Asked, now: Option<i64>) -> String {
        self.says_of(asked, "", now)
    }

    /// The same of one with a body.
    fn says_of(&self, asked: &Asked, body: &str, now: Option<i64>) -> String {
        let headers = asked.header_map();
        let headers = latchkey_cli::cases::borrowed(&headers);
        let clock = || now;
        let address = || asked.client.map(|client| client.as_bytes().to_vec());
        let body = Body::Whole(body.as_bytes());
        let request = latchkey::Request {
            address: &address,
            body,
            ..latchkey::Request::new(&headers, &clock)
        };
        self.0.decide(&request).to_string()
    }
}

/// What the design says.
fn reference_says(policy: &Value, asked: &Asked, now: Option<i64>) -> String {
    let mut key = None;
    match judge(policy, asked, now, &mut key) {
        Ok("key") => format!("allow key:{}", key.unwrap_or_default()),
        Ok(access) => format!("allow {access}"),
        Err(reason) => match key {
            Some(key) => format!("deny {reason} key:{key}"),
            None => format!("deny {reason}"),
        },
    }
}

fn judge(
    policy: &Value,
    asked: &Asked,
    now: Option<i64>,
    key_id: &mut Option<String>,
) -> Result<&'static str, &'static str> {
    let mut methods = vec![asked.method.to_owned()];
    if text(&policy["method_override"]) == "authorize" {
        let overrides = asked.headers.iter().filter(|(name, _)| is_an_override(name));
        for method in overrides.flat_map(|(_, value)| value.split(',')) {
            let method = method.trim().to_ascii_uppercase();
            if !method.is_empty() && !methods.contains(&method) {
                methods.push(method);
            }
        }
    }

    // 1. Preflight: nothing in it may ask for another method, where somebody may listen.
    let is_overridden = asked.headers.iter().any(|(name, _)| is_an_override(name));
    if text(&policy["cors_preflight"]) == "allow"
        && asked.method == "OPTIONS"
        && asked.header("origin").is_some()
        && asked.header("access-control-request-method").is_some()
        && (text(&policy["method_override"]) == "remove" || !is_overridden)
    {
        return Ok("preflight");
    }

    // 2. The path, in each way in which an upstream could read it, the host and the query.
    let rules = items(&policy["rules"]);
    let mut readings = vec![Vec::new()];
    if rules.iter().any(|rule| rule["paths"].is_array()) {
        let normalize = text(&policy["path_normalization"]) == "normalize";
        let keep = text(&policy["encoded_slashes"]) == "keep";
        let segments = safe_segments(&asked.path, normalize, keep).ok_or("malformed_path")?;
        let before = |segment: &String| segment.split(';').next().unwrap_or_default().to_owned();
        let without_parameters: Vec<String> = segments.iter().map(before).collect();
        let mut up_to_the_first = Vec::new();
        for segment in &segments {
            up_to_the_first.push(before(segment));
            if segment.contains(';') {
                break;
            }
        }
        readings = vec![segments, without_parameters, up_to_the_first];
        readings.dedup();
    }
    let looks_at_hosts = rules.iter().any(|rule| rule["hosts"].is_array());
    if looks_at_hosts && !is_a_host(asked.host) {
        return Err("malformed_host");
    }
    if reads_in_another_spelling(&policy["where"], asked) {
        return Err("ambiguous_query");
    }

    // 3. The rule.
    let mut decisive = Vec::new();
    for segments in &readings {
        for method in &methods {
            let mut is_decided = false;
            for rule in rules.iter().filter(|rule| is_about(rule, method, asked, segments)) {
                if reads_in_another_spelling(rule, asked) {
                    return Err("ambiguous_query");
                }
                // One that fits some occurrences of a parameter only does not keep the next from deciding.
                let (by_headers, surely) = headers_fit(rule, asked);
                if by_headers
                    && query_fits(rule, asked, |mut occurrences, fits| occurrences.any(fits))
                {
                    decisive.push((segments, method, Some(rule)));
                    let all_see = |name: &String| asked.seen_by_all(name) > 0;
                    is_decided = surely
                        && query_fits(rule, asked, |mut occurrences, fits| occurrences.all(fits))
                        && rule["query"].as_object().is_none_or(|own| own.keys().all(all_see));
                }
                if is_decided {
                    break;
                }
            }
            if !is_decided {
                decisive.push((segments, method, None));
            }
        }
    }
    // A slash that parts no segments is for parameters of one segment only.
    let is_misplaced = |(segments, _, rule): &(&Vec<String>, &String, Option<&Value>)| {
        let takes = |path: &Value| {
            let mut parts = parts(text(path)).into_iter();
            path_matches(text(path), segments)
                && segments.iter().all(|segment| {
                    let part = parts.next().unwrap_or("**");
                    !segment.contains(['/', '\\']) || !(part == "**" || part.ends_with("...}"))
                })
        };
        segments.iter().any(|segment| segment.contains(['/', '\\']))
            && !rule.is_some_and(|rule| items(&rule["paths"]).iter().any(takes))
    };
    if decisive.iter().any(is_misplaced) {
        return Err("malformed_path");
    }
    let is_public = |rule: &Option<&Value>| rule.is_some_and(|rule| rule["access"] == "public");
    let is_known = |(segments, method, rule): &(&Vec<String>, &String, Option<&Value>)| {
        Asks { policy, asked, rule: *rule, method, segments }.knows_the_method()
    };
    let are_known = decisive.iter().all(is_known);
    if decisive.iter().all(|(.., rule)| is_public(rule)) {
        return are_known.then_some("public").ok_or("method_not_allowed");
    }
    // A credential could stand in what an upstream reads differently.
    if is_in_another_charset(asked) {
        return Err("ambiguous_query");
    }

    // 5. The credential, which counts only where every rule that decides says so.
    let mut presented = presented(policy, asked);
    if presented.len() == 1 && !decisive.iter().all(|(.., rule)| counts(policy, *rule, asked)) {
        presented.clear();
    }
    let is_open = |rule: &Option<&Value>| {
        rule.is_some_and(|rule| ["optional", "public"].contains(&text(&rule["access"])))
    };
    let token = match presented.as_slice() {
        [] if decisive.iter().all(|(.., rule)| is_open(rule)) => {
            if has_a_misspelt_credential(policy, asked) {
                return Err("ambiguous_credential");
            }
            return are_known.then_some("public").ok_or("method_not_allowed");
        }
        [] => return Err("missing_credential"),
        [token] => token,
        _ => return Err("ambiguous_credential"),
    };
    let is_visible = token.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if token.len() > 512 || !is_visible {
        return Err("malformed_credential");
    }
    if has_a_misspelt_credential(policy, asked) {
        return Err("ambiguous_credential");
    }
    if !has_a_shape(policy, token) {
        return Err("malformed_credential");
    }

    // 6. The key.
    let hash = hash_of(token);
    let keys = items(&policy["keys"]);
    let key = keys.iter().find(|key| text(&key["hash"]) == hash).ok_or("unknown_key")?;
    *key_id = Some(text(&key["id"]).to_owned());

    // 7. Its state.
    let key_type = &policy["key_types"][text(&key["type"])];
    if key["disabled"] == true || key["suspended"] == true {
        return Err("revoked_key");
    }
    if key_type["enabled"] == false {
        return Err("key_type_disabled");
    }
    if let Some(start) = key["not_before"].as_i64()
        && now.is_none_or(|now| now < start)
    {
        return Err("not_yet_valid");
    }
    if let Some(end) = key["expires_at"].as_i64()
        && now.is_none_or(|now| now >= end)
    {
        return Err("expired_key");
    }

    // 8. Its origins and addresses.
    if key["origins"].is_array() {
        let origin = asked.header("origin").unwrap_or_default();
        if !items(&key["origins"]).iter().any(|listed| origin_matches(text(listed), origin)) {
            return Err("origin_not_allowed");
        }
    }
    let addresses =
        [&key["addresses"], &key_type["addresses"]].into_iter().find(|own| own.is_array());
    if let Some(addresses) = addresses
        && !items(addresses).iter().any(|listed| is_within(text(listed), asked.client))
    {
        return Err("address_not_allowed");
    }

    for (segments, method, rule) in &decisive {
        let asks = Asks { policy, asked, rule: *rule, method, segments };
        if is_public(rule) && asks.knows_the_method() {
            continue;
        }
        if is_public(rule) {
            return Err("method_not_allowed");
        }
        // 9. The rule says no.
        if asks.access() == "deny" {
            return Err("denied_by_rule");
        }
        // 10. Conditions.
        if !asks.conditions_hold(&policy["where"], key) {
            return Err("condition_failed");
        }
        if !rule.is_none_or(|rule| asks.conditions_hold(&rule["where"], key)) {
            return Err("condition_failed");
        }
        // 11. The method, then scopes.
        if !asks.knows_the_method() {
            return Err("method_not_allowed");
        }
        if !asks.scopes_suffice(key, key_type) {
            return Err("insufficient_scope");
        }
    }
    Ok("key")
}

/// A rule, or none, and what is asked of it by one method.
struct Asks<'a> {
    policy: &'a Value,
    asked: &'a Asked,
    rule: Option<&'a Value>,
    method: &'a str,
    segments: &'a [String],
}

impl Asks<'_> {
    fn access(&self) -> &str {
        self.rule.map_or("key", |rule| rule["access"].as_str().unwrap_or("key"))
    }

    fn knows_the_method(&self) -> bool {
        self.action().is_some() || self.rule.is_some_and(|rule| has(&rule["methods"], self.method))
    }

    fn action(&self) -> Option<String> {
        let built_in = match self.method {
            "GET" | "HEAD" | "OPTIONS" => Some("read"),
            "POST" => Some("create"),
            "PUT" | "PATCH" => Some("update"),
            "DELETE" => Some("delete"),
            _ => None,
        };
        self.policy["methods"][self.method].as_str().or(built_in).map(str::to_owned)
    }

    fn conditions_hold(&self, conditions: &Value, key: &Value) -> bool {
        let Some(conditions) = conditions.as_object() else { return true };
        conditions.iter().all(|(name, choices)| {
            let own = match name.as_str() {
                "account" | "id" | "type" => &key[name.as_str()],
                _ => &key["attributes"][name.as_str()],
            };
            let Some(own) = own.as_str() else { return false };
            let not = choices.get("not");
            let choices = match not.unwrap_or(choices) {
                Value::Array(choices) => choices.clone(),
                one => vec![one.clone()],
            };
            let mut held = choices.iter().map(|choice| {
                let values = self.expand(text(choice), |_| true);
                let fits = |value: &String| if not.is_some() { value != own } else { value == own };
                values.is_some_and(|values| values.iter().all(fits))
            });
            if not.is_some() { held.all(|own| own) } else { held.any(|own| own) }
        })
    }

    fn scopes_suffice(&self, key: &Value, key_type: &Value) -> bool {
        if self.access() == "authenticated" {
            return true;
        }
        let grants = if key["scopes"].is_array() { &key["scopes"] } else { &key_type["scopes"] };
        let holds = |template: &str| {
            self.expand(template, is_word).is_some_and(|required| {
                required
                    .iter()
                    .all(|required| items(grants).iter().any(|grant| covers(text(grant), required)))
            })
        };
        let rule = self.rule.unwrap_or(&Value::Null);
        if rule["require"].is_array() {
            items(&rule["require"]).iter().all(|template| holds(text(template)))
        } else if rule["require_any"].is_array() {
            items(&rule["require_any"]).iter().any(|template| holds(text(template)))
        } else {
            holds("{action}")
        }
    }

    /// Every text that a template stands for, or none if a value is missing or not `fit`.
    fn expand(&self, template: &str, fit: impl Fn(&str) -> bool + Copy) -> Option<Vec<String>> {
        let Some((before, rest)) = template.split_once('{') else {
            return Some(vec![template.to_owned()]);
        };
        let (placeholder, after) = rest.split_once('}')?;
        let (name, fallback) = match placeholder.split_once('|') {
            Some((name, fallback)) => (name, Some(fallback)),
            None => (placeholder, None),
        };
        let mut values = self.values(name);
        if !values.iter().all(|value| fit(value)) {
            return None;
        }
        // Where only another spelling of a header came, some upstreams see none; nor do all see a query's
        // first parameter where a `;` in the path starts one before.
        let is_unseen = match name.split_once('.') {
            Some(("header", own)) => self.asked.header(own).is_none(),
            Some(("query", own)) => self.asked.seen_by_all(own) == 0,
            _ => false,
        };
        if !values.is_empty() && is_unseen {
            values.push(fallback?.to_owned());
        }
        let values = match (values.is_empty(), fallback) {
            (true, Some(fallback)) => vec![fallback.to_owned()],
            (true, None) => return None,
            (false, _) => values,
        };
        let tails = self.expand(after, fit)?;
        let texts = values
            .iter()
            .flat_map(|value| tails.iter().map(move |tail| format!("{before}{value}{tail}")));
        Some(texts.collect())
    }

    fn values(&self, name: &str) -> Vec<String> {
        if name == "action" {
            return self.action().into_iter().collect();
        }
        if name == "method" {
            return vec![self.method.to_owned()];
        }
        if let Some(name) = name.strip_prefix("query.") {
            return self.asked.parameters(name);
        }
        if let Some(name) = name.strip_prefix("header.") {
            let passes = |own: &&(&str, String)| pass_for_one_header(own.0, name);
            let own = self.asked.headers.iter().filter(passes);
            return own.map(|(_, value)| value.clone()).collect();
        }
        let paths = self.rule.map(|rule| items(&rule["paths"])).unwrap_or_default();
        let mut values = Vec::new();
        for template in paths.iter().map(text).filter(|path| path_matches(path, self.segments)) {
            let mut segments = self.segments.iter();
            for part in parts(template) {
                if part == format!("{{{name}...}}") {
                    let rest: Vec<&str> = segments.clone().map(String::as_str).collect();
                    values.extend((!rest.is_empty()).then(|| rest.join("/")));
                }
                let value = segments.next().and_then(|segment| taken(part, segment));
                values.extend(value.filter(|_| part.contains(&format!("{{{name}}}"))));
            }
        }
        values
    }
}

/// Whether some upstream finds a parameter that a rule, or the policy's condition, reads where we do not.
fn reads_in_another_spelling(reader: &Value, asked: &Asked) -> bool {
    let reads = |name: &str| {
        reader["query"].get(name).is_some()
            || reader.to_string().contains(&format!("{{query.{name}}}"))
            || reader.to_string().contains(&format!("{{query.{name}|"))
    };
    let is_doubtful = |own| is_in_another_charset(asked) || has_another_spelling(asked, own);
    ["q", "r"].iter().any(|own| reads(own) && is_doubtful(own))
}

/// Whether some upstream reads what there is of a query in another character set than UTF-8.
fn is_in_another_charset(asked: &Asked) -> bool {
    let has_query = !asked.query.concat().is_empty()
        || asked.behind_semicolon().is_some_and(|behind| !behind.is_empty());
    let names_another = |(name, value): &(&str, String)| {
        let value = value.to_lowercase() + ";";
        pass_for_one_header(name, "content-type")
            && value.replace("charset=utf-8;", "").contains("charset")
    };
    has_query && asked.headers.iter().any(names_another)
}

/// Whether some upstream finds a parameter under a name that stands in no parameter as it is.
fn has_another_spelling(asked: &Asked, own: &str) -> bool {
    let behind = asked.behind_semicolon().unwrap_or_default();
    let mut hidden = behind.split([';', '&']).map(|piece| piece.split('=').next().unwrap_or(""));
    hidden.any(|name| found_under(name).contains(&own.to_owned()))
        || asked.query.iter().any(|pair| {
            let name = decoded(&pair.split('=').next().unwrap_or_default().replace('+', " "));
            let mut behind =
                pair.split(';').skip(1).map(|piece| piece.split('=').next().unwrap_or(""));
            let is_behind = behind.any(|name| found_under(name).contains(&own.to_owned()));
            is_behind || (name != own && found_under(&name).contains(&own.to_owned()))
        })
}

/// The names under which upstreams find a parameter or a cookie, each as one of them reads it.
fn found_under(name: &str) -> Vec<String> {
    let asp_net = name.to_lowercase();
    let php = asp_net.split('\0').next().unwrap_or_default().trim_start().to_owned();
    let php = php.split('[').next().unwrap_or_default().replace(['.', ' '], "_");
    let qs = match asp_net.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default().to_owned(),
        None => asp_net.split('[').next().unwrap_or_default().to_owned(),
    };
    let spring = asp_net.trim_start_matches('!').split('.').next().unwrap_or_default().to_owned();
    let zope = asp_net.split(':').next().unwrap_or_default().to_owned();
    vec![asp_net, php, qs, spring, zope]
}

fn is_an_override(name: &str) -> bool {
    let known = ["x-http-method-override", "x-http-method", "x-method-override"];
    known.iter().any(|own| pass_for_one_header(name, own))
}

/// Whether some upstream takes one header for the other, as lighttpd does for its CGI.
fn pass_for_one_header(one: &str, other: &str) -> bool {
    let variable = |name: &str| name.replace(|own: char| !own.is_ascii_alphanumeric(), "_");
    variable(one) == variable(other)
}

/// Whether some upstream finds a credential where we read none.
fn has_a_misspelt_credential(policy: &Value, asked: &Asked) -> bool {
    items(&policy["credentials"]).iter().any(|source| {
        let header = match source["websocket_protocol"].is_string() {
            true => Some("sec-websocket-protocol"),
            false => source["header"].as_str(),
        };
        let is_header = header.is_some_and(|own| {
            let mut names = asked.headers.iter().map(|(name, _)| *name);
            names.any(|name| name != own && pass_for_one_header(name, own))
        });
        let cookies = asked.values("cookie").join("; ");
        let is_cookie = cookies.split("; ").any(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            source["cookie"]
                .as_str()
                .is_some_and(|own| own != name && found_under(name).contains(&own.to_owned()))
        });
        let is_parameter =
            source["query"].as_str().is_some_and(|own| has_another_spelling(asked, own));
        is_header || is_cookie || is_parameter
    })
}

/// The segments of a path that no upstream could read differently.
fn safe_segments(path: &str, normalize: bool, keep: bool) -> Option<Vec<String>> {
    let inner = path.strip_prefix('/')?;
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if path.contains('\\') {
        return None;
    }
    let mut segments = Vec::new();
    if path == "/" {
        return Some(segments);
    }
    for raw in inner.split('/') {
        // What is left of the raw text after every good encoding may hold no percent sign.
        let mut rest = raw.to_owned();
        for bytes in raw.as_bytes().windows(3) {
            if bytes[0] == b'%' {
                let digits = std::str::from_utf8(&bytes[1..]).ok()?;
                let byte = u8::from_str_radix(digits, 16).ok()?;
                if matches!(byte, b'/' | b'\\') && !keep || byte == 0x7f || byte < 0x20 {
                    return None;
                }
                rest = rest.replace(&format!("%{digits}"), "");
            }
        }
        if rest.contains('%') {
            return None;
        }
        let segment = decoded(raw);
        // What decodes to something else once more.
        if decoded(&segment) != segment {
            return None;
        }
        let parts = || segment.split(['/', '\\']).map(|part| part.split(';').next().unwrap_or(""));
        if parts().count() > 1 && parts().any(|part| ["", ".", ".."].contains(&part)) {
            return None;
        }
        match segment.as_str() {
            "" | "." if normalize => {}
            ".." if normalize => {
                segments.pop();
            }
            "" | "." | ".." => return None,
            segment if segment.starts_with(".;") || segment.starts_with("..;") => return None,
            _ => segments.push(segment),
        }
    }
    Some(segments)
}

/// Whether a host is one, with or without a port.
fn is_a_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.split('.').all(|label| !label.is_empty()) && port.parse::<u16>().is_ok()
}

/// Whether host, path and method are a rule's.
fn is_about(rule: &Value, method: &str, asked: &Asked, segments: &[String]) -> bool {
    let host = asked.host.to_ascii_lowercase();
    let host = host.split(':').next().unwrap_or_default();
    let host_matches = |pattern: &Value| match text(pattern).split_once("*.") {
        Some((_, domain)) => host.ends_with(&format!(".{domain}")),
        None => host == text(pattern),
    };
    (rule["hosts"].is_null() || items(&rule["hosts"]).iter().any(host_matches))
        && (rule["paths"].is_null()
            || items(&rule["paths"]).iter().any(|path| path_matches(text(path), segments)))
        && (rule["methods"].is_null() || has(&rule["methods"], method))
}

/// Whether enough occurrences of each parameter that a rule names fit.
fn query_fits(
    rule: &Value,
    asked: &Asked,
    enough: impl Fn(std::slice::Iter<'_, String>, &dyn Fn(&String) -> bool) -> bool,
) -> bool {
    let fits = |(name, values): (&String, &Value)| {
        let fits = |value: &String| has(values, "*") || has(values, value);
        enough(asked.parameters(name).iter(), &fits)
    };
    rule["query"].as_object().is_none_or(|query| query.iter().all(fits))
}

/// Whether some upstream finds the headers that a rule names, and whether each does.
fn headers_fit(rule: &Value, asked: &Asked) -> (bool, bool) {
    let Some(own) = rule["headers"].as_object() else { return (true, true) };
    let (mut some, mut each) = (true, true);
    for (name, values) in own {
        let lines: Vec<(&str, &str)> = asked
            .headers
            .iter()
            .filter(|(own, _)| pass_for_one_header(own, name))
            .map(|(own, value)| (*own, value.trim()))
            .collect();
        if has(values, "*") {
            some &= !lines.is_empty();
            each &= lines.iter().any(|(own, value)| own == name && !value.is_empty());
            continue;
        }
        let parts = |element: &str| {
            let plain = element.to_lowercase().replace([' ', '"'], "");
            plain.split(';').map(str::to_owned).collect::<Vec<_>>()
        };
        let joined = lines.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(",");
        let elements: Vec<Vec<String>> = joined.split(',').map(parts).collect();
        let is_said = |value: &Value| {
            let wanted = parts(text(value));
            elements.iter().any(|own| wanted.iter().all(|part| own.contains(part)))
        };
        some &= !lines.is_empty() && items(values).iter().any(is_said);
        each &= matches!(&lines[..], [(own, value)] if own == name && has(values, value));
    }
    (some, some && each)
}

fn path_matches(template: &str, segments: &[String]) -> bool {
    fn fits(parts: &[&str], segments: &[String]) -> bool {
        match (parts, segments) {
            ([], []) => true,
            ([last], _) if *last == "**" || last.ends_with("...}") => true,
            ([part, parts @ ..], [segment, segments @ ..]) => {
                taken(part, segment).is_some() && fits(parts, segments)
            }
            _ => false,
        }
    }
    fits(&parts(template), segments)
}

/// What the parameter of a template's segment takes of a path's, or nothing where a literal is that.
fn taken(part: &str, segment: &str) -> Option<String> {
    let Some((before, rest)) = part.split_once('{') else {
        return (part == "*" || part == segment).then(String::new);
    };
    let (_, after) = rest.split_once('}')?;
    let inner = segment.strip_prefix(before)?.strip_suffix(after)?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

fn parts(template: &str) -> Vec<&str> {
    template.split('/').filter(|part| !part.is_empty()).collect()
}

/// Every credential that a request presents; an empty one is none.
fn presented(policy: &Value, asked: &Asked) -> Vec<String> {
    let (mut found, mut schemes_alone) = (Vec::new(), Vec::new());
    for source in items(&policy["credentials"]) {
        if let Some(name) = source["query"].as_str() {
            let pairs = asked.query.iter().filter_map(|pair| pair.split_once('='));
            let own = pairs.filter(|(own, _)| decoded(&own.replace('+', " ")) == name);
            found.extend(own.map(|(_, value)| decoded(value)));
        } else if let Some(name) = source["cookie"].as_str() {
            let pairs = asked.values("cookie").join("; ");
            let pairs = pairs.split("; ").filter_map(|pair| pair.split_once('='));
            found.extend(pairs.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()));
        } else if let Some(prefix) = source["websocket_protocol"].as_str() {
            let items = asked.values("sec-websocket-protocol").join(",");
            let items = items.split(',').map(str::trim);
            found.extend(items.filter_map(|item| item.strip_prefix(prefix)).map(str::to_owned));
        }
    }
    for header in ["authorization", "x-key"] {
        for value in asked.values(header) {
            in_header(policy, header, value, &mut found, &mut schemes_alone);
        }
    }
    found.retain(|token| !token.is_empty());
    if found.is_empty() { schemes_alone } else { found }
}

/// Whether a request presents the same by the sources that count on a rule alone.
fn counts(policy: &Value, rule: Option<&Value>, asked: &Asked) -> bool {
    let names = rule.map_or(&Value::Null, |rule| &rule["credentials"]);
    if names.is_null() {
        return true;
    }
    let all = items(&policy["credentials"]).iter();
    let counting: Vec<&Value> = all.filter(|source| has(names, text(&source["name"]))).collect();
    presented(&json!({"credentials": counting}), asked) == presented(policy, asked)
}

/// What a value of a header presents; a blank stands for what can be no token.
fn in_header(
    policy: &Value,
    header: &str,
    value: &str,
    found: &mut Vec<String>,
    schemes_alone: &mut Vec<String>,
) {
    let all = items(&policy["credentials"]).iter();
    let is_here = |source: &&Value| {
        source["header"] == header || (source["basic"].is_string() && header == "authorization")
    };
    let sources: Vec<&Value> = all.filter(is_here).collect();
    let is_bare = |source: &&Value| source["scheme"].is_null() && source["basic"].is_null();
    let takes_bare = sources.iter().any(is_bare);
    if sources.iter().all(is_bare) {
        let texts = value.split(',').map(|text| text.trim().to_owned());
        found.extend(texts.filter(|_| takes_bare));
        return;
    }
    let source_of = |word: &str| {
        sources.iter().find(|source| {
            let scheme = source["scheme"].as_str().unwrap_or("Basic");
            !is_bare(source) && word.eq_ignore_ascii_case(scheme)
        })
    };
    if source_of(value).is_some() {
        // None beside another, and nothing good alone.
        schemes_alone.push(" ".to_owned());
        return;
    }
    let mut tokens = Vec::new();
    for (index, element) in value.split(',').map(str::trim).enumerate() {
        let (word, rest) = element.split_once(' ').unwrap_or((element, ""));
        let is_parameter = index > 0 && element.contains('=') && !element.ends_with('=');
        tokens.push(match source_of(word) {
            Some(source) if source["basic"].is_string() => {
                Some(in_basic(rest.trim(), text(&source["basic"])))
            }
            Some(_) => Some(rest.trim().to_owned()),
            None if takes_bare && rest.is_empty() && !is_parameter => {
                Some(element.to_owned()).filter(|element| !element.is_empty())
            }
            None => None,
        });
    }
    if tokens.iter().any(Option::is_some) {
        found.extend(tokens.into_iter().map(|token| token.unwrap_or(" ".to_owned())));
    } else if !value.is_empty() && !value.contains(' ') {
        // A word alone: a token without its scheme.
        found.push(" ".to_owned());
    }
}

/// A part of what `Basic` carries.
fn in_basic(encoded: &str, part: &str) -> String {
    let decoded = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    match (decoded.split_once(':'), part) {
        (None, _) => " ".to_owned(),
        (Some((username, _)), "username") => username.to_owned(),
        (Some((_, password)), _) => password.to_owned(),
    }
}

/// Whether a token has the shape of a type, where every key has a type and every type a prefix.
fn has_a_shape(policy: &Value, token: &str) -> bool {
    let Some(types) = policy["key_types"].as_object().filter(|types| !types.is_empty()) else {
        return true;
    };
    let typed = items(&policy["keys"]).iter().all(|key| key["type"].is_string());
    if !typed || !types.values().all(|own| own["prefix"].is_string()) {
        return true;
    }
    types.values().any(|own| {
        token.strip_prefix(text(&own["prefix"])).is_some_and(|rest| match &own["format"] {
            Value::Null => true,
            format => {
                let hex = text(&format["charset"]) == "hex";
                Some(rest.len() as u64) == format["length"].as_u64()
                    && rest.bytes().all(|byte| {
                        if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_alphanumeric() }
                    })
            }
        })
    })
}

fn origin_matches(listed: &str, origin: &str) -> bool {
    match listed.split_once("*") {
        Some((scheme, domain)) => origin
            .strip_prefix(scheme)
            .and_then(|host| host.strip_suffix(domain))
            .is_some_and(|sub| !sub.is_empty() && !sub.contains(['/', ':', '@'])),
        None => origin == listed,
    }
}

/// Whether a client is in a network, of which both are written as the bits of their address.
fn is_within(network: &str, client: Option<&str>) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(bits);
    let client = client.and_then(|client| client.rsplit_once(':')).and_then(|(client, _)| {
        address(client.strip_prefix('[').map_or(client, |inner| inner.trim_end_matches(']')))
    });
    let (first, length) = network.split_once('/').unwrap_or((network, "999"));
    // A mapped address has 96 bits less.
    let mapped = if first.starts_with("::ffff:") { 96 } else { 0 };
    let length = length.parse::<usize>().unwrap() - mapped;
    let own = address(first).unwrap();
    let prefix: String = own.chars().take(length + 1).collect();
    client.is_some_and(|client| client.starts_with(&prefix))
}

/// The kind of an address, and its bits.
fn bits(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("4{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("6{:0128b}", address.to_bits()),
    }
}

fn covers(grant: &str, required: &str) -> bool {
    fn sides(scope: &str) -> (&str, &str) {
        scope.split_once(':').unwrap_or(("*", scope))
    }
    let ((resource, action), (wanted_resource, wanted)) = (sides(grant), sides(required));
    (resource == "*" || resource == wanted_resource)
        && (action == "*"
            || action == wanted
            || (action == "write" && ["create", "update", "delete"].contains(&wanted)))
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|own| own.is_ascii_alphanumeric() || "_.-".contains(own))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hash_of(token: &str) -> String {
    let digest = Sha256::digest(token);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn has(list: &Value, word: &str) -> bool {
    items(list).iter().any(|item| item == word)
}

// What is generated: few words, so that most requests nearly fit.

const SCOPES: [&str; 10] =
    ["read", "write", "*:*", "a:read", "a:write", "a:*", "b:read", "*:create", "a:delete", "b:GET"];
const ORIGINS: [&str; 3] = ["https://a.example", "https://*.example", "http://a.example:81"];
const NETWORKS: [&str; 8] = [
    "203.0.113.5",
    "203.0.113.0/24",
    "203.0.112.0/22",
    "0.0.0.0/0",
    "::ffff:203.0.113.4/127",
    "2001:db8::/32",
    "2001:db8::1",
    "::/0",
];
const CLIENTS: [&str; 9] = [
    "203.0.113.5:443",
    "203.0.113.6:443",
    "203.0.115.0:443",
    "198.51.100.1:443",
    "[::ffff:203.0.113.5]:443",
    "[2001:db8::1]:443",
    "[2001:db9::1]:443",
    "/run/client.sock",
    "",
];
const PATHS: [&str; 16] = [
    "/",
    "/a",
    "/b",
    "/a/b",
    "/{x}",
    "/*",
    "/a/{x}",
    "/{x}/b",
    "/*/b",
    "/a/**",
    "/{rest...}",
    "/{x}/{rest...}",
    "/b/{x}",
    "/a{x}",
    "/p{x}o",
    "/{x}b/{rest...}",
];

fn key_types() -> impl Strategy<Value = Value> {
    let prefix = select(vec![
        json!({"prefix": "t"}),
        json!({"prefix": "t", "format": {"length": 1, "charset": "hex"}}),
        json!({"prefix": "t", "format": {"length": 1, "charset": "alphanumeric"}}),
        json!({}),
    ]);
    let enabled = select(vec![true, true, true, true, false]);
    let addresses = prop::option::weighted(0.2, subsequence(&NETWORKS[..], 1..3));
    let own = (prefix, enabled, subsequence(&SCOPES[..], 0..4), addresses);
    let own = own.prop_map(|(mut own, enabled, scopes, addresses)| {
        own["enabled"] = json!(enabled);
        own["scopes"] = json!(scopes);
        if let Some(addresses) = addresses {
            own["addresses"] = json!(addresses);
        }
        own
    });
    select(vec![true, true, true, false]).prop_flat_map(move |some| {
        if some {
            (own.clone(), own.clone()).prop_map(|(s, p)| json!({"s": s, "p": p})).boxed()
        } else {
            Just(json!({})).boxed()
        }
    })
}

/// A key whose token is `t` and its number; `typed` says whether there are types.
fn key(number: usize, typed: bool) -> impl Strategy<Value = Value> {
    let window = select(vec![
        json!({}),
        json!({}),
        json!({"not_before": NOW}),
        json!({"not_before": NOW + 1}),
        json!({"expires_at": NOW}),
        json!({"expires_at": NOW + 1}),
        json!({"not_before": NOW, "expires_at": NOW + 1}),
    ]);
    let types = if typed { vec![None, Some("s"), Some("s"), Some("p")] } else { vec![None] };
    (
        window,
        select(types),
        prop::option::weighted(0.7, subsequence(&SCOPES[..], 0..5)),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        prop::option::weighted(0.15, subsequence(&ORIGINS[..], 1..3)),
        prop::option::weighted(0.15, subsequence(&NETWORKS[..], 1..3)),
        prop::option::of(select(vec!["o1", "o2"])),
        prop::option::of(select(vec!["pro", "free", "a"])),
    )
        .prop_map(
            move |(
                mut key,
                key_type,
                scopes,
                (disabled, suspended),
                origins,
                addresses,
                account,
                plan,
            )| {
                key["id"] = json!(format!("k{number}"));
                key["hash"] = json!(hash_of(&format!("t{number}")));
                key["disabled"] = json!(disabled);
                key["suspended"] = json!(suspended);
                let fields = [
                    ("type", key_type.map(|own| json!(own))),
                    ("scopes", scopes.map(|own| json!(own))),
                    ("origins", origins.map(|own| json!(own))),
                    ("addresses", addresses.map(|own| json!(own))),
                    ("account", account.map(|own| json!(own))),
                    ("attributes", plan.map(|own| json!({"plan": own}))),
                ];
                for (name, value) in fields {
                    if let Some(value) = value {
                        key[name] = value;
                    }
                }
                key
            },
        )
}

fn rule() -> impl Strategy<Value = Value> {
    (
        prop::option::weighted(0.3, subsequence(&["a.example", "*.example", "b.test"][..], 1..3)),
        prop::option::weighted(0.8, subsequence(&PATHS[..], 1..3)),
        prop::option::weighted(0.3, subsequence(&["GET", "POST", "DELETE", "BREW"][..], 1..3)),
        prop::option::weighted(
            0.4,
            select(vec![
                json!({"q": ["1"]}),
                json!({"q": ["2", ""]}),
                json!({"q": ["*"]}),
                json!({"q": ["1"], "r": ["a"]}),
            ]),
        ),
        select(vec!["key", "key", "key", "authenticated", "optional", "public", "deny"]),
        0..3_usize,
        subsequence(
            &[
                "{action}",
                "a:{action}",
                "{x}:{action}",
                "{x|*}:read",
                "{rest|a}:read",
                "b:read",
                "{query.r|*}:{action}",
                "{query.r}:read",
                "{header.x-r|a}:read",
                "b:{method}",
            ][..],
            1..3,
        ),
        prop::option::weighted(
            0.2,
            select(vec![
                json!({"x-r": ["a", "b;c"]}),
                json!({"x-r": ["*"]}),
                json!({"x-r": ["b"], "origin": ["*"]}),
            ]),
        ),
        prop::option::weighted(
            0.3,
            select(vec![
                json!({"plan": "pro"}),
                json!({"plan": {"not": ["free", "a"]}}),
                json!({"account": {"not": "{query.r}"}}),
                json!({"plan": {"not": "{x}"}, "id": {"not": "k0"}}),
                json!({"plan": ["pro", "free"], "account": "o1"}),
                json!({"account": "{query.r}"}),
                json!({"plan": ["free", "{x|pro}"]}),
                json!({"plan": "{x}"}),
                json!({"id": ["k0", "k1"]}),
                json!({"type": "s"}),
            ]),
        ),
        prop::option::weighted(0.15, subsequence(&["bearer", "query"][..], 1..=2)),
    )
        .prop_map(
            |(
                hosts,
                paths,
                methods,
                query,
                access,
                require,
                scopes,
                headers,
                conditions,
                counting,
            )| {
                let mut rule = json!({"access": access});
                let known = |name: &str| {
                    let is_in = |path: &str| path.contains(&format!("{{{name}"));
                    paths.as_ref().is_some_and(|paths| paths.iter().all(|path| is_in(path)))
                };
                let can_be_said = |text: &str| {
                    (known("x") || !(text.contains("{x}") || text.contains("{x|")))
                        && (known("rest") || !text.contains("{rest"))
                };
                let brews = methods.as_ref().is_some_and(|methods| methods.contains(&"BREW"));
                let mut scopes: Vec<&str> = scopes
                    .into_iter()
                    .filter(|text| can_be_said(text) && !(brews && text.contains("{action}")))
                    .collect();
                if scopes.is_empty() {
                    scopes.push("a:read");
                }
                if ["key", "optional"].contains(&access) && (require > 0 || brews) {
                    rule[if require == 2 { "require_any" } else { "require" }] = json!(scopes);
                }
                let conditions = conditions.filter(|own| can_be_said(&own.to_string()));
                if let Some(conditions) =
                    conditions.filter(|_| ["key", "authenticated", "optional"].contains(&access))
                {
                    rule["where"] = conditions;
                }
                let fields = [
                    ("hosts", hosts.map(|own| json!(own))),
                    ("paths", paths.as_ref().map(|own| json!(own))),
                    ("methods", methods.as_ref().map(|own| json!(own))),
                    ("query", query),
                    ("headers", headers),
                    ("credentials", counting.filter(|_| access != "public").map(|own| json!(own))),
                ];
                for (name, value) in fields {
                    if let Some(value) = value {
                        rule[name] = value;
                    }
                }
                rule
            },
        )
}

fn policy() -> impl Strategy<Value = Value> {
    let keys = |typed| (0..6).map(|number| key(number, typed)).collect::<Vec<_>>();
    let typed = key_types().prop_flat_map(move |types| {
        let typed = types.as_object().is_some_and(|types| !types.is_empty());
        (Just(types), keys(typed))
    });
    (
        typed,
        prop::collection::vec(rule(), 0..6),
        prop::option::weighted(0.2, Just(json!({"plan": ["pro", "free"]}))),
        select(vec!["allow", "authenticate"]),
        select(vec!["authorize", "authorize", "ignore", "remove"]),
        (select(vec!["strict", "strict", "normalize"]), select(vec!["refuse", "keep"])),
        select(vec![json!({}), json!({"SEARCH": "read"}), json!({"POST": "write"})]),
        subsequence(
            vec![
                json!({"basic": "username"}),
                json!({"header": "authorization"}),
                json!({"websocket_protocol": "p."}),
            ],
            0..=3,
        ),
    )
        .prop_map(
            |(
                (types, keys),
                rules,
                conditions,
                preflight,
                by_override,
                (paths, slashes),
                methods,
                more,
            )| {
                let mut sources = vec![
                    json!({"header": "authorization", "scheme": "Bearer", "name": "bearer"}),
                    json!({"header": "x-key"}),
                    json!({"query": "k", "name": "query"}),
                    json!({"cookie": "c"}),
                ];
                sources.extend(more);
                let mut policy = json!({
                    "credentials": sources,
                    "key_types": types,
                    "keys": keys,
                    "rules": rules,
                    "methods": methods,
                    "cors_preflight": preflight,
                    "method_override": by_override,
                    "path_normalization": paths,
                    "encoded_slashes": slashes,
                });
                if let Some(conditions) = conditions {
                    policy["where"] = conditions;
                }
                policy
            },
        )
}

fn asked() -> impl Strategy<Value = Asked> {
    let method = select(vec![
        "GET", "GET", "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "OPTIONS",
        "SEARCH", "BREW", "get",
    ]);
    let host = select(vec![
        "a.example",
        "A.Example:443",
        "x.example",
        "example",
        "xexample",
        "b.test",
        "c",
        "a..example",
        "a.example:65536",
    ]);
    let segment = select(vec![
        "a", "a", "b", "b", "pro", "%61", "%62", "A", "aa", "c%20d", "x;y", "a;", "b;z=1", "a;q=1",
        "b%3BR", "a;K=t0", "...", "..", ".", "", "%2e%2e", "..;z", "a%2Fb", "a%2fpro", "pr%5Co",
        "b%2F..", "a%2f;b", "%2Fa", "%5c", "a%2541", "100%25", "a\\b", "%25", "%00", "%zz", "%4",
        "%",
    ]);
    let path =
        (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(segments, slash)| {
            format!("/{}{}", segments.join("/"), if slash { "/" } else { "" })
        });
    // Broken paths are many; good ones must not drown.
    let good = prop::collection::vec(select(vec!["a", "b", "pro"]), 0..4)
        .prop_map(|segments| format!("/{}", segments.join("/")));
    let path = prop_oneof![3 => good, 1 => path];
    let query = subsequence(
        &["q=1", "q=2", "q", "r=a", "r=b", "r=o1", "r=%61", "r=a%20b", "r=*", "r=", "z"][..],
        0..5,
    );
    let misspelt = prop::option::weighted(
        0.1,
        select(vec![
            "Q=1", "q[]=1", "[q]=2", "+q=1", "!q=1", "q.x=1", "q:int=1", "z;q=1", "R=a", "K=t0",
            "k[]=t1",
        ]),
    );
    let token = select(vec!["t0", "t1", "t2", "t3", "t4", "t5"]);
    let credential = (token, 0..34_usize).prop_map(|(token, way)| match way {
        0..=9 => (vec![], vec![("authorization", format!("Bearer {token}"))]),
        10 => (vec![], vec![("authorization", format!("bEARER  {token}"))]),
        11 | 12 => (vec![], vec![("x-key", token.to_owned())]),
        13 => (vec![], vec![("cookie", format!("a=b; c={token}; d=e"))]),
        14 => (vec![], vec![("authorization", token.to_owned())]),
        15 => (vec![], vec![("authorization", "Basic dTpw".to_owned())]),
        16 => (vec![], vec![("authorization", format!("Bearer {token},Bearer {token}"))]),
        17 => (vec![], vec![("authorization", "Bearer t9".to_owned())]),
        18 => (vec![], vec![("authorization", "Bearer zz".to_owned())]),
        19 => (vec![], vec![("authorization", "Bearer tg".to_owned())]),
        20 => (vec![], vec![("x-key", String::new())]),
        21 => (vec!["k=t0"], vec![]),
        22 => (vec!["%6b=t1"], vec![]),
        23 => (vec!["k", "k="], vec![("cookie", format!("c=; c={token}"))]),
        24 => (vec!["k=t+0"], vec![("x-key", String::new())]),
        25 => (vec![], vec![("authorization", "Bearer".to_owned())]),
        26 => {
            let encoded = BASE64_STANDARD.encode(format!("{token}:t0"));
            (vec![], vec![("authorization", format!("Basic {encoded}"))])
        }
        27 => {
            let encoded = BASE64_STANDARD.encode(format!(":{token}"));
            (vec![], vec![("authorization", format!("basic {encoded}, {token}"))])
        }
        28 => (vec![], vec![("authorization", format!("Basic {token}"))]),
        29 => (vec![], vec![("authorization", format!("Digest a={token}, {token}=b"))]),
        30 => (vec![], vec![("sec-websocket-protocol", format!("a, p.{token}"))]),
        31 => (vec![], vec![("sec-websocket-protocol", "p., p.t1 ,P.t0".to_owned())]),
        _ => (vec![], vec![]),
    });
    let second = prop::option::weighted(
        0.05,
        select(vec![
            ("x-key", "t0".to_owned()),
            ("x_key", "t0".to_owned()),
            ("x.key", "t1".to_owned()),
            ("x-key", String::new()),
            ("sec_websocket_protocol", "a".to_owned()),
            ("cookie", "c=t1".to_owned()),
            ("cookie", "c=".to_owned()),
            ("cookie", "C=t1".to_owned()),
        ]),
    );
    let origin = prop::option::weighted(
        0.3,
        select(vec![
            "https://a.example",
            "https://b.a.example",
            "https://example",
            "https://evilexample",
            "http://a.example:81",
            "http://a.example",
            "null",
        ]),
    );
    let by_override = prop::option::weighted(
        0.1,
        (
            select(vec![
                "x-http-method-override",
                "x-http-method",
                "x-method-override",
                "x.http.method",
            ]),
            select(vec!["GET", "POST", "delete", "BREW", "DELETE, GET", "", ",put", "GET;x"]),
        ),
    );
    let preflight = prop::option::weighted(0.4, Just("POST"));
    let region = (
        select(vec!["x-r", "x-r", "x-r", "x_r", "x.r"]),
        select(vec!["a", "a", "b", "a b", "", "A", "b, c", "\"b\";q=1", "c; b", "b;c", " a "]),
    );
    let region = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(region, 1..3)];
    let content_type = prop::option::weighted(
        0.1,
        (
            select(vec!["content-type", "content-type", "content_type"]),
            select(vec![
                "text/plain",
                "text/plain; charset=UTF-8",
                "text/plain; charset=utf-7",
                "application/json; (x) charset=utf-7",
                "a/b; charset=utf-8; Charset*=utf-7''",
            ]),
        ),
    );
    let others = (region, content_type).prop_map(|(region, content_type)| {
        let others = region.into_iter().chain(content_type);
        others.map(|(name, own)| (name, own.to_owned())).collect::<Vec<_>>()
    });
    let query = (query, misspelt).prop_map(|(mut query, misspelt)| {
        query.extend(misspelt);
        query
    });
    let client = prop::option::weighted(0.9, select(&CLIENTS[..]));
    (method, host, path, query, credential, second, origin, by_override, preflight, others, client)
        .prop_map(
            |(
                method,
                host,
                path,
                mut query,
                credential,
                second,
                origin,
                by,
                acrm,
                others,
                client,
            )| {
                let (in_query, mut headers) = credential;
                query.extend(in_query);
                headers.extend(second);
                headers.extend(origin.map(|own| ("origin", own.to_owned())));
                headers.extend(by.map(|(name, own)| (name, own.to_owned())));
                headers.extend(acrm.map(|own| ("access-control-request-method", own.to_owned())));
                headers.extend(others);
                Asked { method, host, path, query, headers, client }
            },
        )
}

/// A policy and requests to it.
fn scene() -> impl Strategy<Value = (Value, Vec<Asked>)> {
    (policy(), prop::collection::vec(asked(), 20))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() }
}

/// Whether no rule more can make host or query doubtful.
fn is_plain(asked: &&Asked) -> bool {
    let is_misspelt = ["q", "r"].iter().any(|own| has_another_spelling(asked, own));
    is_a_host(asked.host) && !is_misspelt && !is_in_another_charset(asked)
}

fn is_allowed(decision: &str) -> bool {
    decision.starts_with("allow ")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..config() })]

    /// The reference reads a request as it stands, and in no other way.
    #[test]
    fn the_engine_decides_as_the_reference((mut policy, requests) in scene()) {
        policy["upstream"] = json!("exact");
        let engine = Compiled::new(&policy);
        for asked in &requests {
            for now in [Some(NOW), Some(NOW + 1), None] {
                prop_assert_eq!(
                    engine.says(asked, now),
                    reference_says(&policy, asked, now),
                    "{:?} at {:?}",
                    asked,
                    now
                );
            }
        }
    }
}

/// What may ask for more, or for less, in a query and elsewhere.
const SAID: [&str; 4] = ["q=1", "q=2", "r=a", "_method=DELETE"];

/// Some of that, in any order.
fn said() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(&SAID[..], 0..3).prop_shuffle()
}

/// Rules of one path, of which queries tell.
fn told_apart() -> impl Strategy<Value = Value> {
    let query = prop::option::of(select(vec![
        json!({"q": ["1"]}),
        json!({"r": ["a"]}),
        json!({"q": ["1"], "r": ["a"]}),
    ]));
    let asks = select(vec!["a:{action}", "b:{action}", "a:create"]);
    prop::collection::vec((query, asks), 2..4).prop_map(|rules| {
        let rule = |(query, asks)| match query {
            Some(query) => json!({"paths": ["/x"], "query": query, "require": [asks]}),
            None::<Value> => json!({"paths": ["/x"], "require": [asks]}),
        };
        rules.into_iter().map(rule).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, ..config() })]

    /// Some upstream looks there, and some does not: whoever is refused is refused with more of it.
    #[test]
    fn what_stands_elsewhere_than_in_the_query_lets_nobody_in(
        rules in told_apart(),
        scopes in subsequence(&["a:create", "b:create", "a:delete"][..], 1..3),
        (query, fields, more) in (said(), said(), said()),
        header in prop::option::of(select(vec![("q", "1"), ("r", "a"), ("cookie", "q=1"), ("cookie", "r=a; q=2")])),
        upstream in select(vec!["cautious", "cautious", "php", "spring", "go"]),
    ) {
        let policy = json!({
            "credentials": [{"header": "x-key"}],
            "keys": [{"id": "k", "hash": hash_of("t"), "scopes": scopes}],
            "rules": rules,
            "upstream": if upstream == "cautious" { json!(upstream) } else { json!([upstream]) },
        });
        let engine = Compiled::new(&policy);
        let form = "application/x-www-form-urlencoded".to_owned();
        let mut asked = Asked {
            method: "POST",
            host: "a.example",
            path: "/x".to_owned(),
            query,
            headers: vec![("x-key", "t".to_owned()), ("content-type", form)],
            client: None,
        };
        let before = engine.says_of(&asked, &fields.join("&"), Some(NOW));
        asked.headers.extend(header.map(|(name, value)| (name, value.to_owned())));
        let all = [fields, more].concat();
        let after = engine.says_of(&asked, &all.join("&"), Some(NOW));
        prop_assert!(is_allowed(&before) || !is_allowed(&after), "{before} -> {after}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn other_readings_let_nobody_in((policy, requests) in scene()) {
        let mut exact = policy.clone();
        exact["upstream"] = json!("exact");
        let (cautious, exact) = (Compiled::new(&policy), Compiled::new(&exact));
        for asked in &requests {
            let cautious = cautious.says(asked, Some(NOW));
            let exact = exact.says(asked, Some(NOW));
            prop_assert!(
                !is_allowed(&cautious) || cautious == exact,
                "{exact} -> {cautious}: {asked:?}"
            );
        }
    }

    #[test]
    fn a_disabled_key_more_lets_nobody_in((policy, requests) in scene(), more in key(6, false)) {
        let mut after = policy.clone();
        let mut more = more;
        more["disabled"] = json!(true);
        push(&mut after["keys"], more);
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in requests.iter().chain(&with_token(&requests, "t6")) {
            let (before, after) = (before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
            prop_assert!(is_allowed(&before) || !is_allowed(&after), "{before} -> {after}: {asked:?}");
        }
    }

    #[test]
    fn a_key_more_changes_nothing_for_other_tokens(
        (policy, requests) in scene(),
        more in key(6, false),
    ) {
        let mut after = policy.clone();
        push(&mut after["keys"], more);
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in &requests {
            let (before, after) = (before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
            // A key without a type ends the certainty of what a token looks like.
            let is_shape = before == "deny malformed_credential" && after == "deny unknown_key";
            prop_assert!(before == after || is_shape, "{before} -> {after}: {asked:?}");
        }
    }

    #[test]
    fn a_revoked_key_is_let_in_nowhere((policy, requests) in scene(), number in 0..6_usize) {
        let mut after = policy.clone();
        after["keys"][number]["disabled"] = json!(true);
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        let own = format!("key:k{number}");
        for asked in &requests {
            let (before, after) = (before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
            let expected = match before.ends_with(&own) {
                true => format!("deny revoked_key {own}"),
                false => before,
            };
            prop_assert_eq!(after, expected, "{:?}", asked);
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter((policy, requests) in scene()) {
        let mut after = policy.clone();
        after["keys"].as_array_mut().unwrap().reverse();
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in &requests {
            prop_assert_eq!(before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
        }
    }

    #[test]
    fn a_scope_less_lets_nobody_in(
        (policy, requests) in scene(),
        number in 0..6_usize,
        place in 0..4_usize,
    ) {
        let mut after = policy.clone();
        let Some(scopes) = after["keys"][number]["scopes"].as_array_mut() else { return Ok(()) };
        if place < scopes.len() {
            scopes.remove(place);
        }
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in &requests {
            let (before, after) = (before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
            prop_assert!(is_allowed(&before) || !is_allowed(&after), "{before} -> {after}: {asked:?}");
        }
    }

    #[test]
    fn rules_after_the_deciding_one_do_not_matter(
        (policy, requests) in scene(),
        more in prop::collection::vec(rule(), 40),
    ) {
        // Every path is judged, and every request decided, before the rules that come on top.
        let mut policy = policy;
        push(&mut policy["rules"], json!({"paths": ["/**"], "access": "authenticated"}));
        let mut after = policy.clone();
        more.into_iter().for_each(|rule| push(&mut after["rules"], rule));
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in requests.iter().filter(is_plain) {
            prop_assert_eq!(before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
        }
    }

    #[test]
    fn rules_that_do_not_match_do_not_matter(
        (policy, requests) in scene(),
        others in prop::collection::vec((rule(), 0..8_usize), 20),
    ) {
        let mut policy = policy;
        push(&mut policy["rules"], json!({"paths": ["/only/here"], "access": "deny"}));
        let mut after = policy.clone();
        for (mut rule, place) in others {
            rule["hosts"] = json!(["nowhere.invalid", "*.invalid"]);
            let rules = after["rules"].as_array_mut().unwrap();
            rules.insert(place.min(rules.len()), rule);
        }
        let (before, after) = (Compiled::new(&policy), Compiled::new(&after));
        for asked in requests.iter().filter(is_plain) {
            prop_assert_eq!(before.says(asked, Some(NOW)), after.says(asked, Some(NOW)));
        }
    }

    #[test]
    fn the_letter_case_of_the_scheme_does_not_matter((policy, requests) in scene()) {
        let engine = Compiled::new(&policy);
        for asked in &requests {
            let mut other = asked.clone();
            for (name, value) in &mut other.headers {
                if *name == "authorization" {
                    *value = value.replace("Bearer", "bEaReR");
                }
            }
            prop_assert_eq!(engine.says(asked, Some(NOW)), engine.says(&other, Some(NOW)));
        }
    }

    #[test]
    fn encoding_an_unreserved_character_of_the_path_does_not_matter(
        (policy, requests) in scene(),
        which in prop::collection::vec(any::<bool>(), 16),
        capitals in any::<bool>(),
    ) {
        let engine = Compiled::new(&policy);
        for asked in &requests {
            let mut other = asked.clone();
            other.path = encoded(&asked.path, &which, capitals);
            prop_assert_eq!(
                engine.says(asked, Some(NOW)),
                engine.says(&other, Some(NOW)),
                "{} and {}",
                asked.path,
                other.path
            );
        }
    }

    #[test]
    fn one_trailing_slash_does_not_matter((policy, requests) in scene()) {
        let engine = Compiled::new(&policy);
        // Behind a `;` it is part of a parameter.
        let is_of_path = |path: &str| !path.ends_with('/') && !decoded(path).contains(';');
        for asked in requests.iter().filter(|asked| is_of_path(&asked.path)) {
            let mut other = asked.clone();
            other.path.push('/');
            prop_assert_eq!(engine.says(asked, Some(NOW)), engine.says(&other, Some(NOW)));
        }
    }

    /// What is let in is let in whichever occurrence of a parameter an upstream reads.
    #[test]
    fn a_repeated_parameter_lets_nobody_in((policy, requests) in scene()) {
        let engine = Compiled::new(&policy);
        for asked in requests.iter().filter(|asked| is_allowed(&engine.says(asked, Some(NOW)))) {
            for index in 0..asked.query.len() {
                let name = |pair: &str| pair.split('=').next().unwrap().to_owned();
                let (mut other, kept) = (asked.clone(), asked.query[index]);
                other.query.retain(|pair| name(pair) != name(kept) || *pair == kept);
                let says = engine.says(&other, Some(NOW));
                prop_assert!(is_allowed(&says), "{says}: {other:?} of {asked:?}");
            }
        }
    }

    #[test]
    fn what_is_not_looked_at_does_not_matter((policy, requests) in scene()) {
        let engine = Compiled::new(&policy);
        for asked in &requests {
            let mut other = asked.clone();
            other.headers.insert(0, ("x-other", "t0".to_owned()));
            other.headers.push(("x-key-id", "k0".to_owned()));
            other.query.push("other=t0");
            // Where there was no query, there was none to read in another.
            if is_in_another_charset(&other) {
                continue;
            }
            prop_assert_eq!(engine.says(asked, Some(NOW)), engine.says(&other, Some(NOW)));
        }
    }

    #[test]
    fn without_a_clock_nobody_more_is_let_in((policy, requests) in scene()) {
        let engine = Compiled::new(&policy);
        for asked in &requests {
            if is_allowed(&engine.says(asked, None)) {
                for now in [0, NOW - 1, NOW, NOW + 1, i64::MAX] {
                    prop_assert!(is_allowed(&engine.says(asked, Some(now))), "{asked:?} at {now}");
                }
            }
        }
    }
}

/// The generator must reach every reason and every way of being let in, or it proves little.
#[test]
fn the_generator_reaches_every_decision() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut seen = std::collections::BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let (policy, requests) = scene().new_tree(&mut runner).unwrap().current();
        for asked in &requests {
            let says = engine_says(&policy, asked, Some(NOW));
            let words: Vec<&str> = says.split([' ', ':']).take(2).collect();
            *seen.entry(words.join(" ")).or_insert(0) += 1;
        }
    }
    // Scenes have no bodies.
    let of_bodies = [Reason::AmbiguousBody, Reason::MalformedGraphql];
    let reasons = Reason::ALL.iter().filter(|reason| !of_bodies.contains(reason));
    let expected = reasons.map(|reason| format!("deny {}", reason.as_str()));
    let expected = expected.chain(["key", "preflight", "public"].map(|own| format!("allow {own}")));
    for decision in expected {
        assert!(seen.get(&decision).is_some_and(|count| *count >= 10), "{decision}: {seen:#?}");
    }
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

/// The requests, presenting another token.
fn with_token(requests: &[Asked], token: &str) -> Vec<Asked> {
    let with = |asked: &Asked| {
        let mut asked = asked.clone();
        let own = ["authorization", "x-key", "cookie", "sec-websocket-protocol"];
        asked.headers.retain(|(name, _)| !own.contains(name));
        asked.query.retain(|pair| !pair.starts_with(['k', '%']));
        asked.headers.push(("authorization", format!("Bearer {token}")));
        asked
    };
    requests.iter().map(with).collect()
}

/// The path with some of its unreserved characters percent-encoded.
fn encoded(path: &str, which: &[bool], capitals: bool) -> String {
    let mut out = String::new();
    // The two digits after a percent sign stay, good ones or not.
    let mut digits = 0;
    for (byte, chosen) in path.bytes().zip(which.iter().cycle()) {
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if digits == 0 && *chosen && unreserved {
            out += &if capitals { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        } else {
            out.push(char::from(byte));
        }
        digits = if byte == b'%' {
            2
        } else if byte == b'/' {
            0
        } else {
            u8::saturating_sub(digits, 1)
        };
    }
    out
}
