//! What a policy says, for whoever wants to know: nobody reads its text a second time.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::address::{Network, is_ipv4};
use crate::condition::{Condition, Subject};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::keyring::Key;
use crate::origin::Origin;
use crate::path::{EncodedSlashes, Normalization, Path, PathTemplate, Segment};
use crate::rule::{HostPattern, Requirement, Rule, RuleAccess};
use crate::source::Source;
use crate::template::{Part, Template, Variable};

/// What a condition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand<'e> {
    /// What `where` calls the property that it is about.
    pub property: &'e str,
    /// Whether the property must be none of the texts, in place of one.
    pub is_negated: bool,
    /// The texts, as they are written.
    pub choices: Vec<String>,
}

/// A condition and who does not meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetCondition<'d> {
    /// What it asks for.
    pub demand: Demand<'d>,
    /// What it is, of the key or the session; `None` if that has no such property.
    pub value: Option<&'d str>,
}

impl Engine {
    /// The places where a token may stand, in the order in which the policy lists them.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The keys, in the order in which the policy names them.
    pub fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        (0..self.authenticator.ring.len()).filter_map(|index| self.authenticator.ring.key(index))
    }

    /// The action that each method stands for.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &str)> {
        self.authorizer.methods.iter().map(|(method, action)| (&**method, &**action))
    }

    /// The policy's own `where`.
    pub fn conditions(&self) -> impl Iterator<Item = Demand<'_>> {
        self.authorizer.conditions.iter().map(Condition::demand)
    }

    /// The rules that are for a method of a path by name, as places of rules and of their paths, in order. What a rule
    /// asks for beside that is not looked at: query, headers, credentials, conditions, and without a `host` hosts. A rule
    /// without paths and a path such as `/**` name none.
    pub fn naming(&self, method: &str, host: Option<&str>, path: &str) -> Vec<(usize, usize)> {
        let Ok(path) = Path::parse(path.as_bytes(), Normalization::Strict, EncodedSlashes::Refuse)
        else {
            return Vec::new();
        };
        let is_meant = |rule: &&Rule| {
            (rule.methods.is_empty() || rule.lists(method))
                && (rule.hosts.is_empty()
                    || host
                        .is_none_or(|host| rule.hosts.iter().any(|pattern| pattern.matches(host))))
        };
        let mut naming = Vec::new();
        for rule in self.rules().iter().filter(is_meant) {
            for (place, template) in rule.paths.iter().enumerate() {
                if !template.takes_every_path() && template.matches(&path.segments) {
                    naming.push((rule.index, place));
                }
            }
        }
        naming
    }

    /// Whether an upstream or a client is told the names of keys.
    pub fn tells_names(&self) -> bool {
        let headers = self.upstream_headers.iter().chain(&self.response_headers);
        let mut variables = headers.flat_map(|(_, template)| template.variables());
        variables.any(|variable| *variable == Variable::KeyName)
    }

    /// Whether the hash of some key was made with the pepper.
    pub fn needs_pepper(&self) -> bool {
        self.authenticator.ring.has_hmacs()
    }
}

impl Rule {
    /// Who gets through: `authenticated`, `deny`, `key`, `optional` or `public`.
    pub fn access(&self) -> &'static str {
        match self.access {
            RuleAccess::Authenticated => "authenticated",
            RuleAccess::Deny => "deny",
            RuleAccess::Key(_) => "key",
            RuleAccess::Optional(_) => "optional",
            RuleAccess::Public => "public",
        }
    }

    /// The names of the credential sources that count on the rule; `None` if all do.
    pub fn credentials(&self) -> Option<impl Iterator<Item = &str>> {
        let counting = self.credentials.as_ref()?;
        Some(counting.names.iter().map(|name| &**name))
    }

    /// The methods that the rule is for; none for any.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|method| &**method)
    }

    /// The paths that the rule is for, as they are written; none for any.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| &*path.text)
    }

    /// The places of those paths that name something, and so not every path.
    pub fn naming_paths(&self) -> impl Iterator<Item = (usize, &str)> {
        let paths = self.paths.iter().enumerate();
        paths.filter(|(_, path)| !path.takes_every_path()).map(|(place, path)| (place, &*path.text))
    }

    /// The hosts that the rule is for, in lower case; none for any.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(|host| match host {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Subdomains(suffix) => format!("*{suffix}"),
        })
    }

    /// The rule's `where`.
    pub fn conditions(&self) -> impl Iterator<Item = Demand<'_>> {
        self.conditions.iter().map(Condition::demand)
    }

    /// Whether one of the scopes that the rule asks for is enough.
    pub fn requires_any(&self) -> bool {
        matches!(self.access.requirement(), Some(Requirement::Any(_)))
    }

    /// Whether the rule judges requests as GraphQL.
    pub fn is_graphql(&self) -> bool {
        self.graphql.is_some()
    }

    /// The scopes that the rule asks for, as they are written; `{action}` where it names none. What a
    /// GraphQL request's fields need is not among them.
    pub fn required(&self) -> Vec<String> {
        let requirement = self.access.requirement().into_iter();
        requirement.flat_map(Requirement::templates).map(Template::to_string).collect()
    }
}

