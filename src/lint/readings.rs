//! Rules that ask more than they say, since some upstream takes a path for another's.

use std::collections::HashMap;

use super::parameters::share_requests;
use super::{Label, Remark};
use crate::engine::Engine;
use crate::path::{Part, PathTemplate, Segment};
use crate::rule::{Rule, around_parameter};
use crate::upstream::{Letters, Readings, Suffix};

const HELP: &str = "if the upstream does not, name its framework in `upstream`, or write `exact`; else let both ask the \
                    same";

pub(super) fn look(engine: &Engine, label: Label<'_>, remarks: &mut Vec<Remark>) {
    let readings = engine.upstream;
    if readings.letters == Letters::None && readings.suffix == Suffix::None && !readings.parts {
        return;
    }
    let known = Known::new(engine.rules(), readings, label);
    for rule in engine.rules() {
        for (place, path) in rule.paths.iter().enumerate() {
            let message =
                known.other_letters(rule, path).or_else(|| known.last_segment(rule, path));
            remarks.extend(message.map(|message| Remark {
                code: "stricter_by_reading",
                pointer: format!("{}/paths/{place}", rule.pointer()),
                message,
                help: HELP,
            }));
        }
    }
}

/// The paths of all rules, by what they are in one letter case, each with its rule.
struct Known<'e> {
    readings: Readings,
    label: Label<'e>,
    paths: HashMap<String, Vec<(&'e Rule, &'e PathTemplate)>>,
}

impl<'e> Known<'e> {
    fn new(rules: &'e [Rule], readings: Readings, label: Label<'e>) -> Known<'e> {
        let mut paths: HashMap<String, Vec<_>> = HashMap::new();
        for rule in rules {
            for path in &rule.paths {
                paths.entry(key(&path.segments, readings.letters)).or_default().push((rule, path));
            }
        }
        Known { readings, label, paths }
    }

    /// Those of rules that may decide about the same requests otherwise, the first first.
    fn others(
        &self,
        rule: &'e Rule,
        segments: &[Segment],
    ) -> impl Iterator<Item = (&'e Rule, &'e PathTemplate)> {
        let known = self.paths.get(&key(segments, self.readings.letters));
        known.into_iter().flatten().copied().filter(|(other, _)| share_requests(rule, other))
    }

    /// An earlier rule whose path differs in the case of letters only, and what that means.
    fn other_letters(&self, rule: &'e Rule, path: &PathTemplate) -> Option<String> {
        let as_written = |path: &PathTemplate| key(&path.segments, Letters::None);
        let mut others = self.others(rule, &path.segments);
        let (other, of_other) = others.find(|(other, of_other)| {
            other.index < rule.index
                && as_written(of_other) != as_written(path)
                && !asks_the_same(rule, other)
        })?;
        Some(format!(
            "`{}` and `{}` of `{}` are one path to an upstream that does not tell letters by their case: \
             who asks for either must be let in by both",
            path.text,
            of_other.text,
            (self.label)(other)
        ))
    }

    /// What decides about what else a path's last segment is taken for, where that makes the rule stricter.
    fn last_segment(&self, rule: &'e Rule, path: &PathTemplate) -> Option<String> {
        let (last, before) = path.segments.split_last()?;
        let (head, _) = path.text.rsplit_once('/')?;
        let suffix =
            without_suffix(last, self.readings.suffix).map(|cut| (cut, "takes formats off"));
        let parts = if self.readings.parts { parts(last) } else { Vec::new() };
        let parts = parts.into_iter().map(|part| (part, "parts it at commas"));
        suffix.into_iter().chain(parts).find_map(|(taken, upstream)| {
            let with_last = |last: &Segment| [before, std::slice::from_ref(last)].concat();
            let by_text = self.others(rule, &with_last(&taken)).next();
            let by_parameter = || self.others(rule, &with_last(&Segment::One(None))).next();
            let (written, shown) = (&path.text, shown(&taken));
            match by_text.or_else(by_parameter) {
                Some((other, _)) if asks_the_same(rule, other) || other.access.is_open() => None,
                Some((other, of_other)) => Some(format!(
                    "`{written}` is `{head}/{shown}` to an upstream that {upstream}, and must be let in by `{}` \
                     of `{}` as well",
                    of_other.text,
                    (self.label)(other)
                )),
                None if matches!(last, Segment::Literal(_)) || !rule.access.is_open() => None,
                None => Some(format!(
                    "`{written}` is `{head}/{shown}` to an upstream that {upstream}, which no rule opens: \
                     nobody is let in without a key"
                )),
            }
        })
    }
}

