//! What a form or a JSON body holds, told as a query would (WHATWG URL section 5.1, RFC 7578, RFC 8259).
//!
//! A body is read strictly: one that two parsers could take apart differently is not read at all.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::charset;
use crate::config::Json;
use crate::limits;
use crate::method;
use crate::reading::Reading;

/// Upstreams could read the body in more than one way, or it goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AmbiguousBody;

/// What a request says its body is, as far as that holds fields. Some upstream may go by each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) urlencoded: bool,
    pub(crate) multipart: bool,
    pub(crate) json: bool,
    pub(crate) markup: bool,
}

/// What else names values, by what a word of its content type begins or ends with.
const MARKUP: [&[u8]; 6] = [b"xml", b"yaml", b"toml", b"msgpack", b"cbor", b"bson"];

impl Kinds {
    pub(crate) const NONE: Kinds =
        Kinds { urlencoded: false, multipart: false, json: false, markup: false };

    pub(crate) const ALL: Kinds =
        Kinds { urlencoded: true, multipart: true, json: true, markup: true };

    pub(crate) fn of(reading: &Reading<'_>) -> Kinds {
        let mut kinds = Kinds::default();
        let mut is_said = false;
        let values = reading.values_of_any_spelling("content-type");
        for said in values.flat_map(|value| value.split(|byte| *byte == b',')) {
            let kind = said.split(|byte| *byte == b';').next().unwrap_or_default();
            is_said |= !kind.trim_ascii().is_empty();
            // Werkzeug 2 takes the second, and older Springs these for whatever they stand for.
            let any: [&[u8]; 3] = [b"*", b"*/*", b"application/*"];
            let is_any = any.iter().any(|any| kind.trim_ascii().eq_ignore_ascii_case(any));
            kinds.urlencoded |=
                is_any || holds(kind, b"x-www-form-urlencoded") || holds(kind, b"x-url-encoded");
            kinds.multipart |= is_any || holds(kind, b"multipart");
            // Laravel finds the latter two in a parameter as well.
            kinds.json |= holds(kind, b"json") || holds(said, b"/json") || holds(said, b"+json");
            // gin goes by what stands before a space, others by how it begins.
            let kind = kind.to_ascii_lowercase();
            for part in kind.split(|byte| !byte.is_ascii_alphanumeric()) {
                let is_of = |word: &&[u8]| part.starts_with(word) || part.ends_with(word);
                kinds.markup |= MARKUP.iter().any(is_of);
            }
        }
        // Rack takes a POST that does not say what it is for a form.
        kinds.urlencoded |= !is_said && reading.method == "POST";
        kinds
    }

    pub(crate) fn is_form(self) -> bool {
        self.urlencoded || self.multipart
    }

    /// Whether it is one of those.
    pub(crate) fn is_one_of(self, others: Kinds) -> bool {
        (self.urlencoded && others.urlencoded)
            || (self.multipart && others.multipart)
            || (self.json && others.json)
            || (self.markup && others.markup)
    }

