//! Conditions on a key: what `where` says.

use crate::identity::Identity;
use crate::template::{Template, Values, Variable};

/// A property that a key must have, and the values of which it must have one, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) subject: Subject,
    /// Whether it must have none of them.
    pub(crate) is_negated: bool,
    pub(crate) choices: Vec<Template>,
}

/// A property of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Account,
    Attribute(Box<str>),
    Id,
    Type,
}

impl Subject {
    pub(crate) fn named(name: &str) -> Subject {
        match name {
            "account" => Subject::Account,
            "id" => Subject::Id,
            "type" => Subject::Type,
            _ => Subject::Attribute(name.into()),
        }
    }

    pub(crate) fn of<'a>(&self, identity: Identity<'a>) -> Option<&'a str> {
        match self {
            Subject::Account => identity.account(),
            Subject::Attribute(name) => identity.attribute(name),
            Subject::Id => Some(identity.id()),
            Subject::Type => identity.key_type(),
        }
    }
}

impl Condition {
    /// Whether who asks meets the condition.
    ///
    /// A choice that stands for several values, a repeated parameter say, is met only by a key whose
    /// property equals each of them, or none of them: an upstream may read any. Who lacks the property meets
    /// nothing, nor does anybody where a value is missing.
    #[inline(never)]
    pub(crate) fn is_met<'v>(
        &'v self,
        identity: Identity<'_>,
        values: impl Fn(&Variable) -> Values<'v>,
    ) -> bool {
        let Some(value) = self.subject.of(identity) else { return false };
        let is_right = |text: &str| (text == value) != self.is_negated;
        let mut choices = self.choices.iter().map(|choice| match choice.as_literal() {
            Some(text) => is_right(text),
            None => {
                choice.expand(&values).is_some_and(|texts| texts.iter().all(|text| is_right(text)))
            }
        });
        if self.is_negated { choices.all(|is_met| is_met) } else { choices.any(|is_met| is_met) }
    }
}