/// A path in which each parameter stands for any other, its literals in one letter case.
fn key(segments: &[Segment], letters: Letters) -> String {
    let mut key = String::new();
    for segment in segments {
        key.push('/');
        match segment {
            Segment::Literal(text) => key.push_str(&letters.folded(text)),
            Segment::One(_) => key.push('\0'),
            Segment::Part(part) => {
                key.push_str(&letters.folded(&part.before));
                key.push('\0');
                key.push_str(&letters.folded(&part.after));
            }
            Segment::Rest(_) => key.push_str("\0\0"),
        }
    }
    key
}

/// A segment without the suffix that stands in its text.
fn without_suffix(segment: &Segment, suffix: Suffix) -> Option<Segment> {
    match segment {
        Segment::Literal(text) => suffix.cut(text).map(|name| Segment::Literal(name.into())),
        Segment::Part(part) => {
            // A parameter stands before the suffix, as some text.
            let after = format!("x{}", part.after);
            let after = suffix.cut(&after)?.strip_prefix('x')?;
            Some(match (&*part.before, after) {
                ("", "") => Segment::One(Some(part.name.clone())),
                _ => Segment::Part(Box::new(Part { after: after.into(), ..(**part).clone() })),
            })
        }
        Segment::One(_) | Segment::Rest(_) => None,
    }
}

/// What stands between the commas of a segment's text.
fn parts(segment: &Segment) -> Vec<Segment> {
    let (text, name) = match segment {
        Segment::Literal(text) => (text.to_string(), None),
        Segment::Part(part) => (around_parameter(&part.before, &part.after), Some(&part.name)),
        Segment::One(_) | Segment::Rest(_) => return Vec::new(),
    };
    let part = |text: &str| match (text.split_once('\0'), name) {
        (Some(("", "")), name) => Segment::One(name.cloned()),
        (Some((before, after)), Some(name)) => {
            let name = name.clone();
            Segment::Part(Box::new(Part { before: before.into(), name, after: after.into() }))
        }
        _ => Segment::Literal(text.into()),
    };
    if text.contains(',') { text.split(',').map(part).collect() } else { Vec::new() }
}

/// A segment as a policy writes it.
fn shown(segment: &Segment) -> String {
    match segment {
        Segment::Literal(text) => text.to_string(),
        Segment::One(name) => name.as_deref().map_or("*".to_owned(), |name| format!("{{{name}}}")),
        Segment::Part(part) => format!("{}{{{}}}{}", part.before, part.name, part.after),
        Segment::Rest(_) => "**".to_owned(),
    }
}

fn asks_the_same(one: &Rule, other: &Rule) -> bool {
    let names = |rule: &Rule| rule.credentials.as_ref().map(|sources| sources.names.clone());
    one.index == other.index
        || (one.access == other.access
            && one.conditions == other.conditions
            && names(one) == names(other)
            && one.graphql.is_none()
            && other.graphql.is_none())
}

#[cfg(test)]
mod tests {
    use super::super::tests::remarks;

    /// What is told of rules, without how.
    #[track_caller]
    fn told(rules: &str, upstream: &str) -> Vec<String> {
        let mut remarks = remarks(&format!("upstream: {upstream}\nrules: [{rules}]\n"));
        remarks.retain(|remark| remark.contains("stricter_by_reading"));
        remarks
    }

    #[test]
    fn paths_that_differ_in_letter_case_make_each_other_stricter() {
        let rules =
            "{name: me, paths: [/users/me]}, {paths: [/users/you, /Users/ME], require: [admin]}";
        let message = "/rules/1/paths/1 stricter_by_reading: `/Users/ME` and `/users/me` of `me` are one path \
                       to an upstream that does not tell letters by their case: who asks for either must be let in by both";
        assert_eq!(told(rules, "cautious"), [message]);
        assert_eq!(told(rules, "[express]"), [message]);
        for upstream in ["exact", "[rails]"] {
            assert_eq!(told(rules, upstream), [""; 0], "{upstream}");
        }
    }