    /// What one or the other is.
    pub(crate) fn and(self, other: Kinds) -> Kinds {
        Kinds {
            urlencoded: self.urlencoded | other.urlencoded,
            multipart: self.multipart | other.multipart,
            json: self.json | other.json,
            markup: self.markup | other.markup,
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    pub(crate) fn is_markup(self) -> bool {
        self.markup
    }

    /// The fields of a body as the text of a query. Of those that `may_be_read` does not name, if it is asked, some
    /// may be missing. Markup is not taken apart: it has none, unless `may_stand_in` finds a name in it.
    pub(crate) fn query(
        self,
        reading: &Reading<'_>,
        body: &[u8],
        may_be_read: &dyn Fn(&[u8]) -> bool,
        may_stand_in: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, AmbiguousBody> {
        let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
        if body.len() > limits::BODY_BYTES
            || reading.names_another_charset()
            || !reading.values_of_any_spelling("content-encoding").all(is_plain)
            || reading.values_of_any_spelling("content-type").nth(1).is_some()
        {
            return Err(AmbiguousBody);
        }
        let mut fields = Fields { text: Vec::new(), count: 0, may_be_read };
        match (self.urlencoded, self.multipart, self.json, self.markup) {
            // Express takes what a body may begin with to say that it is UTF-8 out of the first name.
            (true, false, false, false) if body.starts_with(b"\xef\xbb\xbf") => {
                return Err(AmbiguousBody);
            }
            (true, false, false, false) => return Ok(body.to_vec()),
            (false, true, false, false) => {
                let content_type = reading.value("content-type").unwrap_or_default();
                fields.add_multipart(content_type, body).ok_or(AmbiguousBody)?;
            }
            (false, false, true, false) => fields.add_json(body).ok_or(AmbiguousBody)?,
            (false, false, false, true) if !may_stand_in(body) => {}
            _ => return Err(AmbiguousBody),
        }
        Ok(fields.text)
    }
}

/// Whether a text holds a word, in any letter case.
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

struct Fields<'f> {
    text: Vec<u8>,
    /// Of JSON, how many values were added.
    count: usize,
    may_be_read: &'f dyn Fn(&[u8]) -> bool,
}

impl Fields<'_> {
    fn add(&mut self, name: &str, value: &[u8]) {
        add(&mut self.text, name, value);
    }

    /// Adds what is no text: no upstream reads it as the parameter itself, and some in another way.
    fn add_other(&mut self, name: &str) {
        self.add(&format!("{name}[.]"), b"");
    }

    /// Adds the parts of a multipart form, none of which may hold its boundary, whatever stands around that.
    fn add_multipart(&mut self, content_type: &[u8], body: &[u8]) -> Option<()> {
        let delimiter = [b"--", boundary(content_type)?].concat();
        let mut rest = body.strip_prefix(&*delimiter)?;
        while !matches!(rest, b"--" | b"--\r\n" | b"--\r\n\r\n") {
            let part;
            (part, rest) = parted(rest, &delimiter)?;
            let part = part.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
            let (head, value) = parted(part, b"\r\n\r\n")?;
            let (name, is_file) = field(head)?;
            // Some take a part for a file whose name is empty, and some do not.
            if is_file && method::is_parameter(name) {
                return None;
            }
            match std::str::from_utf8(name).ok()? {
                name if !(self.may_be_read)(name.as_bytes()) => {}
                name if is_file => self.add_other(name),
                name if value.is_ascii() || !is_in_latin(head) => self.add(name, value),
                _ => return None,
            }
        }
        Some(())
    }

    /// Adds the members of an object, or of each where there are several: some upstreams read the first only.
    fn add_json(&mut self, body: &[u8]) -> Option<()> {
        let body = std::str::from_utf8(body).ok()?;
        for value in serde_json::Deserializer::from_str(body).into_iter() {
            if let Json::Object(members) = value.ok()? {
                let mut read =
                    members.iter().filter(|(name, _)| (self.may_be_read)(name.as_bytes()));
                read.try_for_each(|(name, value)| self.add_value(name, value, 0))?;
            }
        }
        Some(())
    }

    /// Adds a value in each way in which upstreams make a text of it; `None` if there are more than are looked at. Each
    /// has the whole name, so what a body of so many could come to is the square of its length.
    fn add_value(&mut self, name: &str, value: &Json, depth: usize) -> Option<()> {
        if self.count == limits::PARAMETERS || name.len() > limits::BODY_NAME {
            return None;
        }
        let deeper = depth.saturating_add(1);
        match value {
            Json::Array(items) if !items.is_empty() && depth < limits::BODY_DEPTH => {
                let name = [name, "[]"].concat();
                return items.iter().try_for_each(|item| self.add_value(&name, item, deeper));
            }
            Json::Object(members) if !members.is_empty() && depth < limits::BODY_DEPTH => {
                return members.iter().try_for_each(|(member, value)| {
                    self.add_value(&[name, "[", member, "]"].concat(), value, deeper)
                });
            }
            // Nobody writes a fraction where a rule reads a text.
            Json::Array(_) | Json::Float(_) | Json::Object(_) => self.add_other(name),
            Json::Bool(true) => {
                ["true", "1"].iter().for_each(|text| self.add(name, text.as_bytes()))
            }
            Json::Bool(false) => {
                ["false", "0", ""].iter().for_each(|text| self.add(name, text.as_bytes()));
            }
            Json::Integer(number) => self.add(name, number.to_string().as_bytes()),
            Json::Null => ["null", ""].iter().for_each(|text| self.add(name, text.as_bytes())),
            Json::String(text) => self.add(name, text.as_bytes()),
        }
        self.count = self.count.saturating_add(1);
        Some(())
    }
}

/// Adds a parameter to the text of a query.
pub(crate) fn add(query: &mut Vec<u8>, name: &str, value: &[u8]) {
    for (mark, text) in [("&", name.as_bytes()), ("=", value)] {
        query.extend_from_slice(mark.as_bytes());
        percent_encode(text, NON_ALPHANUMERIC)
            .for_each(|piece| query.extend_from_slice(piece.as_bytes()));
    }
}

/// What stands before the first of these bytes, and behind them.
fn parted<'t>(text: &'t [u8], at: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let place = text.windows(at.len()).position(|window| window == at)?;
    let (before, rest) = text.split_at_checked(place)?;
    Some((before, rest.strip_prefix(at)?))
}

