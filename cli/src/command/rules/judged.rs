//! Who may call an operation by the document, asked of the policy as the filter reads it.

use anyhow::{Context, Result};
use latchkey::{Engine, Environment, Reason, Scope};

use super::access::{Access, Asked, scopes_of_keys};
use super::{Arguments, Problem, drift};
use crate::cases::core::observe;
use crate::cases::{CaseRequest, StandIn};
use crate::document::{Document, Fields};
use crate::finding::Finding;
use crate::openapi::Operation;
use crate::policy::{self, Policy};

/// Operations that the policy lets in whom the document does not, or the other way round. Scopes are looked at where the
/// document names some; what the policy asks for besides, conditions, queries and headers, is not.
pub(super) fn find(
    operations: &[Operation],
    policy: &Policy,
    arguments: &Arguments,
) -> Result<Vec<Finding>> {
    // Of what it says nothing, nothing is wrong, unless the caller says it.
    let is_said =
        |operation: &&Operation| operation.security.is_some() || arguments.unsaid.is_some();
    let said = operations.iter().filter(is_said);
    let judged: Vec<Judged<'_>> = said.map(|operation| Judged::of(operation, arguments)).collect();
    let asked = judged.iter().flat_map(|own| own.enough.iter().chain(&own.short));
    let all = all();
    let mut sets: Vec<&[String]> = asked.chain([&all]).map(Vec::as_slice).collect();
    sets.sort_unstable();
    sets.dedup();
    let policy = with_keys(policy.document(), &sets);
    let pepper = policy::pepper();
    let environment = Environment { pepper: pepper.as_deref() };
    let engine = Engine::compile(policy.to_json()?.as_bytes(), &environment).ok();
    let engine = engine.context("the policy does not take other keys")?;
    let ids: Vec<String> = (0..sets.len()).map(id).collect();
    let callers =
        StandIn::new(&policy, &engine, pepper.as_deref(), ids.iter().map(String::as_str))?;
    let told = judged.iter().filter_map(|own| {
        let message = own.told(&callers, &sets)?;
        Some(Problem::error("other_access", message).at(own.operation))
    });
    Ok(told.collect())
}

/// What the document says of an operation.
struct Judged<'o> {
    operation: &'o Operation,
    access: Access,
    /// Scopes that are enough, each by itself.
    enough: Vec<Vec<String>>,
    /// Scopes that are not.
    short: Vec<Vec<String>>,
}

