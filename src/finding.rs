//! What is wrong with a configuration, and where.
//!
//! Compiling a configuration collects findings; it never stops at the first and never drops one.
//! A finding names its place by JSON pointer (RFC 6901) and quotes only what cannot be a secret.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
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
    /// An address is not an IPv4 or IPv6 address, or a network of them (RFC 4632, RFC 4291 section 2.3).
    InvalidAddress = "invalid_address",
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
    /// A policy or a rule is observed and not enforced.
    NotEnforced = "not_enforced",
    /// There is no memory left for the policy where it is to serve.
    OutOfMemory = "out_of_memory",
    /// More of something than there may be; see [`limits`].
    TooLarge = "too_large",
    /// A condition or a header names an attribute that no key has.
    UnknownAttribute = "unknown_attribute",
    /// A rule names a credential source that is not defined.
    UnknownCredential = "unknown_credential",
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
    told: RefCell<Vec<Finding>>,
    untold: Cell<usize>,
    has_errors: Cell<bool>,
}

impl Findings {
    /// The whole configuration, about which findings are noted here.
    pub(crate) fn root(&self) -> Place<'_> {
        Place { parent: None, step: Step::Root, findings: self }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors.get()
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        let untold = self.untold.get();
        if untold > 0 {
            let severity = if self.has_errors() { Severity::Error } else { Severity::Warning };
            let message = format!("{untold} more findings");
            self.tell(self.root(), Code::TooLarge, severity, message.into());
        }
        self.told.into_inner()
    }

    /// Not in line: there are more than a hundred mistakes to be told.
    #[inline(never)]
    fn note(
        &self,
        place: Place<'_>,
        code: Code,
        severity: Severity,
        message: Cow<'static, str>,
    ) -> Noted<'_> {
        if severity == Severity::Error {
            self.has_errors.set(true);
        }
        let number = self.told.borrow().len();
        if number == limits::FINDINGS {
            self.untold.set(self.untold.get().saturating_add(1));
            return Noted { findings: self, number: None };
        }
        self.tell(place, code, severity, message);
        Noted { findings: self, number: Some(number) }
    }

    fn tell(&self, place: Place<'_>, code: Code, severity: Severity, message: Cow<'static, str>) {
        let (pointer, message) = (place.to_string(), message.into_owned());
        self.told.borrow_mut().push(Finding { code, severity, pointer, message, help: None });
    }
}

/// A finding just noted, by its number; none where no more are told.
#[derive(Debug)]
pub(crate) struct Noted<'f> {
    findings: &'f Findings,
    number: Option<usize>,
}

impl Noted<'_> {
    /// Adds what to do about it.
    pub(crate) fn help(self, help: impl Into<Cow<'static, str>>) {
        self.set_help(help.into());
    }

    #[inline(never)]
    fn set_help(self, help: Cow<'static, str>) {
        let mut told = self.findings.told.borrow_mut();
        if let Some(finding) = self.number.and_then(|number| told.get_mut(number)) {
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
        let near = self.number.and_then(|_| nearest(word, known));
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

/// A place in the configuration, and where findings about it go. It is written as a JSON pointer only when
/// something is found there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
    findings: &'p Findings,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Field(&'p str),
    Item(usize),
    Root,
}

impl<'p> Place<'p> {
    pub(crate) fn field<'c>(&'c self, name: &'c str) -> Place<'c> {
        Place { parent: Some(self), step: Step::Field(name), findings: self.findings }
    }

    pub(crate) fn item(&self, index: usize) -> Place<'_> {
        Place { parent: Some(self), step: Step::Item(index), findings: self.findings }
    }

    /// Notes an error. Returns the finding, so that help can be added.
    pub(crate) fn error(self, code: Code, message: impl Into<Cow<'static, str>>) -> Noted<'p> {
        self.findings.note(self, code, Severity::Error, message.into())
    }

    /// Notes a warning.
    pub(crate) fn warning(self, code: Code, message: impl Into<Cow<'static, str>>) -> Noted<'p> {
        self.findings.note(self, code, Severity::Warning, message.into())
    }

    /// Notes that something is larger than it may be.
    pub(crate) fn too_many(self, what: &str, most: usize) {
        self.error(Code::TooLarge, format!("more than {most} {what}"));
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
        let findings = Findings::default();
        let root = findings.root();
        let rules = root.field("rules");
        let rule = rules.item(3);
        assert_eq!(rule.field("a/b~c").to_string(), "/rules/3/a~1b~0c");
        assert_eq!(root.to_string(), "");
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