/// The boundary that a content type names (RFC 2046 section 5.1.1), where nobody finds another: PHP looks for the word
/// wherever it stands first, Go and Tomcat take `boundary*` (RFC 2231) before it.
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=?".contains(byte);
    let pieces = content_type.split(|byte| *byte == b';');
    let mut pieces = pieces.filter(|piece| holds(piece, b"boundary"));
    let (Some(piece), None) = (pieces.next(), pieces.next()) else { return None };
    let (name, value) = piece.trim_ascii().split_at_checked(b"boundary=".len())?;
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let value = unquoted.unwrap_or(value);
    // Tomcat decodes what RFC 2047 encodes so.
    let is_good =
        (1..=70).contains(&value.len()) && value.iter().all(is_one) && !holds(value, b"=?");
    (name.eq_ignore_ascii_case(b"boundary=") && is_good).then_some(value)
}

/// The character sets beside UTF-8 that clients name for what is ASCII.
const LATIN: [&[u8]; 3] = [b"charset=iso-8859-1", b"charset=us-ascii", b"charset=windows-1252"];

/// Whether a part's head names one of these.
fn is_in_latin(head: &[u8]) -> bool {
    LATIN.iter().any(|charset| holds(head, charset))
}

/// The name of a part's field, and whether it is a file.
fn field(mut head: &[u8]) -> Option<(&[u8], bool)> {
    // Rack takes the first, even in another header.
    const DISPOSITION: &[u8] = b"content-disposition";
    let words = head.windows(DISPOSITION.len());
    if words.filter(|word| word.eq_ignore_ascii_case(DISPOSITION)).nth(1).is_some() {
        return None;
    }
    let mut found = None;
    while !head.is_empty() {
        let line;
        (line, head) = parted(head, b"\r\n").unwrap_or((head, b""));
        let (name, value) = parted(line, b":")?;
        let value = value.trim_ascii();
        if name.is_empty()
            || !name.iter().all(u8::is_ascii_graphic)
            || value.iter().any(u8::is_ascii_control)
        {
            return None;
        }
        match &*name.to_ascii_lowercase() {
            DISPOSITION => found = Some(disposition(value)?),
            // These three change nothing (RFC 7578 section 4.7).
            b"content-transfer-encoding" => {
                let plain: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
                plain.iter().find(|plain| value.eq_ignore_ascii_case(plain))?;
            }
            b"content-type" if is_in_another_charset(value) || holds(value, b"multipart") => {
                return None;
            }
            _ => {}
        }
    }
    found
}