    #[test]
    fn a_path_with_a_suffix_is_the_one_without() {
        for other in ["/users/{id}", "/users/{user}", "/Users/{id}"] {
            let rules = format!(
                "{{paths: ['/users/{{id}}.json']}}, {{name: one, paths: ['{other}'], require: [admin]}}"
            );
            let message = format!(
                "/rules/0/paths/0 stricter_by_reading: `/users/{{id}}.json` is `/users/{{id}}` to an upstream that \
                 takes formats off, and must be let in by `{other}` of `one` as well"
            );
            assert_eq!(told(&rules, "cautious"), [message]);
        }
        let rules =
            "{name: docs, paths: ['/docs/{id}']}, {paths: [/docs/api.json], access: public}";
        let message = "/rules/1/paths/0 stricter_by_reading: `/docs/api.json` is `/docs/api` to an upstream that \
                       takes formats off, and must be let in by `/docs/{id}` of `docs` as well";
        assert_eq!(told(rules, "cautious"), [message]);
        assert_eq!(told(rules, "[drf]"), [message]);
        assert_eq!(told(rules, "[express]"), [""; 0]);
    }

    #[test]
    fn a_suffix_beside_a_parameter_opens_nothing_by_itself() {
        let message = "/rules/0/paths/0 stricter_by_reading: `/{name}.json` is `/{name}` to an upstream that takes \
                       formats off, which no rule opens: nobody is let in without a key";
        for access in ["public", "optional"] {
            let rules = format!("{{paths: ['/{{name}}.json'], access: {access}}}");
            assert_eq!(told(&rules, "cautious"), [message]);
        }
    }

    #[test]
    fn a_path_with_commas_is_each_of_its_parts() {
        let rules = "{name: both, paths: ['/trpc/list,wipe', '/points/{x},at']}, \
                     {name: wipe, paths: [/trpc/wipe], require: [admin]}, \
                     {name: point, paths: ['/points/{point}'], require: [admin]}";
        let messages = [
            "/rules/0/paths/0 stricter_by_reading: `/trpc/list,wipe` is `/trpc/wipe` to an upstream that parts it at \
             commas, and must be let in by `/trpc/wipe` of `wipe` as well",
            "/rules/0/paths/1 stricter_by_reading: `/points/{x},at` is `/points/{x}` to an upstream that parts it at \
             commas, and must be let in by `/points/{point}` of `point` as well",
        ];
        assert_eq!(told(rules, "cautious"), messages);
        assert_eq!(told(rules, "[trpc]"), messages);
        assert_eq!(told(rules, "[rails]"), [""; 0]);
        let rules = "{paths: ['/points/{x},at'], access: public}";
        let message = "/rules/0/paths/0 stricter_by_reading: `/points/{x},at` is `/points/{x}` to an upstream that \
                       parts it at commas, which no rule opens: nobody is let in without a key";
        assert_eq!(told(rules, "[trpc]"), [message]);
    }

    #[test]
    fn rules_that_no_reading_brings_together_are_no_finding() {
        for rules in [
            "{paths: [/openapi.json], access: public}",
            "{paths: ['/users/{id}.json']}, {paths: ['/users/{id}', /Users/me]}",
            "{paths: [/a.json, /A]}, {paths: [/a], require: ['{action}']}",
            "{paths: ['/{x}.html', '/{x}'], access: public}",
            "{paths: [/a.json]}, {paths: [/a], access: public}",
            "{paths: [/a.json], methods: [GET]}, {paths: [/a], methods: [PUT], access: deny}",
            "{paths: [/a.json], hosts: [a.org]}, {paths: [/A.json], hosts: [b.org], access: deny}",
            "{paths: [/a.zip]}, {paths: [/a], access: deny}",
            "{paths: ['/a,b'], access: public}",
            "{paths: ['/a,b']}, {paths: [/a, '/{x}'], access: public}",
            "{paths: ['/{x}.json'], require: [a:b]}, {access: deny}",
            "{paths: [/users/me], require: [a:b]}, {paths: ['/users/{id}']}, {paths: [/**], access: deny}",
        ] {
            assert_eq!(told(rules, "cautious"), [""; 0], "{rules}");
        }
    }
}
