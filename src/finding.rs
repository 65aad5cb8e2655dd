//! What is wrong with a configuration, and where.
//!
//! Compiling a configuration collects findings; it never stops at the first and never drops one.
//! A finding names its place by JSON pointer (RFC 6901) and quotes only what cannot be a secret.

use std::borrow::Cow;
use std::fmt;

use crate::limits;
use crate::scope::is_word;

/// One thing wrong, or doubtful, in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of mistake it is; stable across releases.
    pub code: Code,
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// Its place, as a JSON pointer; empty for the whole document.
    pub pointer: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(formatter, "{pointer}: {}", self.message)?;
        match &self.help {
            Some(help) => write!(formatter, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Whether a finding refuses the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is served; somebody should look.
    Warning,
}

impl Severity {
    /// The word for people and for `--format json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// The kinds of findings, by their stable names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])+ $name,)+ }

        impl Code {
            /// Every code, in alphabetical order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The stable name, as `latchkey check --format json` prints it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// Two parts of one rule, or of one credential source, cannot both hold.
    Contradiction = "contradiction",
    /// Two credential sources, parameters or fields of the same name.
    Duplicate = "duplicate",
    /// Two keys with the same hash.
    DuplicateHash = "duplicate_hash",
    /// Two keys with the same id.
    DuplicateId = "duplicate_id",
    /// A list or a map that must hold something is empty.
    Empty = "empty",
    /// A key's hash is not `sha256:` or `hmac-sha256:` and 64 hex digits.
    InvalidHash = "invalid_hash",
    /// A header name or value that HTTP forbids (RFC 9110 section 5), or that only a proxy may set.
    InvalidHeader = "invalid_header",
    /// A host pattern is not a host name, `*.` and a host name, or an address.
    InvalidHost = "invalid_host",
    /// A key id, type name or attribute name uses other characters than `[A-Za-z0-9_.-]`.
    InvalidIdentifier = "invalid_identifier",
    /// The document is not JSON.
    InvalidJson = "invalid_json",
    /// A method is not an HTTP token (RFC 9110 section 9.1).
    InvalidMethod = "invalid_method",
    /// An origin is not `scheme://host[:port]` (RFC 6454 section 7).
    InvalidOrigin = "invalid_origin",
    /// A path template is not one.
    InvalidPath = "invalid_path",
    /// A scope is not `resource:action` or `action`.
    InvalidScope = "invalid_scope",
    /// A template is not closed, or its result could never be what it stands for.
    InvalidTemplate = "invalid_template",
    /// A value has the right shape and cannot be right.
    InvalidValue = "invalid_value",
    /// A field that must be there is not.
    MissingField = "missing_field",
    /// A key of a type with `origins_required` has no origins.
    MissingOrigins = "missing_origins",
    /// A key uses `hmac-sha256` and the VM has no `LATCHKEY_PEPPER`.
    MissingPepper = "missing_pepper",
    /// More of something than there may be; see [`limits`].
    TooLarge = "too_large",
    /// A condition or a header names an attribute that no key has.
    UnknownAttribute = "unknown_attribute",
    /// A field that Latchkey does not know.
    UnknownField = "unknown_field",
    /// A key names a type that is not defined.
    UnknownKeyType = "unknown_key_type",
    /// A template names a variable that does not exist where it stands.
    UnknownParameter = "unknown_parameter",
    /// `errors.reasons` names a reason that does not exist.
    UnknownReason = "unknown_reason",
    /// A key's `not_before` is not before its `expires_at`.
    WindowNeverOpens = "window_never_opens",
    /// A value has another type than the field takes.
    WrongType = "wrong_type",
}

/// Collects findings: the first [`limits::FINDINGS`] one by one, of the others how many they are.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    told: Vec<Finding>,
    untold: usize,
    has_errors: bool,
}

impl Findings {
    /// Notes an error. Returns the finding, so that help can be added.
    pub(crate) fn error(
        &mut self,
        place: Place<'_>,
        code: Code,
        message: impl Into<Cow<'static, str>>,
    ) -> Noted<'_> {
        self.note(place, code, Severity::Error, message.into())
    }

    /// Notes a warning.
    pub(crate) fn warning(
        &mut self,
        place: Place<'_>,
        code: Code,
        message: impl Into<Cow<'static, str>>,
    ) -> Noted<'_> {
        self.note(place, code, Severity::Warning, message.into())
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    pub(crate) fn into_vec(mut self) -> Vec<Finding> {
        if self.untold > 0 {
            let message = format!("{} findings more", self.untold);
            let severity = if self.has_errors { Severity::Error } else { Severity::Warning };
            self.tell(Place::ROOT, Code::TooLarge, severity, message.into());
        }
        self.told
    }

    /// Not in line: there are more than a hundred mistakes to be told.
    #[inline(never)]
    fn note(
        &mut self,
        place: Place<'_>,
        code: Code,
        severity: Severity,
        message: Cow<'static, str>,
    ) -> Noted<'_> {
        self.has_errors |= severity == Severity::Error;
        if self.told.len() == limits::FINDINGS {
            self.untold = self.untold.saturating_add(1);
            return Noted(None);
        }
        Noted(Some(self.tell(place, code, severity, message)))
    }

    fn tell(
        &mut self,
        place: Place<'_>,
        code: Code,
        severity: Severity,
        message: Cow<'static, str>,
    ) -> &mut Finding {
        let (pointer, message) = (place.to_string(), message.into_owned());
        self.told.push_mut(Finding { code, severity, pointer, message, help: None })
    }
}