impl<'o> Judged<'o> {
    fn of(operation: &'o Operation, arguments: &Arguments) -> Judged<'o> {
        let mut problems = Vec::new();
        let access = Access::of(operation, arguments, &mut problems);
        let names_scopes = !scopes_of_keys(operation, arguments).iter().any(Vec::is_empty);
        let asked = match &access {
            // Of what no rule can say exactly, none is wrong.
            Access::Key(asked) | Access::Optional(asked) if names_scopes && problems.is_empty() => {
                Some(asked)
            }
            _ => None,
        };
        let (enough, short) = match asked {
            // A key that may do all may not do that.
            None if access == Access::Deny => (Vec::new(), vec![all()]),
            None | Some(Asked::Action) => (Vec::new(), Vec::new()),
            Some(Asked::Any(scopes)) => {
                (scopes.iter().map(|scope| vec![scope.clone()]).collect(), vec![Vec::new()])
            }
            Some(Asked::All(scopes)) => (vec![scopes.clone()], all_but_one(scopes)),
        };
        Judged { operation, access, enough, short }
    }

    /// What the policy says otherwise.
    fn told(&self, callers: &StandIn, sets: &[&[String]]) -> Option<String> {
        let title = self.operation.title();
        for server in &self.operation.servers {
            let path = format!("{}{}", server.base, drift::example(&self.operation.path));
            let method = &self.operation.method;
            if callers.engine.naming(method, server.host.as_deref(), &path).is_empty() {
                continue;
            }
            let mut request =
                CaseRequest { method: method.clone(), path: Some(path), ..CaseRequest::default() };
            if let Some(host) = &server.host {
                request.authority.clone_from(host);
            }
            let refusal = |request: &CaseRequest| {
                let decision = observe(&callers.engine, NOW, request).0?;
                let reason = decision.reason().or(decision.observed());
                Some((reason, decision.required().iter().map(Scope::to_string).collect()))
            };
            let of_key = |scopes: &[String]| -> Option<(Option<Reason>, Vec<String>)> {
                let place = sets.iter().position(|set| *set == scopes)?;
                refusal(&callers.present(&id(place), NOW, &request))
            };
            let anonymous = refusal(&request).map(|(reason, _)| reason);
            let of_all = of_key(&all()).map(|(reason, _)| reason);
            let closed = [anonymous, of_all].into_iter().flatten().flatten().find(is_for_everybody);
            if let Some(reason) = closed.filter(|_| self.access != Access::Deny) {
                return Some(format!(
                    "`{title}` may be called by the document, and by the policy by nobody, for `{}`",
                    reason.as_str()
                ));
            }
            match (&self.access, anonymous) {
                (Access::Public | Access::Optional(_), Some(Some(Reason::MissingCredential))) => {
                    return Some(format!(
                        "`{title}` needs no key by the document, and one by the policy"
                    ));
                }
                (Access::Deny, Some(None)) => {
                    return Some(format!(
                        "`{title}` takes no key by the document, and by the policy anybody may call it"
                    ));
                }
                (Access::Authenticated | Access::Key(_), Some(None)) => {
                    return Some(format!(
                        "`{title}` needs a key by the document, and none by the policy"
                    ));
                }
                _ => {}
            }
            for scopes in &self.enough {
                if let Some((Some(Reason::InsufficientScope), required)) = of_key(scopes) {
                    let (scopes, required) = (listed(scopes), listed(&required));
                    return Some(format!(
                        "a key with {scopes} may call `{title}` by the document, and not by the policy, which asks for \
                         {required}"
                    ));
                }
            }
            for scopes in &self.short {
                if let Some((None, _)) = of_key(scopes) {
                    if self.access == Access::Deny {
                        return Some(format!(
                            "`{title}` takes no key by the document, and one by the policy"
                        ));
                    }
                    let asked = self.enough.concat();
                    let missing: Vec<_> =
                        asked.into_iter().filter(|scope| !scopes.contains(scope)).collect();
                    let missing = listed(&missing);
                    return Some(format!(
                        "a key without {missing} may not call `{title}` by the document, and may by the policy"
                    ));
                }
            }
        }
        None
    }
}

/// The scopes of a key that may do all.
fn all() -> Vec<String> {
    vec!["*:*".to_owned()]
}

/// Whether no key could do better.
fn is_for_everybody(reason: &Reason) -> bool {
    matches!(reason, Reason::DeniedByRule | Reason::MethodNotAllowed)
}

/// Keys without times are good at any.
const NOW: i64 = 0;

/// The id of the key with the scopes at an index: none that anybody has.
fn id(index: usize) -> String {
    format!("latchkey-rules-against-{index}")
}

/// The policy with keys of these scopes, and without what it asks of keys and requests besides.
fn with_keys(policy: &Document, sets: &[&[String]]) -> Document {
    let mut copy = policy.clone();
    let Document::Object(Fields(fields)) = &mut copy else { return copy };
    fields.retain(|(name, _)| name != "where");
    for (name, value) in fields {
        let Document::Array(items) = value else { continue };
        match name.as_str() {
            "keys" => items.extend(sets.iter().enumerate().map(|(index, set)| key(index, set))),
            "rules" => {
                items.retain(|rule| {
                    let Document::Object(rule) = rule else { return true };
                    rule.value("query").is_none() && rule.value("headers").is_none()
                });
                for rule in items {
                    let Document::Object(Fields(rule)) = rule else { continue };
                    rule.retain(|(name, _)| name != "where");
                }
            }
            _ => {}
        }
    }
    copy
}

fn key(index: usize, scopes: &[String]) -> Document {
    let text = |text: String| Document::String(text);
    let scopes = scopes.iter().cloned().map(text).collect();
    let fields = [
        ("id", text(id(index))),
        // Another one takes its place.
        ("hash", text(format!("sha256:{index:064x}"))),
        ("scopes", Document::Array(scopes)),
    ];
    Document::Object(Fields(fields.map(|(name, value)| (name.to_owned(), value)).into()))
}

/// All scopes but for one of them, for each; none, where one may stand for others.
fn all_but_one(scopes: &[String]) -> Vec<Vec<String>> {
    if scopes.iter().any(|scope| scope.contains('*')) {
        return vec![Vec::new()];
    }
    let without = |left_out: usize| {
        let kept = scopes.iter().enumerate().filter(move |(index, _)| *index != left_out);
        kept.map(|(_, scope)| scope.clone()).collect()
    };
    (0..scopes.len()).map(without).collect()
}

fn listed(scopes: &[String]) -> String {
    let quoted: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    quoted.join(", ")
}
