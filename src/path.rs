//! Request paths made safe, and the templates that match them.

use std::borrow::Cow;
use std::{fmt, iter};

use percent_encoding::percent_decode;

use crate::config::Word;
use crate::limits;
use crate::upstream::{Deviation, Readings};

/// A request's path, split and decoded (RFC 3986 section 3.3).
///
/// Segments are percent-decoded whole. That is unambiguous, because a path that holds an encoded `/`, `\` or
/// control character is malformed here, or an encoded `%` that could begin another encoding. Where
/// [`EncodedSlashes::Keep`] lets the first two stand, they part no segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    pub(crate) segments: Vec<Cow<'a, str>>,
    /// As upstreams read it otherwise.
    pub(crate) others: Vec<OtherPath<'a>>,
    /// Whether a segment holds a slash or a backslash, which only a parameter may take.
    pub(crate) has_slashes: bool,
    /// The path as it must be forwarded, where [`Normalization::Normalize`] changed it.
    pub(crate) rewritten: Option<String>,
    /// What may stand in the segments, as [`marks`] tells.
    marks: u8,
}

/// A path as an upstream reads it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherPath<'a> {
    pub(crate) by: Deviation,
    pub(crate) segments: Vec<Cow<'a, str>>,
    /// The same as rules spell it where an upstream compares it in any letter case: parameters keep their
    /// letters.
    pub(crate) spelling: Option<Vec<Cow<'a, str>>>,
}

/// What becomes of a path that an upstream could read differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Normalization {
    /// Dot and empty segments are resolved, and the resolved path is forwarded.
    Normalize,
    /// The path is refused.
    #[default]
    Strict,
}

impl Word for Normalization {
    const WORDS: &'static [(&'static str, Normalization)] =
        &[("normalize", Normalization::Normalize), ("strict", Normalization::Strict)];
}

/// What becomes of a path with an encoded `/` or `\`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EncodedSlashes {
    /// A parameter takes them as a part of its segment.
    Keep,
    /// The path is refused.
    #[default]
    Refuse,
}

impl Word for EncodedSlashes {
    const WORDS: &'static [(&'static str, EncodedSlashes)] =
        &[("keep", EncodedSlashes::Keep), ("refuse", EncodedSlashes::Refuse)];
}

/// Room for the segments of most paths.
const SEGMENTS: usize = 8;

/// The path could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedPath;