impl Decision<'_> {
    /// The condition that who asks does not meet, where the request is refused for that.
    pub fn unmet_condition(&self) -> Option<UnmetCondition<'_>> {
        let condition = self.found.unmet_condition?;
        let identity = self.found.identity()?;
        Some(UnmetCondition { demand: condition.demand(), value: condition.subject.of(identity) })
    }
}

impl PathTemplate {
    fn takes_every_path(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Rest(_)))
    }
}

impl Condition {
    fn demand(&self) -> Demand<'_> {
        let choices = self.choices.iter().map(Template::to_string).collect();
        Demand { property: self.subject.name(), is_negated: self.is_negated, choices }
    }
}

impl Subject {
    /// What `where` calls it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Subject::Account => "account",
            Subject::Attribute(name) => name,
            Subject::Id => "id",
            Subject::Type => "type",
        }
    }
}

impl fmt::Display for Origin {
    /// `scheme://host[:port]`, in lower case and without the scheme's default port.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.subdomains { "*" } else { "" };
        write!(formatter, "{}://{star}{}", self.scheme, self.rest)
    }
}

impl fmt::Display for Network {
    /// The first address, and the length of the prefix if there are more: `203.0.113.0/24`, `2001:db8::1`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = if is_ipv4(self.first) { 96 } else { 0 };
        let first = Ipv6Addr::from(self.first);
        let first = first.to_ipv4_mapped().map_or(IpAddr::V6(first), IpAddr::V4);
        match self.length.saturating_sub(mapped) {
            _ if self.length == 128 => write!(formatter, "{first}"),
            length => write!(formatter, "{first}/{length}"),
        }
    }
}