/// Whether a part is in a character set in which ASCII may be something else.
fn is_in_another_charset(content_type: &[u8]) -> bool {
    let piece = content_type.rsplit(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let rest = content_type.get(..content_type.len().saturating_sub(piece.len()));
    let is_latin = LATIN.iter().any(|charset| piece.eq_ignore_ascii_case(charset));
    charset::names_another(if is_latin { rest.unwrap_or_default() } else { content_type })
}

/// The same of its `content-disposition` (RFC 7578 section 4.2).
fn disposition(value: &[u8]) -> Option<(&[u8], bool)> {
    let (mut name, mut is_file) = (None, false);
    let mut rest = value.strip_prefix(b"form-data")?.trim_ascii();
    while !rest.is_empty() {
        let (key, value) = parted(rest.strip_prefix(b";")?, b"=")?;
        let text;
        (text, rest) = match value.strip_prefix(b"\"") {
            Some(quoted) => parted(quoted, b"\"")?,
            None => {
                let end = value.iter().position(|byte| matches!(byte, b';' | b' '));
                value.split_at_checked(end.unwrap_or(value.len()))?
            }
        };
        rest = rest.trim_ascii();
        // What escapes a quotation mark to one does not to another, and PHP takes single ones for such marks as well.
        if text.ends_with(b"\\") || text.starts_with(b"'") {
            return None;
        }
        match key.trim_ascii() {
            // Tomcat decodes what RFC 2047 encodes.
            b"name" if name.is_none() && !text.contains(&b'\\') && !holds(text, b"=?") => {
                name = Some(text);
            }
            b"filename" | b"filename*" => is_file = true,
            _ => return None,
        }
    }
    Some((name?, is_file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::decode;
    use crate::request::Request;

    #[test]
    fn what_could_grow_with_the_square_of_a_body_is_not_read() {
        let json = |name: usize, values: usize| {
            let (name, values) = ("-".repeat(name), vec!["1"; values].join(","));
            read("application/json", &format!("{{\"a\":{{\"{name}\":[{values}]}}}}"))
        };
        assert_eq!(json(100, 1000).unwrap().len(), 1000);
        assert_eq!(json(100, 1001), Err(AmbiguousBody));
        assert_eq!(json(1019, 1).unwrap().len(), 1);
        assert_eq!(json(1020, 1), Err(AmbiguousBody));
    }

    #[test]
    fn a_type_that_stands_for_any_is_none() {
        for kind in ["*/*", "application/*; q=1", "Application/*", "*"] {
            assert_eq!(read(kind, "a=1"), Err(AmbiguousBody), "{kind}");
        }
        assert_eq!(read("application/x-url-encoded", "a=1").unwrap(), ["a=1"]);
        let upload = [(":method", &b"POST"[..]), ("content-type", b"image/*")];
        let request = Request::new(&upload, &|| None);
        assert_eq!(Kinds::of(&Reading::new(&request, None)), Kinds::default());
    }

    #[track_caller]
    fn read(content_type: &str, body: &str) -> Result<Vec<String>, AmbiguousBody> {
        let headers = [(":method", &b"POST"[..]), ("content-type", content_type.as_bytes())];
        let headers = if content_type.is_empty() { &headers[..1] } else { &headers };
        let request = Request::new(headers, &|| None);
        let reading = Reading::new(&request, None);
        let query = Kinds::of(&reading).query(
            &reading,
            body.as_bytes(),
            &|name| name != b"unread",
            &|body| body != b"<unread/>",
        )?;
        let pieces = query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
        Ok(pieces.map(|piece| String::from_utf8(decode(piece).into()).unwrap()).collect())
    }

    const MULTIPART: &str = "multipart/form-data; boundary=x";

    fn multipart(parts: &[(&str, &str)]) -> String {
        let part = |(head, value): &(&str, &str)| format!("--x\r\n{head}\r\n\r\n{value}\r\n");
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    }

    #[test]
    fn fields_are_parameters() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        assert_eq!(read(form, "a=1&b[]=%20").unwrap(), ["a=1", "b[]= "]);
        assert_eq!(read("", "a=1").unwrap(), ["a=1"]);
        let body = multipart(&[
            ("Content-Disposition: form-data; name=\"a b\"", "1\r\n2"),
            (
                "content-type: text/plain\r\ncontent-disposition: form-data; name=c; filename=\"d;e\"",
                "f",
            ),
            ("Content-Disposition: form-data; name=\"unread\"", "1"),
        ]);
        assert_eq!(read(MULTIPART, &body).unwrap(), ["a b=1\r\n2", "c[.]="]);
        assert_eq!(read("multipart/form-data; boundary=\"x\"", "--x--").unwrap(), [""; 0]);
        // As clients for Java, Ruby and browsers write them.
        let body = multipart(&[(
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\n\
             Content-Transfer-Encoding: 8bit",
            "1",
        )]);
        assert_eq!(read(MULTIPART, &(body.clone() + "\r\n")).unwrap(), ["a=1"]);
        let boundary = "----WebKitFormBoundary7MA4YWxk";
        let body = body.replace("--x", &format!("--{boundary}"));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        assert_eq!(read(&content_type, &body).unwrap(), ["a=1"]);
        let utf_8 = multipart(&[(
            "content-disposition: form-data; name=\"a\"\r\ncontent-type: text/plain; charset=utf-8",
            "\u{e9}",
        )]);
        assert_eq!(read(MULTIPART, &utf_8).unwrap(), ["a=\u{e9}"]);
        let latin = multipart(&[(
            "content-disposition: form-data; name=\"a\"\r\ncontent-type: text/csv; charset=iso-8859-1",
            "\u{e9}",
        )]);
        assert_eq!(read(MULTIPART, &latin), Err(AmbiguousBody));
        assert_eq!(read(MULTIPART, &latin.replace("\"a\"", "\"unread\"")).unwrap(), [""; 0]);
    }

    #[test]
    fn members_are_parameters_in_each_form_that_their_values_may_have() {
        for (body, expected) in [
            (r#"{"a": "1", "\u0062": 2, "unread": 3}"#, &["a=1", "b=2"][..]),
            (
                r#"{"a": true, "b": false, "c": null}"#,
                &["a=true", "a=1", "b=false", "b=0", "b=", "c=null", "c="],
            ),
            (r#"{"a": 1.0, "b": 2.5, "c": -1e2}"#, &["a=1", "b[.]=", "c=-100"]),
            (r#"{"a": ["x", ["y"]], "b": [], "c": {}}"#, &["a[]=x", "a[][]=y", "b[.]=", "c[.]="]),
            (r#"{"a": {"b": {"c": 1}}}"#, &["a[b][c]=1"]),
            (r#"{"a": [[[[[[[[[1]]]]]]]]]}"#, &["a[][][][][][][][][.]="]),
            ("{\"\u{17f}\": 1}", &["\u{17f}=1"]),
            (r#"[{"a": 1}]"#, &[]),
            ("{\"a\": 1}\n3\n{\"b\": 2}{\"a\": 3}\n", &["a=1", "b=2", "a=3"]),
            ("3", &[]),
        ] {
            assert_eq!(read("application/vnd.api+json", body).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn what_parsers_could_take_apart_differently_is_not_read() {
        for body in [
            "{",
            "{a: 1}",
            r#"{"a": 1, "a": 2}"#,
            "{\"a\": 1}\n{",
            "\u{feff}{}",
            r#"{"a": 1,}"#,
            r#"{"a": "\ud800"}"#,
        ] {
            assert_eq!(read("application/json", body), Err(AmbiguousBody), "{body}");
        }
        let good = "content-disposition: form-data; name=\"a\"";
        for head in [
            "",
            "content-type: text/plain",
            "content-disposition: form-data",
            "content-disposition: attachment; name=\"a\"",
            "content-disposition: form-data; name=\"a\"; name=\"b\"",
            "content-disposition: form-data; name*=UTF-8''a",
            "content-disposition: form-data; name=\"a\\\"b\"",
            "content-disposition: form-data; filename=\"a\\\"; name=\"b\"",
            "content-disposition: form-data; name=\"a\" x",
            "content-disposition: form-data;\r\n name=\"a\"",
            "content-disposition: form-data; name=\"a\"\ncontent-type: x",
            "content-disposition: form-data; name=\"a\"\r\ncontent-disposition: form-data; name=\"b\"",
            "x: content-disposition: form-data; name=\"b\"\r\ncontent-disposition: form-data; name=\"a\"",
            "content-disposition: form-data; name='a'",
            "content-disposition: form-data; name=\"=?utf-8?Q?a?=\"",
            "content-disposition: form-data; name=\"_method\"; filename=\"\"",
            "content-disposition: form-data; name=\"_method\"; filename*=utf-8''x",
            "content-disposition: form-data; name=\"a\"\r\ncontent-transfer-encoding: base64",
            "content-disposition: form-data; name=\"a\"\r\ncontent-type: text/plain; charset=utf-7; charset=us-ascii",
            "content-disposition: form-data; name=\"a\"\r\ncontent-type: text/plain; charset=utf-7",
        ] {
            assert_eq!(read(MULTIPART, &multipart(&[(head, "1")])), Err(AmbiguousBody), "{head}");
        }
        let body = multipart(&[(good, "1")]);
        assert_eq!(read(MULTIPART, &body).unwrap(), ["a=1"]);
        for other in [
            format!("preamble\r\n{body}"),
            format!("{body}epilogue"),
            body.replace("\r\n", "\n"),
            body.replace("--x--", "--x"),
            body.replace("1\r\n", "1\n--x\ny\r\n"),
            body.replace("1\r\n", "1\r\n--xy\r\n"),
        ] {
            assert_eq!(read(MULTIPART, &other), Err(AmbiguousBody), "{other}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=x; boundary=y",
            "multipart/form-data; boundary=\"x",
            "multipart/form-data; xboundary=y; boundary=x",
            "multipart/form-data; a=\"boundary=y\"; boundary=x",
            "multipart/form-data; boundary=x; Boundary*=utf-8''y",
            "multipart/boundary; boundary=x; boundary =y",
            "multipart/form-data; boundary=x,y",
            "multipart/form-data; boundary==?x",
            "multipart/form-data; boundary=x, application/json",
            "multipart/form-data; charset=utf-16; boundary=x",
        ] {
            assert_eq!(read(content_type, &body), Err(AmbiguousBody), "{content_type}");
        }
        assert_eq!(read("", "\u{feff}a=1"), Err(AmbiguousBody));
        let long = "a".repeat(limits::BODY_BYTES + 1);
        assert_eq!(read("", &long), Err(AmbiguousBody));
    }
}