impl<'a> Path<'a> {
    /// Reads the path part of a `:path` header, without its query.
    ///
    /// One trailing slash makes no segment of its own, so it is ignored.
    pub(crate) fn parse(
        raw: &'a [u8],
        mode: Normalization,
        slashes: EncodedSlashes,
    ) -> Result<Path<'a>, MalformedPath> {
        let marks_of = |byte: &u8| MARKS.get(usize::from(*byte)).copied().unwrap_or(NEVER);
        let marks = raw.iter().fold(0, |all, byte| all | marks_of(byte));
        if marks & NEVER > 0 {
            return Err(MalformedPath);
        }
        let raw = std::str::from_utf8(raw).map_err(|_| MalformedPath)?;
        let inner = raw.strip_prefix('/').ok_or(MalformedPath)?;
        let (inner, trailing_slash) = match inner.strip_suffix('/') {
            Some(inner) => (inner, "/"),
            None => (inner, ""),
        };
        let mut segments = Vec::with_capacity(SEGMENTS);
        let mut rewritten = None;
        if mode == Normalization::Normalize {
            let canonical = resolve(inner, trailing_slash, (slashes, marks), &mut segments)?;
            rewritten = Some(canonical).filter(|canonical| canonical != raw);
        } else if raw.len() > 1 {
            for spelling in parted(inner) {
                let segment = segment(spelling, (slashes, marks))?;
                if !is_safe(segment.as_bytes()) {
                    return Err(MalformedPath);
                }
                segments.push(segment);
            }
        }
        let others = if marks & SEMICOLON > 0 { without_semicolons(&segments) } else { Vec::new() };
        let has_slashes =
            slashes == EncodedSlashes::Keep && segments.iter().any(|segment| holds_slash(segment));
        Ok(Path { segments, others, has_slashes, rewritten, marks })
    }

    /// Whether a segment may hold a letter that is not in the case of most.
    pub(crate) fn may_have_capitals(&self) -> bool {
        self.marks & CAPITAL > 0
    }

    /// Adds what upstreams take for a path by its last segment, by a script's name in it, or by a part of it.
    pub(crate) fn read_last(&mut self, readings: Readings) -> Result<(), MalformedPath> {
        match self.marks & TAIL == 0 && !readings.rest && !readings.shorter {
            true => Ok(()),
            false => self.read_tails(readings),
        }
    }

    #[cold]
    fn read_tails(&mut self, readings: Readings) -> Result<(), MalformedPath> {
        let has_shorter = readings.rest || readings.shorter;
        if self.segments.len() > limits::PATHS {
            return Err(MalformedPath);
        }
        let mut added: Vec<OtherPath<'a>> = Vec::new();
        let semicolons = self.others.iter().map(|other| &other.segments);
        for segments in iter::once(&self.segments).chain(semicolons) {
            let Some((last, before)) = segments.split_last() else { continue };
            let was_encoded = matches!(last, Cow::Owned(_));
            let tails = readings.tails(last, was_encoded);
            let mut add = |by, before: &[Cow<'a, str>], tail: &str| {
                if added.len() > limits::PATHS {
                    return;
                }
                let mut segments = before.to_vec();
                segments.push(Cow::Owned(tail.to_owned()));
                added.push(OtherPath { by, segments, spelling: None });
            };
            tails.iter().for_each(|(by, tail)| add(*by, before, tail));
            let ends = if has_shorter { before.len().min(limits::SEGMENTS) } else { 0 };
            for end in 0..ends {
                let (before, rest) = segments.split_at_checked(end).unwrap_or_default();
                if readings.rest {
                    add(Deviation::Rest, before, &rest.join("/"));
                }
                if readings.shorter {
                    add(Deviation::Shorter, before, last);
                    tails.iter().for_each(|(_, tail)| add(Deviation::Shorter, before, tail));
                }
            }
            if readings.scripts {
                added.extend(without_script(segments));
            }
            if added.len() > limits::PATHS {
                return Err(MalformedPath);
            }
        }
        self.others.append(&mut added);
        Ok(())
    }
}

impl OtherPath<'_> {
    /// What rules compare.
    pub(crate) fn compared(&self) -> &[Cow<'_, str>] {
        self.spelling.as_ref().unwrap_or(&self.segments)
    }
}

/// What slashes part. The standard library's search for a character is made for longer texts.
fn parted(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|byte| byte == b'/').unwrap_or(text.len());
        rest = text.get(end.saturating_add(1)..);
        text.get(..end)
    })
}

/// What a path is to PHP's servers and frameworks if a segment names a script: that script, what follows it, and where it
/// is the index of a folder, that folder.
fn without_script<'a>(segments: &[Cow<'a, str>]) -> Vec<OtherPath<'a>> {
    let Some(place) = script(segments) else { return Vec::new() };
    let (before, rest) = segments.split_at_checked(place).unwrap_or_default();
    let behind = rest.get(1..).unwrap_or_default();
    let script = segments.get(..=place).unwrap_or_default();
    let mut others = vec![before, behind, script];
    others.retain(|other| other.len() < segments.len());
    let other = |segments: &[Cow<'a, str>]| OtherPath {
        by: Deviation::Script,
        segments: segments.to_vec(),
        spelling: None,
    };
    others.into_iter().map(other).collect()
}