impl fmt::Display for Template {
    /// As it is written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => formatter.write_str(text)?,
                Part::Placeholder { variable, fallback: None } => {
                    write!(formatter, "{{{variable}}}")?
                }
                Part::Placeholder { variable, fallback: Some(fallback) } => {
                    write!(formatter, "{{{variable}|{fallback}}}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Variable {
    /// As it stands between braces.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, name) = match self {
            Variable::Action => ("", "action"),
            Variable::Code => ("", "code"),
            Variable::Field => ("", "field"),
            Variable::Header(name) => ("header.", &**name),
            Variable::KeyAccount => ("key.", "account"),
            Variable::KeyAttribute(name) => ("key.attributes.", &**name),
            Variable::KeyId => ("key.", "id"),
            Variable::KeyName => ("key.", "name"),
            Variable::KeyScopes => ("key.", "scopes"),
            Variable::KeyType => ("key.", "type"),
            Variable::Message => ("", "message"),
            Variable::Method => ("", "method"),
            Variable::Operation => ("", "operation"),
            Variable::Parameter(name) => ("", &**name),
            Variable::Query(name) => ("query.", &**name),
            Variable::Reason => ("", "reason"),
            Variable::RequestId => ("", "request_id"),
            Variable::RequiredScope => ("", "required_scope"),
            Variable::RuleName => ("rule.", "name"),
            Variable::Status => ("", "status"),
        };
        write!(formatter, "{prefix}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Scope};

    #[test]
    fn a_policy_tells_what_it_says() {
        let policy = br#"{
            "credentials": [
                {"header": "Authorization", "scheme": "Bearer"}, {"header": "x-key"},
                {"query": "k"}, {"cookie": "c"}
            ],
            "methods": {"PURGE": "delete"},
            "key_types": {"live": {"scopes": ["*:read"], "max_active_per_account": 2}, "bare": {"addresses": ["::/0"]}},
            "keys": [
                {"id": "a", "type": "live", "attributes": {"plan": "pro", "eu": "yes"},
                 "origins": ["https://A.org:443", "http://*.b.org:8080"],
                 "addresses": ["203.0.113.0/24", "::FFFF:203.0.113.5", "2001:DB8:0::/32", "::1"],
                 "hash": "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
                {"id": "b", "type": "bare", "scopes": ["y:read", "x:read", "y:read"], "disabled": true, "expires_at": 5,
                 "hash": "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"}
            ],
            "where": {"plan": ["pro", "{query.plan|free}"]},
            "rules": [
                {"hosts": ["*.A.org", "b.org"], "paths": ["/a%20b/{x}", "/**"], "methods": ["GET"],
                 "require_any": ["a:{header.X-b}", "{x|y}:{action}"], "where": {"id": {"not": "{x|y}"}}},
                {"access": "public"}
            ]
        }"#;
        let engine = Engine::compile(policy, &Environment::default()).unwrap();
        let sources = engine.sources().iter().map(Source::to_string);
        let expected = [
            "`authorization` with scheme `Bearer`",
            "`x-key`",
            "query parameter `k`",
            "cookie `c`",
        ];
        assert_eq!(sources.collect::<Vec<_>>(), expected);
        assert!(engine.methods().any(|entry| entry == ("PURGE", "delete")));
        assert!(!engine.needs_pepper());
        let peppered = String::from_utf8_lossy(policy).replacen("sha256:", "hmac-sha256:", 1);
        let environment = Environment { pepper: Some(b"p") };
        assert!(Engine::compile(peppered.as_bytes(), &environment).unwrap().needs_pepper());
        let conditions: Vec<_> = engine.conditions().collect();
        let choices = vec!["pro".to_owned(), "{query.plan|free}".to_owned()];
        assert_eq!(conditions, [Demand { property: "plan", is_negated: false, choices }]);

        let [live, bare] = engine.key_types() else { panic!("two types") };
        assert_eq!((live.scopes().map(<[_]>::len), live.most_active()), (Some(1), Some(2)));
        assert_eq!((bare.scopes(), bare.most_active()), (None, None));
        let keys: Vec<Key<'_>> = engine.keys().collect();
        let [a, b] = keys.as_slice() else { panic!("two keys") };
        assert_eq!(a.attributes().collect::<Vec<_>>(), [("plan", "pro"), ("eu", "yes")]);
        assert_eq!((b.attributes().count(), a.scopes().is_none()), (0, true));
        let granted = |key: &Key<'_>| key.granted().map(Scope::to_string).collect::<Vec<_>>();
        assert_eq!((granted(a), granted(b).len()), (vec!["*:read".to_owned()], 3));
        let origins = |key: &Key<'_>| Some(key.origins()?.iter().map(Origin::to_string).collect());
        let expected = ["https://a.org", "http://*.b.org:8080"].map(str::to_owned).to_vec();
        assert_eq!((origins(a), origins(b)), (Some(expected), None));
        let addresses = |key: &Key<'_>| {
            key.addresses().unwrap().iter().map(Network::to_string).collect::<Vec<_>>()
        };
        let expected = ["203.0.113.0/24", "203.0.113.5", "2001:db8::/32", "::1"];
        assert_eq!(addresses(a), expected);
        assert_eq!((addresses(b), live.addresses()), (vec!["::/0".to_owned()], None));
        let scopes = b.scopes().unwrap().map(|scope| scope.as_str());
        assert_eq!(scopes.collect::<Vec<_>>(), ["y:read", "x:read", "y:read"]);
        assert_eq!((a.is_revoked(), b.is_revoked(), b.is_suspended()), (false, true, false));
        assert_eq!((a.expires_at(), b.expires_at(), b.not_before()), (None, Some(5), None));

        let [rule, open] = engine.rules() else { panic!("two rules") };
        assert_eq!(rule.hosts().collect::<Vec<_>>(), ["*.a.org", "b.org"]);
        assert_eq!(rule.paths().collect::<Vec<_>>(), ["/a%20b/{x}", "/**"]);
        assert_eq!(rule.methods().collect::<Vec<_>>(), ["GET"]);
        assert_eq!(rule.required(), ["a:{header.x-b}", "{x|y}:{action}"]);
        let demand = Demand { property: "id", is_negated: true, choices: vec!["{x|y}".to_owned()] };
        assert_eq!(rule.conditions().collect::<Vec<_>>(), [demand]);
        assert_eq!((rule.access(), open.access(), open.required().len()), ("key", "public", 0));
        assert!(rule.requires_any() && !open.requires_any() && !rule.is_graphql());
        assert_eq!(rule.naming_paths().collect::<Vec<_>>(), [(0, "/a%20b/{x}")]);
        assert_eq!(engine.naming("GET", Some("b.org"), "/a%20b/c"), [(0, 0)]);
        assert_eq!(engine.naming("GET", None, "/a%20b/c"), [(0, 0)]);
        for (method, host, path) in
            [("PUT", "b.org", "/a%20b/c"), ("GET", "c.org", "/a%20b/c"), ("GET", "b.org", "/c")]
        {
            assert_eq!(engine.naming(method, Some(host), path), []);
        }
    }
}