/// A finding just noted; none where no more are told.
#[derive(Debug)]
pub(crate) struct Noted<'a>(Option<&'a mut Finding>);

impl Noted<'_> {
    /// Adds what to do about it.
    pub(crate) fn help(self, help: impl Into<Cow<'static, str>>) {
        self.set_help(help.into());
    }

    #[inline(never)]
    fn set_help(self, help: Cow<'static, str>) {
        if let Some(finding) = self.0 {
            finding.help = Some(help.into_owned());
        }
    }

    /// Adds "did you mean", if one of `known` is near enough to `word`.
    pub(crate) fn did_you_mean<K: AsRef<str>>(
        self,
        word: &str,
        known: impl IntoIterator<Item = K>,
    ) {
        // Many mistyped words against many known ones would take hours.
        let near = self.0.is_some().then(|| nearest(word, known)).flatten();
        if let Some(near) = near {
            self.suggest(near.as_ref());
        }
    }

    #[inline(never)]
    fn suggest(self, near: &str) {
        self.set_help(format!("did you mean `{near}`?").into());
    }
}

/// The one of `known` that `word` was most likely meant to be.
fn nearest<K: AsRef<str>>(word: &str, known: impl IntoIterator<Item = K>) -> Option<K> {
    let (mut nearest, mut highest) = (None, 0.8);
    for candidate in known {
        let similarity = strsim::jaro_winkler(word, candidate.as_ref());
        if similarity >= highest {
            highest = similarity;
            nearest = Some(candidate);
        }
    }
    nearest
}

/// A place in the configuration, written as a JSON pointer only when something is found there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
    Root,
}

impl<'a> Place<'a> {
    pub(crate) const ROOT: Place<'static> = Place { parent: None, step: Step::Root };

    pub(crate) fn field<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn item(&self, index: usize) -> Place<'_> {
        Place { parent: Some(self), step: Step::Item(index) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
        }
        match self.step {
            Step::Field(name) => {
                write!(formatter, "/{}", name.replace('~', "~0").replace('/', "~1"))
            }
            Step::Item(index) => write!(formatter, "/{index}"),
            Step::Root => Ok(()),
        }
    }
}

/// Whether `text` can name a key, a key type or an attribute: `[A-Za-z0-9_.-]{1,64}`.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= limits::IDENTIFIER_BYTES && is_word(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_json_pointer() {
        let rules = Place::ROOT.field("rules");
        let rule = rules.item(3);
        assert_eq!(rule.field("a/b~c").to_string(), "/rules/3/a~1b~0c");
        assert_eq!(Place::ROOT.to_string(), "");
    }

    #[test]
    fn codes_are_in_order_and_their_names_are_distinct() {
        let names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("kyes", ["keys", "rules"]), Some("keys"));
        assert_eq!(nearest("zebra", ["keys", "rules"]), None);
    }
}