/// The place of the first segment that names a script.
fn script(segments: &[Cow<'_, str>]) -> Option<usize> {
    segments.iter().position(|segment| {
        let end = segment.len().checked_sub(4).and_then(|start| segment.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(".php"))
    })
}

/// Whether something follows a script in a path, which a framework behind it takes for the path.
pub(crate) fn goes_on_behind_script(segments: &[Cow<'_, str>]) -> bool {
    script(segments).is_some_and(|place| place.saturating_add(1) < segments.len())
}

/// A path's readings besides the one that takes each `;` as it stands: without parameters, what follows it in
/// each segment (RFC 3986 section 3.3), and up to the first only, as Fastify 4 does.
#[cold]
fn without_semicolons<'a>(segments: &[Cow<'_, str>]) -> Vec<OtherPath<'a>> {
    let has_parameters = |segment: &Cow<'_, str>| segment.bytes().any(|byte| byte == b';');
    let Some(first) = segments.iter().position(has_parameters) else { return Vec::new() };
    let before = |segment: &Cow<'_, str>| Cow::Owned(before_parameters(segment).to_owned());
    let without_parameters: Vec<_> = segments.iter().map(before).collect();
    let up_to_the_first: Vec<_> =
        without_parameters.iter().take(first.saturating_add(1)).cloned().collect();
    let mut others = vec![without_parameters, up_to_the_first];
    others.dedup();
    let other = |segments| OtherPath { by: Deviation::Semicolon, segments, spelling: None };
    others.into_iter().map(other).collect()
}

