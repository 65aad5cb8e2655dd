//! A path of an OpenAPI document as the path of a rule.

use std::cmp::Ordering;
use std::collections::HashMap;

use latchkey::{Engine, Environment};

/// A path as a rule has it.
#[derive(Clone, Debug)]
pub(super) struct RulePath {
    /// As it is written in a policy.
    pub(super) text: String,
    segments: Vec<Segment>,
}

/// One segment, of which one parameter may be a part. What a parameter is called tells no paths apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Literal(String),
    Partial(String, String),
    Rest,
}

/// What a path lost on its way.
#[derive(Debug)]
pub(super) enum Loss {
    /// No rule can have such a path, and why.
    Unsayable(String),
    /// This segment is taken whole, whatever stands in it.
    Whole(String),
}

/// Makes paths, and asks the engine what a rule can say.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// What the engine has against a path, by that path.
    asked: HashMap<String, Option<String>>,
}

impl Paths {
    /// The path of a rule for `path`, and what it lost.
    pub(super) fn path(&mut self, path: &str) -> Result<(RulePath, Vec<Loss>), Loss> {
        if path.contains(['?', '#']) {
            return Err(Loss::Unsayable("a path has no query and no fragment".to_owned()));
        }
        let inner = path.trim_start_matches('/');
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let mut losses = Vec::new();
        let mut names = Vec::new();
        let (mut texts, mut segments) = (Vec::new(), Vec::new());
        let parts: Vec<&str> =
            if inner.is_empty() { Vec::new() } else { inner.split('/').collect() };
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            let (text, segment) = self.segment(part, is_last, &mut names, &mut losses)?;
            texts.push(text);
            segments.push(segment);
        }
        let path = RulePath { text: format!("/{}", texts.join("/")), segments };
        match self.refusal(&path.text) {
            None => Ok((path, losses)),
            Some(refusal) => Err(Loss::Unsayable(refusal)),
        }
    }

    fn segment(
        &mut self,
        part: &str,
        is_last: bool,
        names: &mut Vec<String>,
        losses: &mut Vec<Loss>,
    ) -> Result<(String, Segment), Loss> {
        let Some((before, after)) = part.split_once('{') else {
            // A rule's `*` is a parameter.
            let text = part.replace('*', "%2A");
            return match self.refusal(&format!("/{text}")) {
                None => Ok((text, Segment::Literal((*part).to_owned()))),
                Some(refusal) => Err(Loss::Unsayable(refusal)),
            };
        };
        let single = after.split_once('}').filter(|(_, after)| !after.contains(['{', '}']));
        let Some((name, after)) = single else {
            losses.push(Loss::Whole(part.to_owned()));
            return Ok(("*".to_owned(), Segment::Any));
        };
        let is_new = !names.iter().any(|known| known == name);
        names.push(name.to_owned());
        if before.is_empty() && after.is_empty() {
            // API gateways write the rest of a path so.
            if let Some(name) = name.strip_suffix('+').filter(|_| is_last) {
                let text = format!("{{{name}...}}");
                let is_sayable = is_new && self.refusal(&format!("/{text}")).is_none();
                return Ok((if is_sayable { text } else { "**".to_owned() }, Segment::Rest));
            }
            let is_sayable = is_new && self.refusal(&format!("/{part}")).is_none();
            return Ok((if is_sayable { part } else { "*" }.to_owned(), Segment::Any));
        }
        if is_new && self.refusal(&format!("/{part}")).is_none() {
            return Ok((part.to_owned(), Segment::Partial(before.to_owned(), after.to_owned())));
        }
        losses.push(Loss::Whole(part.to_owned()));
        Ok(("*".to_owned(), Segment::Any))
    }

    /// What the engine has against the path of a rule; `None` if nothing.
    fn refusal(&mut self, path: &str) -> Option<String> {
        if let Some(known) = self.asked.get(path) {
            return known.clone();
        }
        let policy = serde_json::json!({
            "credentials": [{"header": "x-key"}],
            "keys": [],
            "rules": [{"paths": [path], "access": "public"}],
        });
        let compiled = Engine::compile(policy.to_string().as_bytes(), &Environment::default());
        let refusal =
            compiled.err().and_then(|findings| Some(findings.into_iter().next()?.message));
        self.asked.insert(path.to_owned(), refusal.clone());
        refusal
    }
}

impl RulePath {
    /// Whether both match the same requests.
    pub(super) fn is_same(&self, other: &RulePath) -> bool {
        self.segments == other.segments
    }

    /// Whether a request could match both.
    pub(super) fn overlaps(&self, other: &RulePath) -> bool {
        let (mut segments, mut others) = (self.segments.iter(), other.segments.iter());
        loop {
            match (segments.next(), others.next()) {
                (None, None) | (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) => return true,
                (Some(one), Some(other)) if one.overlaps(other) => {}
                _ => return false,
            }
        }
    }

    /// Less is more specific: from the left, a text before a part of one before anything.
    pub(super) fn specificity(&self, other: &RulePath) -> Ordering {
        self.segments.iter().map(Segment::rank).cmp(other.segments.iter().map(Segment::rank))
    }
}

impl Segment {
    fn rank(&self) -> (u8, usize) {
        match self {
            Segment::Literal(_) => (0, 0),
            // The longer its text, the fewer it takes.
            Segment::Partial(before, after) => (1, usize::MAX - before.len() - after.len()),
            Segment::Any => (2, 0),
            Segment::Rest => (3, 0),
        }
    }

    fn overlaps(&self, other: &Segment) -> bool {
        let begins = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
        let ends = |one: &str, other: &str| one.ends_with(other) || other.ends_with(one);
        match (self, other) {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Literal(text), Segment::Partial(before, after))
            | (Segment::Partial(before, after), Segment::Literal(text)) => {
                text.len() > before.len() + after.len()
                    && text.starts_with(before.as_str())
                    && text.ends_with(after.as_str())
            }
            (Segment::Partial(before, after), Segment::Partial(other_before, other_after)) => {
                begins(before, other_before) && ends(after, other_after)
            }
            (Segment::Any | Segment::Rest, _) | (_, Segment::Any | Segment::Rest) => true,
        }
    }
}