/// The path that `segments` make, with unreserved characters decoded (RFC 3986 section 6.2.2.2).
fn canonical(spellings: &[&str], segments: &[Cow<'_, str>], trailing_slash: &str) -> String {
    let mut path = String::new();
    for (spelling, decoded) in spellings.iter().zip(segments) {
        path.push('/');
        // A segment of unreserved characters stands as itself; any other keeps its spelling.
        path.push_str(if decoded.bytes().all(is_unreserved) { decoded } else { spelling });
    }
    if path.is_empty() { "/".to_owned() } else { path + trailing_slash }
}

const CAPITAL: u8 = 1;
const NEVER: u8 = 1 << 1;
const PERCENT: u8 = 1 << 2;
const SEMICOLON: u8 = 1 << 3;
const TAIL: u8 = 1 << 4;

/// What each ASCII character of a path may stand for that is looked at again. Most paths have nothing of it.
#[expect(clippy::indexing_slicing, reason = "a byte below 128")]
const MARKS: [u8; 128] = {
    let mut all = [0; 128];
    let mut byte: u8 = 0;
    while byte < 128 {
        all[byte as usize] = marks(byte);
        byte += 1;
    }
    all
};

const fn marks(byte: u8) -> u8 {
    match byte {
        b'%' => CAPITAL | PERCENT | SEMICOLON | TAIL,
        b',' | b'.' => TAIL,
        b';' => SEMICOLON,
        b'A'..=b'Z' => CAPITAL,
        b'#' | b'\\' => NEVER,
        b'!'..=b'~' => 0,
        _ => NEVER,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What of a segment stands before its parameters.
fn before_parameters(segment: &str) -> &str {
    let end = segment.bytes().position(|byte| byte == b';').unwrap_or(segment.len());
    segment.get(..end).unwrap_or_default()
}

/// Whether a segment names something. Parameters of nothing make an empty segment, or a dot segment, of what
/// they follow.
fn is_safe(segment: &[u8]) -> bool {
    !matches!(segment, [] | [b';', ..] | b"." | [b'.', b';', ..] | b".." | [b'.', b'.', b';', ..])
}

fn holds_slash(segment: &str) -> bool {
    segment.as_bytes().iter().any(is_slash)
}

fn is_slash(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// The segments of a path with dot and empty ones resolved, and that path.
#[cold]
fn resolve<'a>(
    inner: &'a str,
    trailing_slash: &str,
    may_stand: (EncodedSlashes, u8),
    segments: &mut Vec<Cow<'a, str>>,
) -> Result<String, MalformedPath> {
    let mut spellings = Vec::new();
    for spelling in parted(inner) {
        let segment = segment(spelling, may_stand)?;
        match &*segment {
            "" | "." => {}
            ".." => {
                segments.pop();
                spellings.pop();
            }
            _ if !is_safe(segment.as_bytes()) => return Err(MalformedPath),
            _ => {
                segments.push(segment);
                spellings.push(spelling);
            }
        }
    }
    Ok(canonical(&spellings, segments, trailing_slash))
}

/// A segment decoded, of a path in which these may stand.
#[inline]
fn segment(
    spelling: &str,
    (slashes, marks): (EncodedSlashes, u8),
) -> Result<Cow<'_, str>, MalformedPath> {
    if marks & PERCENT == 0 { Ok(Cow::Borrowed(spelling)) } else { decode(spelling, slashes) }
}

/// Decodes a segment, refusing what would not survive a second reading.
#[cold]
fn decode(raw: &str, slashes: EncodedSlashes) -> Result<Cow<'_, str>, MalformedPath> {
    if !raw.bytes().any(|byte| byte == b'%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut pieces = raw.split('%');
    pieces.next();
    let mut holds_percent = false;
    for piece in pieces {
        let digits = piece.as_bytes().get(..2).ok_or(MalformedPath)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| MalformedPath)?;
        match byte {
            [b'/' | b'\\'] if slashes == EncodedSlashes::Keep => {}
            [b'/' | b'\\' | 0..=0x1f | 0x7f] => return Err(MalformedPath),
            [b'%'] => holds_percent = true,
            _ => {}
        }
    }
    let decoded = percent_decode(raw.as_bytes()).decode_utf8().map_err(|_| MalformedPath)?;
    let mut rests = decoded.as_bytes().split(|byte| *byte == b'%').skip(1);
    if holds_percent && rests.any(is_encoding) {
        return Err(MalformedPath);
    }
    // Each part must be what a segment may be, whoever takes it for one.
    if slashes == EncodedSlashes::Keep
        && holds_slash(&decoded)
        && !decoded.as_bytes().split(is_slash).all(is_safe)
    {
        return Err(MalformedPath);
    }
    Ok(decoded)
}

/// Whether what follows a `%` makes an encoding of it: two hexadecimal digits, or `u` and four, as IIS reads.
fn is_encoding(rest: &[u8]) -> bool {
    let are_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match rest {
        [b'u' | b'U', one, two, three, four, ..] => are_digits(&[*one, *two, *three, *four]),
        [one, two, ..] => are_digits(&[*one, *two]),
        _ => false,
    }
}

/// A path of a rule: literal segments, `{name}` or `*` for one segment, `before{name}after` for one that begins
/// and ends so and has something between, `{name...}` or `**` for the rest (zero or more segments, last
/// position only).
#[derive(Clone, Debug)]
pub(crate) struct PathTemplate {
    /// As it is written.
    pub(crate) text: Box<str>,
    /// Decoded, as paths are compared.
    pub(crate) segments: Vec<Segment>,
}

/// One segment of a [`PathTemplate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    One(Option<Box<str>>),
    Part(Box<Part>),
    Rest(Option<Box<str>>),
}

/// A segment of which a parameter takes what stands between two literals, at least one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) before: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) after: Box<str>,
}

impl Part {
    /// What the parameter takes of a segment.
    pub(crate) fn of<'s>(&self, segment: &'s str) -> Option<&'s str> {
        let inner = segment.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!inner.is_empty()).then_some(inner)
    }
}

impl PathTemplate {
    pub(crate) fn parse(text: &str) -> Result<PathTemplate, PathTemplateError> {
        let inner = text.strip_prefix('/').ok_or(PathTemplateError::NotAbsolute)?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.split('/').count() > limits::SEGMENTS {
            return Err(PathTemplateError::TooLong);
        }
        let mut segments = Vec::new();
        if !inner.is_empty() {
            for segment in inner.split('/') {
                if matches!(segments.last(), Some(Segment::Rest(_))) {
                    return Err(PathTemplateError::RestNotLast);
                }
                segments.push(Segment::parse(segment)?);
            }
        }
        let template = PathTemplate { text: text.into(), segments };
        let stands_twice = |name| template.parameters().filter(|other| *other == name).count() > 1;
        if template.parameters().any(stands_twice) {
            return Err(PathTemplateError::DuplicateParameter);
        }
        Ok(template)
    }

    /// Whether it takes whatever follows.
    pub(crate) fn ends_open(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// Whether a router takes it before a shorter one: where they part, it has the text, or they do not, and it goes on.
    pub(crate) fn is_closer_than(&self, shorter: &PathTemplate) -> bool {
        let is_text = |segment: &Segment| matches!(segment, Segment::Literal(_));
        let mut pairs = self.segments.iter().zip(&shorter.segments);
        let parts = pairs
            .find(|(own, other)| is_text(own) != is_text(other) || matches!(own, Segment::Rest(_)));
        parts.map_or(self.segments.len() > shorter.segments.len(), |(own, _)| is_text(own))
    }

    /// Whether its last segment is one text.
    pub(crate) fn ends_in_literal(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Literal(_)))
    }

    /// The names of the template's parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// What `name` stands for in a path that this template matches.
    pub(crate) fn parameter<'p>(
        &self,
        name: &str,
        path: &'p [Cow<'p, str>],
    ) -> Option<Cow<'p, str>> {
        let is_named = |segment: &Segment| segment.name() == Some(name);
        let position = self.segments.iter().position(is_named)?;
        match self.segments.get(position)? {
            Segment::Rest(_) => {
                let rest: Vec<&str> =
                    path.get(position..)?.iter().map(|segment| &**segment).collect();
                Some(Cow::Owned(rest.join("/")))
            }
            Segment::Part(part) => part.of(path.get(position)?).map(Cow::Borrowed),
            _ => path.get(position).map(|segment| Cow::Borrowed(&**segment)),
        }
    }

    /// Whether each segment of a path that holds a slash is one of which a parameter takes that.
    pub(crate) fn takes_slashes(&self, path: &[Cow<'_, str>]) -> bool {
        path.iter().enumerate().filter(|(_, segment)| holds_slash(segment)).all(|(place, _)| {
            matches!(self.segments.get(place), Some(Segment::One(_) | Segment::Part(_)))
        })
    }
}

impl Segment {
    /// The name of its parameter.
    fn name(&self) -> Option<&str> {
        match self {
            Segment::One(Some(name)) | Segment::Rest(Some(name)) => Some(name),
            Segment::Part(part) => Some(&part.name),
            Segment::Literal(_) | Segment::One(None) | Segment::Rest(None) => None,
        }
    }

    fn parse(text: &str) -> Result<Segment, PathTemplateError> {
        if text == "*" {
            return Ok(Segment::One(None));
        }
        if text == "**" {
            return Ok(Segment::Rest(None));
        }
        if text.contains('*') {
            return Err(PathTemplateError::PartOfSegment);
        }
        let Some((before, rest)) = text.split_once('{') else {
            let text = literal(text)?;
            return if is_safe(text.as_bytes()) {
                Ok(Segment::Literal(text.into()))
            } else {
                Err(PathTemplateError::NeverMatches)
            };
        };
        let (name, after) = rest.split_once('}').ok_or(PathTemplateError::Brace)?;
        if after.contains('{') {
            return Err(PathTemplateError::TwoParameters);
        }
        let is_whole = before.is_empty() && after.is_empty();
        let (name, is_rest) = match name.strip_suffix("...") {
            Some(_) if !is_whole => return Err(PathTemplateError::PartOfSegment),
            Some(name) => (name, true),
            None => (name, false),
        };
        if !is_parameter_name(name) {
            return Err(PathTemplateError::ParameterName);
        }
        if matches!(name, "action" | "method") {
            return Err(PathTemplateError::Reserved);
        }
        let name: Box<str> = name.into();
        if is_rest {
            return Ok(Segment::Rest(Some(name)));
        }
        if is_whole {
            return Ok(Segment::One(Some(name)));
        }
        let (before, after) = (literal(before)?, literal(after)?);
        if !is_safe(&[before.as_bytes(), b"x"].concat()) {
            return Err(PathTemplateError::NeverMatches);
        }
        let (before, after) = (before.into(), after.into());
        Ok(Segment::Part(Box::new(Part { before, name, after })))
    }
}

/// A literal, decoded.
fn literal(text: &str) -> Result<Cow<'_, str>, PathTemplateError> {
    for byte in text.bytes() {
        match byte {
            b'{' | b'}' => return Err(PathTemplateError::Brace),
            b'?' | b'#' => return Err(PathTemplateError::Query),
            0..=b' ' | b'\\' | 0x7f => return Err(PathTemplateError::NeverMatches),
            _ => {}
        }
    }
    decode(text, EncodedSlashes::Refuse).map_err(|_| PathTemplateError::NeverMatches)
}

/// Whether `text` can name a path parameter: a letter or `_`, then letters, digits, `_` and `-`.
pub(crate) fn is_parameter_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Why a text is no path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathTemplateError {
    Brace,
    DuplicateParameter,
    NeverMatches,
    NotAbsolute,
    ParameterName,
    PartOfSegment,
    Query,
    Reserved,
    RestNotLast,
    TooLong,
    TwoParameters,
}

impl fmt::Display for PathTemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            PathTemplateError::Brace => "a brace is unmatched",
            PathTemplateError::DuplicateParameter => "two parameters have one name",
            PathTemplateError::NeverMatches => {
                "no safe request path has such a segment: empty, a dot segment, a space, a backslash or a broken or unsafe percent-encoding"
            }
            PathTemplateError::NotAbsolute => "a path starts with `/`",
            PathTemplateError::ParameterName => {
                "a parameter is `{name}` or `{name...}`, its name of letters, digits, `_` and `-`"
            }
            PathTemplateError::PartOfSegment => {
                "`*`, `**` and `{name...}` stand for whole segments; a part of one is `{name}`"
            }
            PathTemplateError::Query => "a path has no query and no fragment; use `query`",
            PathTemplateError::Reserved => {
                "`{action}` and `{method}` are what the request does, not parts of its path"
            }
            PathTemplateError::RestNotLast => "`**` and `{name...}` stand last",
            PathTemplateError::TooLong => {
                return write!(formatter, "a path has at most {} segments", limits::SEGMENTS);
            }
            PathTemplateError::TwoParameters => "a segment has at most one parameter",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str, mode: Normalization) -> Result<Path<'_>, MalformedPath> {
        Path::parse(raw.as_bytes(), mode, EncodedSlashes::Refuse)
    }

    fn strict(raw: &str) -> Result<Vec<Cow<'_, str>>, MalformedPath> {
        parse(raw, Normalization::Strict).map(|path| path.segments)
    }

    fn normalized(raw: &str) -> String {
        let path = parse(raw, Normalization::Normalize).unwrap();
        path.rewritten.unwrap_or_else(|| raw.to_owned())
    }

    #[test]
    fn one_trailing_slash_is_ignored() {
        assert_eq!(strict("/a/b/"), strict("/a/b"));
        assert_eq!(strict("/"), Ok(vec![]));
        assert_eq!(strict("/a//"), Err(MalformedPath));
        assert_eq!(strict("//"), Err(MalformedPath));
    }

    #[test]
    fn a_segment_is_decoded_whole() {
        assert_eq!(strict("/%61%3Ab/caf%C3%A9"), Ok(vec!["a:b".into(), "café".into()]));
    }

    #[test]
    fn what_an_upstream_could_read_differently_is_refused() {
        for raw in [
            "",
            "a",
            "//a",
            "/a//b",
            "/./a",
            "/a/..",
            "/a/../b",
            "/%2e/a",
            "/%2E%2e/a",
            "/.%2e/a",
            "/..;/a",
            "/..;x=1/a",
            "/.;/a",
            "/..%3b/a",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/%252e",
            "/%25%32%65",
            "/a%25u002e",
            "/a%25%2fb",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/%zz",
            "/a%",
            "/a%4",
            "/%c0%ae",
            "/a b",
            "/a#b",
            "/%u002e",
            "/é",
        ] {
            assert_eq!(strict(raw), Err(MalformedPath), "{raw}");
        }
    }

    #[test]
    fn parameters_make_other_readings() {
        let path = parse("/a;x=1/b%3By", Normalization::Strict).unwrap();
        assert_eq!(path.segments, ["a;x=1", "b;y"]);
        let others = |path: Path<'_>| -> Vec<String> {
            path.others.iter().map(|other| other.segments.join("/")).collect()
        };
        assert_eq!(others(path), ["a/b", "a"]);
        assert_eq!(others(parse("/a/b;x", Normalization::Strict).unwrap()), ["a/b"]);
        assert_eq!(strict("/a/;x/b"), Err(MalformedPath));
        assert!(parse("/a", Normalization::Strict).unwrap().others.is_empty());
    }

    #[test]
    fn what_only_looks_odd_is_served() {
        for raw in ["/...", "/a;b=c", "/a:b@c", "/.well-known", "/a..b", "/%20", "/~x"] {
            assert!(strict(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn normalizing_resolves_dot_and_empty_segments() {
        for (raw, resolved) in [
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/./b//c/", "/a/b/c/"),
            ("/%2e%2e/%61", "/a"),
            ("/a/..", "/"),
            ("//", "/"),
            ("/a%20b/x", "/a%20b/x"),
        ] {
            assert_eq!(normalized(raw), resolved, "{raw}");
        }
    }

    #[test]
    fn normalizing_refuses_what_cannot_be_resolved() {
        for raw in ["/..;/a", "/a%2fb", "/a%5cb", "/%zz", "/%00", "/a\\b", "/%c0%ae", "a"] {
            let parsed = parse(raw, Normalization::Normalize);
            assert_eq!(parsed, Err(MalformedPath), "{raw}");
        }
    }

    #[test]
    fn a_template_says_why_it_is_none() {
        for (text, error) in [
            ("v1", PathTemplateError::NotAbsolute),
            ("/a//b", PathTemplateError::NeverMatches),
            ("/a/../b", PathTemplateError::NeverMatches),
            ("/a%2fb", PathTemplateError::NeverMatches),
            ("/a b", PathTemplateError::NeverMatches),
            ("/**/a", PathTemplateError::RestNotLast),
            ("/{x...}/a", PathTemplateError::RestNotLast),
            ("/{}", PathTemplateError::ParameterName),
            ("/{-a}", PathTemplateError::ParameterName),
            ("/{a b}", PathTemplateError::ParameterName),
            ("/{a}.%2f", PathTemplateError::NeverMatches),
            ("/%4{a}", PathTemplateError::NeverMatches),
            ("/..;{a}", PathTemplateError::NeverMatches),
            ("/;x", PathTemplateError::NeverMatches),
            ("/100%2541", PathTemplateError::NeverMatches),
            ("/{a}{b}", PathTemplateError::TwoParameters),
            ("/v{a}.{b}x", PathTemplateError::TwoParameters),
            ("/a{b...}", PathTemplateError::PartOfSegment),
            ("/{a}.*", PathTemplateError::PartOfSegment),
            ("/{a}?b", PathTemplateError::Query),
            ("/a{b", PathTemplateError::Brace),
            ("/a}b", PathTemplateError::Brace),
            ("/{a}b}", PathTemplateError::Brace),
            ("/{action}", PathTemplateError::Reserved),
            ("/a*", PathTemplateError::PartOfSegment),
            ("/{x}/{x}", PathTemplateError::DuplicateParameter),
            ("/a?b", PathTemplateError::Query),
        ] {
            assert_eq!(PathTemplate::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn a_parameter_is_a_decoded_segment_or_the_rest() {
        let template = PathTemplate::parse("/files/{id}/{rest...}").unwrap();
        let path = strict("/files/a%20b/c/d/").unwrap();
        assert_eq!(template.parameter("id", &path).as_deref(), Some("a b"));
        assert_eq!(template.parameter("rest", &path).as_deref(), Some("c/d"));
        assert_eq!(template.parameter("other", &path), None);
    }

    #[test]
    fn a_parameter_may_be_a_part_of_a_segment() {
        for (template, name, path, value) in [
            ("/Messages/{Sid}.json", "Sid", "/Messages/SM1.2.json", Some("SM1.2")),
            ("/Messages/{Sid}.json", "Sid", "/Messages/.json", None),
            ("/Messages/{Sid}.json", "Sid", "/Messages/SM1.JSON", None),
            ("/{id}:activate", "id", "/a%3Aactivate", Some("a")),
            ("/v{version}/x", "version", "/v12/x", Some("12")),
            ("/v{version}/x", "version", "/v/x", None),
            ("/a%62{x-y}c", "x-y", "/ab;c", Some(";")),
            ("/aa{x}aa", "x", "/aaa", None),
            ("/aa{x}aa", "x", "/aaaa", None),
            ("/aa{x}aa", "x", "/aaaaa", Some("a")),
        ] {
            let template = PathTemplate::parse(template).unwrap();
            let path = strict(path).unwrap();
            assert_eq!(template.matches(&path), value.is_some(), "{path:?}");
            assert_eq!(template.parameter(name, &path).as_deref(), value, "{path:?}");
        }
    }

    #[test]
    fn an_encoded_percent_sign_that_begins_nothing_stands_for_itself() {
        for (raw, value) in
            [("/100%25", "100%"), ("/%25/41", "%"), ("/a%25u004", "a%u004"), ("/%25g1", "%g1")]
        {
            assert_eq!(strict(raw).unwrap().first().map(|segment| &**segment), Some(value));
        }
    }

    #[test]
    fn an_encoded_slash_that_is_kept_parts_nothing() {
        let keep = |raw: &'static str| {
            Path::parse(raw.as_bytes(), Normalization::Strict, EncodedSlashes::Keep)
        };
        let path = keep("/projects/group%2Fproject/a%5cb").unwrap();
        assert_eq!(path.segments, ["projects", "group/project", "a\\b"]);
        assert!(path.has_slashes && !keep("/a/b").unwrap().has_slashes);
        for (template, takes) in [
            ("/projects/{id}/{x}", true),
            ("/projects/g{id}/*", true),
            ("/projects/{id}/**", false),
            ("/projects/{x...}", false),
            ("/{a}/{id}", false),
        ] {
            let template = PathTemplate::parse(template).unwrap();
            assert_eq!(template.takes_slashes(&path.segments), takes, "{}", template.text);
        }
        for raw in [
            "/a%2F..%2Fb",
            "/a%2f..",
            "/..%2fa",
            "/a%5C..%5Cb",
            "/a%2F.%2Fb",
            "/a%2F%2Fb",
            "/a%2F",
            "/%2Fa",
            "/%2F",
            "/a%2f..;x%2fb",
            "/a%2F;x",
            "/a%252Fb",
            "/a%2F%252e",
            "/a\\b",
            "/a%2Fb/../c",
            "/a%2Fb//c",
            "/a%2F%00",
        ] {
            assert_eq!(keep(raw), Err(MalformedPath), "{raw}");
        }
    }
}
