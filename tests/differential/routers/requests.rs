//! Generated requests: what one asks for, spelled as no client would.

use latchkey_cli::cases::{CaseRequest, Value};
use serde_json::json;

use crate::round::{self, Random};
use latchkey_testing::Key;

use super::policy::EVIL;

/// A request, and what `CaseRequest` cannot say of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) request: CaseRequest,
    /// Sent over HTTP/2 only.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Attempt {
    /// The keys whose tokens it presents, wherever.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        let is_presented = |id: &&'static str| {
            let token = Key::new(id).token;
            let holds = |text: &str| text.contains(&token);
            holds(self.target())
                || self
                    .request
                    .headers
                    .iter()
                    .any(|(_, value)| holds(&String::from_utf8_lossy(&value.0)))
        };
        KEYS.into_iter().filter(is_presented).collect()
    }

    /// Whether it asks what a page may do, which anybody may.
    pub(crate) fn is_preflight(&self) -> bool {
        let has =
            |name: &str| self.request.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        self.request.method == "OPTIONS" && has("origin") && has("access-control-request-method")
    }

    pub(crate) fn with_target(&self, change: impl FnOnce(&str) -> String) -> Attempt {
        let mut other = self.clone();
        other.request.path = Some(change(self.target()));
        other
    }

    /// With another path before the same query.
    pub(crate) fn with_path(&self, change: impl FnOnce(&str) -> String) -> Attempt {
        self.with_target(|target| match target.split_once('?') {
            Some((path, query)) => format!("{}?{query}", change(path)),
            None => change(target),
        })
    }

    pub(crate) fn with_body(mut self, change: impl FnOnce(&str) -> String) -> Attempt {
        self.request.body = self.request.body.as_deref().map(change);
        self
    }

    pub(crate) fn without_body(&self) -> Attempt {
        let mut other = self.clone();
        other.request.body = None;
        other
    }

    /// Whether it says that its body is JSON.
    pub(crate) fn has_json(&self) -> bool {
        self.has_in("content-type", &["json"])
    }

    /// Whether one of these words stands in a header.
    pub(crate) fn has_in(&self, header: &str, words: &[&str]) -> bool {
        self.request.headers.iter().any(|(name, value)| {
            let value = String::from_utf8_lossy(&value.0).to_ascii_lowercase();
            name.eq_ignore_ascii_case(header) && words.iter().any(|word| value.contains(word))
        })
    }

    pub(crate) fn without_headers(&self, names: &[&str]) -> Attempt {
        let mut other = self.clone();
        let is_one =
            |own: &str| names.iter().any(|name| own.replace('-', "").eq_ignore_ascii_case(name));
        other.request.headers.retain(|(name, _)| !is_one(name));
        other
    }

    fn target(&self) -> &str {
        self.request.path.as_deref().unwrap_or_default()
    }

    /// Whether the clients here can send it.
    fn can_be_sent(&self) -> bool {
        let target = self.target();
        let is_target = target.bytes().all(|byte| byte.is_ascii_graphic()) && !target.is_empty();
        let is_uri = || target.starts_with('/') && target.parse::<http::Uri>().is_ok();
        is_target && (!self.request.http2 || is_uri())
    }

    /// What is left when nothing more can be taken from it, so that it still fails.
    pub(crate) fn shrunk(&self, fails: impl Fn(&Attempt) -> bool) -> Attempt {
        let fails = |attempt: &Attempt| attempt.can_be_sent() && fails(attempt);
        let mut small = self.clone();
        let without_body = small.without_body();
        if fails(&without_body) {
            small = without_body;
        }
        let mut index = 0;
        while index < small.request.headers.len() {
            let mut fewer = small.clone();
            fewer.request.headers.remove(index);
            if fails(&fewer) {
                small = fewer;
            } else {
                index += 1;
            }
        }
        let target =
            round::shrunk(small.target(), |text| fails(&small.with_target(|_| text.to_owned())));
        small.with_target(|_| target)
    }

    /// As a case of `tests/cases` says it, trailers aside.
    pub(crate) fn text(&self) -> String {
        let CaseRequest { method, path, headers, body, http2, .. } = &self.request;
        let pair =
            |(name, value): &(String, Value)| json!([name, String::from_utf8_lossy(&value.0)]);
        let headers: Vec<serde_json::Value> = headers.iter().map(pair).collect();
        let request = json!({"method": method, "path": path, "headers": headers, "body": body, "http2": http2});
        if self.trailers.is_empty() {
            request.to_string()
        } else {
            format!("{request} with trailers {:?}", self.trailers)
        }
    }
}

/// Ids of the policy's keys, the one first that may nearly nothing.
const KEYS: [&str; 5] = ["reader", "writer", "searcher", "foreign", "admin"];

/// A request that may be spelled in one of many ways.
pub(crate) fn attempt(random: &mut Random) -> Attempt {
    loop {
        let attempt = if random.once_in(4) { usual(random) } else { one(random) };
        if attempt.can_be_sent() {
            return attempt;
        }
    }
}

/// One that only a framework's own reading makes forbidden, spelled as its clients spell it.
fn usual(random: &mut Random) -> Attempt {
    const FORM: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "multipart/form-data; boundary=x";
    let part = |name: &str, value: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--x--\r\n"
        )
    };
    let search = "/search?type%5B%5D=product";
    let searched = random.word(&["POST", "GET"]);
    let deleted = random.word(&["DELETE", "delete"]);
    let (method, target, key, kind, body) = match random.below(14) {
        0 => ("POST", "/docs/5", "writer", FORM, format!("_method={deleted}")),
        1 => ("POST", "/docs/5", "writer", PARTS, part("_method", deleted)),
        2 => {
            let body = format!(r#"{{"_method":"{deleted}"}}"#);
            ("POST", "/docs/5", "writer", "application/json", body)
        }
        3 => ("POST", "/docs/5?_method=DELETE", "writer", "", String::new()),
        4 => (searched, search, "searcher", FORM, "q=a&hydrate=1".to_owned()),
        5 => (searched, search, "searcher", PARTS, part("hydrate", "1")),
        6 => (searched, search, "searcher", "application/json", r#"{"hydrate":"1"}"#.to_owned()),
        7 => {
            let body = "<a><Hydrate>1</Hydrate><hydrate>1</hydrate></a>".to_owned();
            (searched, search, "searcher", "application/xml", body)
        }
        8 | 9 => (searched, search, "searcher", "", String::new()),
        10 => ("GET", random.word(&["/ADMIN/users", "/Admin/Users"]), "reader", "", String::new()),
        11 => ("GET", random.word(&["/typed.json", "/typed.xml"]), "reader", "", String::new()),
        12 => {
            let target = "/trpc/post.list,admin.wipe?batch=1";
            (random.word(&["GET", "POST"]), target, "reader", "", String::new())
        }
        _ => ("GET", "/admin/users.json", "reader", "", String::new()),
    };
    let mut attempt = Attempt::default();
    attempt.request.method = method.to_owned();
    attempt.request.path = Some(target.to_owned());
    header(&mut attempt, "authorization", &Key::new(key).bearer());
    if !kind.is_empty() {
        header(&mut attempt, "content-type", kind);
        attempt.request.body = Some(body);
    } else if target == search {
        match random.below(2) {
            0 => header(&mut attempt, random.word(&["hydrate", "Hydrate"]), "1"),
            _ => header(&mut attempt, "cookie", "a=b; hydrate=1"),
        }
    }
    attempt
}

fn one(random: &mut Random) -> Attempt {
    // What is asked for, and the key that is nearest to it.
    let (method, path, query, key) = *random.one(&[
        ("DELETE", "/docs/5", "", "writer"),
        ("POST", "/docs", "", "reader"),
        ("POST", "/docs/5", "", "writer"),
        ("GET", "/docs/5", "", "reader"),
        ("PUT", "/docs/5", "", "reader"),
        ("PUT", "/docs/5", "", "writer"),
        ("GET", "/admin/users", "", "reader"),
        ("POST", "/admin/a/b", "", "writer"),
        ("GET", "/search", "hydrate=1&type[]=product", "searcher"),
        ("GET", "/search", "type[]=product", "searcher"),
        ("GET", "/search", "type[]=secret", "searcher"),
        ("POST", "/search", "type[]=product", "searcher"),
        ("GET", "/orgs/other/x", "", "writer"),
        ("GET", "/orgs/acme/x", "", "writer"),
        ("DELETE", "/public/a", "", "reader"),
        ("POST", "/public/a", "", "reader"),
        ("GET", "/public/a/b", "", "reader"),
        ("GET", "/typed", "", "searcher"),
        ("GET", "/health", "", "reader"),
        ("GET", "/trpc/post.list", "batch=1", "reader"),
        ("POST", "/trpc/admin.wipe", "batch=1", "writer"),
    ]);
    let mut attempt = Attempt::default();
    attempt.request.method = method.to_owned();
    attempt.request.http2 = random.once_in(4);
    let mut target = path.to_owned();
    if !query.is_empty() {
        // Tomcat takes brackets only if they are encoded.
        let brackets = random.word(&["[]", "%5B%5D"]);
        target = format!("{path}?{}", query.replace("[]", brackets));
    }
    if path == "/typed" {
        header(&mut attempt, "x-type", random.word(&["product", "secret"]));
    }
    present(random, key, &mut attempt, &mut target);
    // One at a time mostly: what is refused for one shows nothing of another.
    for _ in 0..*random.one(&[1, 1, 1, 2, 3]) {
        match random.below(16) {
            14 => otherwise_by_markup(random, &mut attempt),
            15 => otherwise_by_header(random, &mut attempt),
            0..=2 => target = odd_path(random, &target),
            3 | 4 => target = odd_query(random, &mut attempt, &target),
            5 => odd_method(random, &mut attempt),
            6 | 7 => target = otherwise_by_path(random, &target),
            8 => target = otherwise_by_query(random, &mut attempt, &target),
            9..=11 => otherwise_by_body(random, &mut attempt),
            _ => odd_header(random, &mut attempt, &mut target),
        }
    }
    attempt.request.path = Some(target);
    if attempt.request.http2 && random.once_in(4) {
        let own = random.word(&["x-account-id", "x-key-id", "x-api-key", "authorization"]);
        let name = odd_name(random, own);
        // Go reads what was announced.
        header(&mut attempt, "trailer", &name);
        attempt.trailers.push((name, EVIL.to_owned()));
        attempt.request.body = Some("{}".to_owned());
    }
    attempt
}

fn header(attempt: &mut Attempt, name: &str, value: &str) {
    attempt.request.headers.push((name.to_owned(), Value(value.as_bytes().to_vec())));
}

/// Presents a key, where it is usual, and now and then a second one.
fn present(random: &mut Random, nearest: &str, attempt: &mut Attempt, target: &mut String) {
    let key = match random.below(20) {
        0..=12 => nearest,
        19 => "admin",
        _ => random.word(&KEYS[..4]),
    };
    let key = Key::new(key);
    match random.below(10) {
        0 => {}
        1 => {
            let mark = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{mark}api_key={}", key.token));
        }
        2 => header(attempt, "x-api-key", &key.token),
        3 => header(attempt, "cookie", &format!("a=b; api_key={}", key.token)),
        _ => header(attempt, "authorization", &key.bearer()),
    }
    if random.once_in(12) {
        // Another's: one that stays in a place where nobody looks is the client's own affair.
        let others: Vec<&'static str> = KEYS.into_iter().filter(|own| *own != key.id).collect();
        let other = Key::new(random.word(&others));
        match random.below(4) {
            0 => {
                let name = odd_parameter(random, "api_key");
                let mark = if target.contains('?') { random.word(&["&", ";", "&&"]) } else { "?" };
                target.push_str(&format!("{mark}{name}={}", other.token));
            }
            1 => header(attempt, &odd_name(random, "x-api-key"), &other.token),
            2 => {
                let name = odd_parameter(random, "api_key");
                header(attempt, "cookie", &format!("{name}={}", other.token));
            }
            _ => header(attempt, &odd_name(random, "authorization"), &other.bearer()),
        }
    }
}

/// What some parser takes for something else.
const PIECES: [&str; 63] = [
    "",
    "/",
    "//",
    ".",
    "..",
    "/.",
    "/..",
    "/./",
    "/../",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    ";",
    ";a",
    ";/",
    "/;",
    "/;/",
    "/..;/",
    "..;a=b",
    ";a=b",
    ";hydrate=1",
    ";?",
    "%3b",
    "%3bhydrate=1",
    "%3B%2f",
    "%00",
    "%0a",
    "%0d%0a",
    "%09",
    "%20",
    "+",
    "%2b",
    "%23",
    "#",
    "%3f",
    "?",
    "%3fhydrate=1",
    "%25",
    "%252e",
    "%252f",
    "%2525",
    "%c0%af",
    "%c0%ae",
    "%e0%80%af",
    "%ff",
    "%e2%88%95",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "%e2%80%8b",
    "%c2%a0",
    "%c2%85",
    "%u002f",
    "%",
    "%2",
    ".json",
    ",",
    "~",
    ":",
    "@",
    "*",
];

/// Paths that one key or another may reach, to be put before or behind others.
const PATHS: [&str; 11] = [
    "/public",
    "/public/a",
    "/docs",
    "/docs/5",
    "/health",
    "/admin",
    "/admin/users",
    "/search",
    "/orgs/acme",
    "/orgs/other",
    "/typed",
];

fn odd_path(random: &mut Random, target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target, String::new()),
    };
    let path = path.to_owned();
    // At its end often, which is where parameters and suffixes stand.
    let place = if random.once_in(3) { path.len() } else { random.below(path.len() + 1) };
    let (before, behind) = path.split_at(place);
    let path = match random.below(12) {
        0 => encoded(behind).map_or(path.clone(), |behind| format!("{before}{behind}")),
        1 => encoded(behind)
            .map_or(path.clone(), |behind| format!("{before}{}", behind.replacen('%', "%25", 1))),
        2 => {
            let number = behind.bytes().next().unwrap_or(b'/');
            let rest = behind.get(1..).unwrap_or_default();
            format!("{before}%u{number:04x}{rest}")
        }
        3 => {
            let (one, rest) = behind.split_at_checked(1).unwrap_or(("", behind));
            format!("{before}{}{rest}", one.to_ascii_uppercase())
        }
        4 => path.to_ascii_uppercase(),
        5 | 6 => format!("{before}{}{behind}", random.word(&PIECES)),
        7 => format!("{path}{}", random.word(&PIECES)),
        8 => format!("{}{}{path}", random.word(&PATHS), random.word(&PIECES)),
        9 => format!("{path}{}{}", random.word(&PIECES), random.word(&PATHS)),
        10 => {
            let query = odd_query_text(random, "");
            format!("{before};{query}{behind}")
        }
        _ => {
            let authority = random.word(&[
                "http://api.example.com",
                "http://a",
                "HTTP://b:80",
                "http://a@b",
                "http:",
                "/",
                "a",
            ]);
            format!("{authority}{path}")
        }
    };
    path + &query
}

/// A path whose letters, last segment or suffix frameworks read otherwise.
fn otherwise_by_path(random: &mut Random, target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target, String::new()),
    };
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let path = match random.below(10) {
        0 => path.to_ascii_uppercase(),
        1 => {
            let letters = path.chars().map(|letter| match random.once_in(3) {
                true => letter.to_ascii_uppercase(),
                false => letter,
            });
            letters.collect()
        }
        // What some take for `s` and `k`, whatever the case; and an encoded capital.
        2 => {
            let other = random.word(&["%c5%bf", "%e2%84%aa", "%53", "%41", "%73"]);
            path.replacen(random.word(&["s", "d", "a", "k"]), other, 1)
        }
        3..=5 => {
            let suffix = random.word(&[
                ".json",
                ".xml",
                ".JSON",
                ".html",
                ".js",
                ".pdf",
                ".a",
                ".json.xml",
                ".tar.gz",
                "%2ejson",
                ".%6ason",
                ".json/",
                ".",
                ".1",
                ".a-b",
                ".json;a",
                ".json%20",
                ".vnd.api+json",
            ]);
            format!("{path}{suffix}")
        }
        6 => {
            let other = random.word(&["admin.wipe", "post.list", "users", "5", "search", ""]);
            let comma = random.word(&[",", "%2c", "%2C", ",,", ", ", "%252c", ";"]);
            let (one, two) = if random.once_in(2) { (last, other) } else { (other, last) };
            format!("{before}/{one}{comma}{two}").replace(' ', "%20")
        }
        7 => {
            let procedure = random.word(&[
                "post.list,admin.wipe",
                "admin.wipe,post.list",
                "post.list%2Cadmin.wipe",
                "post.list,%61dmin.wipe",
                "admin.wipe,",
                ",admin.wipe",
                "post%2elist,admin%2ewipe",
                "ADMIN.wipe",
                "admin.wipe.json",
                "x/admin.wipe",
                "x/y/post.list,admin.wipe",
                "post.list/admin.wipe",
            ]);
            return format!("/trpc/{procedure}?batch=1");
        }
        8 => format!("{}.json", path.to_ascii_uppercase()),
        _ => format!("{path}{}", random.word(&["/", "//", "/.json", "/index.html", "/a", "/a/b"])),
    };
    path + &query
}

/// A method in the query of a request that may hold one.
fn otherwise_by_query(random: &mut Random, attempt: &mut Attempt, target: &str) -> String {
    let mark = if target.contains('?') { '&' } else { '?' };
    let name = match random.below(3) {
        0 => odd_parameter(random, "_method"),
        _ => "_method".to_owned(),
    };
    let method = random.word(&OVERRIDDEN);
    attempt.request.method =
        random.word(&["POST", "POST", "POST", "PUT", "GET", "PATCH"]).to_owned();
    format!("{target}{mark}{name}={method}")
}

const OVERRIDDEN: [&str; 9] =
    ["DELETE", "DELETE", "DELETE", "delete", "PUT", "GET", "Patch", " DELETE", "DELETE,GET"];

/// A method or parameters in a body.
fn otherwise_by_body(random: &mut Random, attempt: &mut Attempt) {
    let mut fields = Vec::new();
    for _ in 0..=random.below(2) {
        let (own, value) = *random.one(&[
            ("_method", "DELETE"),
            ("_method", "delete"),
            ("_method", "PUT"),
            ("hydrate", "1"),
            ("hydrate", "1"),
            ("hydrate", ""),
            ("type[]", "secret"),
            ("type", "secret"),
            ("q", "a"),
        ]);
        let name = if random.once_in(3) { odd_parameter(random, own) } else { own.to_owned() };
        fields.push((name, value));
    }
    let (kind, body) = match random.below(8) {
        0..=2 => {
            let kind = random.word(&[
                "application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded; charset=utf-8",
                "Application/X-WWW-Form-Urlencoded",
                "application/x-www-form-urlencoded, text/plain",
                "application/x-www-form-urlencoded;",
                " application/x-www-form-urlencoded ; a=b",
                "text/plain",
                "",
                "application/json, application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded; a=/json",
            ]);
            let pairs: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (kind.to_owned(), pairs.join(random.word(&["&", "&", "&", ";", "&&", "\n&"])))
        }
        3 | 4 => multipart(random, &fields),
        _ => {
            let kind = random.word(&[
                "application/json",
                "application/json",
                "application/json; charset=utf-8",
                "APPLICATION/JSON",
                "application/vnd.api+json",
                "text/json",
                "application/json, text/plain",
                "application/x-json",
                "application/csp-report",
                "application/ld+json",
                "application/grpc+json",
                "text/plain; a=/json",
                "application/x-www-form-urlencoded; a=b+json",
            ]);
            (kind.to_owned(), members(random, &fields))
        }
    };
    if !kind.is_empty() {
        header(attempt, "content-type", &kind);
    }
    if random.once_in(12) {
        header(attempt, "content-encoding", random.word(&["identity", "gzip", "x"]));
    }
    attempt.request.body = Some(body);
    // With GET, too, if it is one.
    if random.once_in(2) {
        attempt.request.method = random.word(&["POST", "POST", "POST", "PUT", "PATCH"]).to_owned();
    }
}

/// Parameters in what else names values.
fn otherwise_by_markup(random: &mut Random, attempt: &mut Attempt) {
    let name = random.word(&["hydrate", "Hydrate", "HYDRATE", "Types", "type[]"]);
    let (kind, body) = match random.below(4) {
        0 | 1 => {
            let kind = random.word(&[
                "application/xml",
                "text/xml",
                "application/xml; charset=utf-8",
                "Application/XML",
                "application/vnd.a+xml",
                "application/xml-a",
            ]);
            let body = match random.below(3) {
                0 => format!("<a><{name}>1</{name}></a>"),
                1 => format!("<?xml version=\"1.0\"?><a xmlns:b=\"c\"><b:{name}>1</b:{name}></a>"),
                _ => format!("<a {name}=\"1\"><!-- --><{name}><![CDATA[1]]></{name}></a>"),
            };
            (kind, body)
        }
        2 => {
            let kind = random.word(&["application/x-yaml", "application/yaml", "text/yaml"]);
            let escaped = format!("\"\\x{:02x}{}\": \"1\"", name.as_bytes()[0], &name[1..]);
            (kind, if random.once_in(3) { escaped } else { format!("{name}: \"1\"\n") })
        }
        _ => ("application/toml", format!("\"{name}\" = \"1\"\n")),
    };
    header(attempt, "content-type", kind);
    attempt.request.body = Some(body);
    attempt.request.method =
        random.word(&["POST", "POST", "POST", "PUT", "GET", "HEAD"]).to_owned();
}

/// Parameters in headers and in cookies.
fn otherwise_by_header(random: &mut Random, attempt: &mut Attempt) {
    let name = random.word(&["hydrate", "hydrate", "Hydrate", "hy-drate", "type", "types"]);
    let value = random.word(&["1", "1", "0", "", "secret", "product", "product,secret"]);
    match random.below(3) {
        0 => {
            let value = random.word(&["1", "\"1\"", "%31", "", "secret"]);
            header(attempt, "cookie", &format!("a=b; {name}={value}"));
        }
        _ => header(attempt, name, value),
    }
}

/// A multipart form's content type and its text, as some parser reads them.
fn multipart(random: &mut Random, fields: &[(String, &str)]) -> (String, String) {
    let kind = random.word(&[
        "multipart/form-data; boundary=b",
        "multipart/form-data; boundary=b",
        "multipart/form-data; boundary=\"b\"",
        "Multipart/Form-Data; Boundary=b",
        "multipart/form-data;boundary=b; charset=utf-8",
        "multipart/form-data; a=\"; boundary=c\"; boundary=b",
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; boundary=c; boundary=b",
        "multipart/mixed; boundary=b",
        "multipart/related; boundary=b",
        "multipart/form-data; boundary=b, text/plain",
        "multipart/form-data",
    ]);
    let end = random.word(&["\r\n", "\r\n", "\r\n", "\n"]);
    let mut body = random.word(&["", "", "", "preamble\r\n", "\r\n", "--c\r\n"]).to_owned();
    for (name, value) in fields {
        let disposition = match random.below(12) {
            0 => format!("Content-Disposition: form-data; name={name}"),
            1 => format!("content-disposition:form-data;name=\"{name}\""),
            2 => format!("Content-Disposition: form-data; name=\"q\"; name=\"{name}\""),
            3 => format!("Content-Disposition: form-data; name=\"{name}\"; name=\"q\""),
            4 => format!("Content-Disposition: form-data; name*=utf-8''{name}"),
            5 => format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"\""),
            6 => format!("Content-Disposition: form-data; filename=\"; name=q\"; name=\"{name}\""),
            7 => format!("Content-Disposition: form-data;{end} name=\"{name}\""),
            8 => format!(
                "Content-Type: text/plain{end}Content-Disposition: form-data; name=\"{name}\""
            ),
            9 => format!("Content-ID: <{name}>"),
            10 => format!("Content-Disposition: attachment; name='{name}'"),
            _ => format!("Content-Disposition: form-data; name=\"{name}\""),
        };
        body.push_str(&format!("--b{end}{disposition}{end}{end}{value}{end}"));
    }
    body.push_str(random.word(&["--b--\r\n", "--b--", "--b--\r\nmore", "--b", ""]));
    (kind.to_owned(), body)
}

/// The text of a JSON object, as some parser reads it.
fn members(random: &mut Random, fields: &[(String, &str)]) -> String {
    let mut members = Vec::new();
    for (name, value) in fields {
        let name = match random.below(8) {
            0 => format!(
                "\\u{:04x}{}",
                name.chars().next().map_or(0x68, u32::from),
                name.chars().skip(1).collect::<String>()
            ),
            1 => name.to_ascii_uppercase(),
            2 => name[..1].to_ascii_uppercase() + name.get(1..).unwrap_or_default(),
            _ => name.replace('\\', "\\\\"),
        };
        let value = match random.below(8) {
            0 => "1".to_owned(),
            1 => "true".to_owned(),
            2 => format!("[\"{value}\"]"),
            3 => format!("{{\"a\":\"{value}\"}}"),
            4 => "null".to_owned(),
            _ => format!("\"{value}\""),
        };
        members.push(format!("\"{name}\":{value}"));
    }
    let inner = members.join(",");
    match random.below(14) {
        0 => format!("\u{feff}{{{inner}}}"),
        1 => format!("{{{inner},}}"),
        2 => format!("{{\"search\":{{{inner}}}}}"),
        3 => format!("[{{{inner}}}]"),
        4 => format!("{{{inner}}} more"),
        5 => format!("{{{inner}}}{{}}"),
        6 => format!("/**/{{{inner}}}"),
        7 => format!("{{\"q\":{}{{{inner}}}", "1}"),
        8 => format!("{{\"0\":1,{inner}}}"),
        _ => format!("{{{inner}}}"),
    }
}

/// A text whose first character is percent-encoded; none where there is no character.
fn encoded(text: &str) -> Option<String> {
    let byte = text.bytes().next()?;
    Some(format!("%{byte:02x}{}", text.get(1..)?))
}

/// Charsets in which a server may read a query.
const CHARSETS: [&str; 14] = [
    "utf-8",
    "utf-7",
    "UTF7",
    "u7",
    "unicode-1-1-utf-7",
    "utf-16",
    "utf-16le",
    "cp037",
    "cp500",
    "unicode_escape",
    "raw-unicode-escape",
    "iso-2022-jp",
    "hz",
    "latin-1",
];

/// `hydrate=1` in those that are not ASCII with more behind it.
const HYDRATE_IN_CHARSETS: [&str; 9] = [
    "+ACY-hydrate+AD0-1",
    "%2BACY-hydrate%2BAD0-1",
    "+AGgAeQBkAHIAYQB0AGU=1",
    "%2BAGgAeQBkAHIAYQB0AGU-=1",
    "%88%a8%84%99%81%a3%85=%f1",
    "%00h%00y%00d%00r%00a%00t%00e=%001",
    "h%00y%00d%00r%00a%00t%00e%00=1%00",
    "%5cx68ydrate=1",
    "%5cu0068ydrate=1",
];

fn odd_query(random: &mut Random, attempt: &mut Attempt, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if random.once_in(3) {
        let kind = random.word(&[
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "x",
        ]);
        let charset = random.word(&CHARSETS);
        let value = match random.below(6) {
            0 => format!("{kind}; charset=\"{charset}\""),
            1 => format!("{kind};CHARSET={charset}"),
            2 => format!("{kind}; (x) charset={charset}"),
            3 => format!("{kind}; charset*=utf-8''{charset}"),
            4 => format!("{kind}; a=b; charset = {charset}"),
            _ => format!("{kind}; charset={charset}"),
        };
        header(attempt, "content-type", &value);
        if random.once_in(2) {
            return format!("{path}?{query}&{}", random.word(&HYDRATE_IN_CHARSETS));
        }
    }
    format!("{path}?{}", odd_query_text(random, query))
}

fn odd_query_text(random: &mut Random, query: &str) -> String {
    let mut query = query.to_owned();
    for _ in 0..=random.below(2) {
        let own = random.word(&["hydrate", "hydrate", "type[]", "type[]", "type", "_method", "q"]);
        let name = odd_parameter(random, own);
        let value = random.word(&[
            "1",
            "0",
            "",
            "secret",
            "product",
            "%zz",
            "a+b",
            "DELETE",
            "1;2",
            "product,secret",
        ]);
        let sign = random.word(&["=", "=", "=", "%3d", "", "+AD0-", "==", ":"]);
        let separator = random.word(&[
            "&", "&", "&", ";", "&&", "&amp;", "%26", "?", "+ACY-", "%2BACY-", "\\u0026", "%0a",
            "|", ",",
        ]);
        query = match random.below(3) {
            0 if !query.is_empty() => format!("{name}{sign}{value}{separator}{query}"),
            _ if query.is_empty() => format!("{name}{sign}{value}"),
            _ => format!("{query}{separator}{name}{sign}{value}"),
        };
    }
    query
}

/// A parameter's name as some framework reads it.
fn odd_parameter(random: &mut Random, name: &str) -> String {
    let place = random.below(name.len());
    let (before, behind) = name.split_at(place);
    match random.below(18) {
        0 => encoded(behind).map_or_else(String::new, |behind| format!("{before}{behind}")),
        1 => format!("{before}%u00{:02x}{}", behind.as_bytes()[0], &behind[1..]),
        2 => name.to_ascii_uppercase(),
        3 => format!("{name}[]"),
        4 => format!("{name}[0]"),
        5 => format!("{name}[a]"),
        6 => format!("{name}.a"),
        7 => format!("[{name}]"),
        8 => name.replace('_', random.word(&[".", "+", "%20", "[", "%5b", "-"])),
        9 => name.replace(
            "[]",
            random.word(&["[0]", "%5B%5D", "%5b]", "[", "[][]", "[a]", "[-1]", "%5B0%5D", ""]),
        ),
        10 => format!(
            "{}{name}",
            random.word(&["+", "%20", "%00", "%09", "?", "!", "_", "!_", "%ef%bb%bf"])
        ),
        11 => format!(
            "{name}{}",
            random.word(&["+", "%20", "%00", "%00a", "%09", "[", "]", ".", "%5b%5d"])
        ),
        12 => {
            let hexadecimal: String =
                name.bytes().map(|byte| format!("%00{}", char::from(byte))).collect();
            hexadecimal.replace("[]", "%5b%00%5d")
        }
        13 => format!("+{}-{}", "AGg", &name[1..]),
        14 => format!("\\x{:02x}{}", name.as_bytes()[0], &name[1..]),
        // `hydrate` in EBCDIC.
        15 if name == "hydrate" => "%88%A8%84%99%81%A3%85".to_owned(),
        16 => name.replace('a', "%c4%81").replace('y', "%ef%bd%99"),
        _ => name.to_owned(),
    }
}

const METHODS: [&str; 24] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "delete", "Delete",
    "post", "put", "patch", "Post", "BREW", "PROPFIND", "QUERY", "COPY", "LINK", "PURGE",
    "DELETE-", "GET_", "M-SEARCH",
];

fn odd_method(random: &mut Random, attempt: &mut Attempt) {
    attempt.request.method = random.word(&METHODS).to_owned();
    // Those that nobody registered pass over HTTP/2 only.
    attempt.request.http2 |= random.once_in(2);
}

/// Headers that say who asks.
const IDENTITY: [&str; 2] = ["x-account-id", "x-key-id"];
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
const TARGETS: [&str; 8] = [
    "script_name",
    "daphne-root-path",
    "x-original-url",
    "x-rewrite-url",
    "script-name",
    "path_info",
    "x-forwarded-prefix",
    "x-script-name",
];

fn odd_header(random: &mut Random, attempt: &mut Attempt, target: &mut String) {
    match random.below(9) {
        0 | 1 => {
            let name = {
                let own = random.word(&OVERRIDES);
                odd_name(random, own)
            };
            let value = random.word(&[
                "DELETE",
                "delete",
                "GET",
                "DELETE, GET",
                "GET, DELETE",
                "PUT",
                " DELETE ",
                "POST",
                "PATCH,PUT",
                "\"DELETE\"",
                "DELETE;q=1",
                "BREW",
                "",
            ]);
            header(attempt, &name, value);
            if random.once_in(2) {
                attempt.request.method = "POST".to_owned();
            }
        }
        2 => {
            let name = {
                let own = random.word(&IDENTITY);
                odd_name(random, own)
            };
            header(attempt, &name, EVIL);
        }
        3 => {
            let own = random.word(&TARGETS);
            let name = if random.once_in(2) { own.to_owned() } else { odd_name(random, own) };
            let value = random.word(&[
                "/orgs/acme",
                "/admin",
                "/admin/users",
                "/docs",
                "/public",
                "/",
                "/search?hydrate=1",
            ]);
            header(attempt, &name, value);
            // An upstream takes the part away that the header names.
            if random.once_in(2) && value.len() > 1 {
                target.insert_str(0, value.split('?').next().unwrap_or_default());
            }
        }
        4 => {
            let name = odd_name(random, "x-type");
            header(
                attempt,
                &name,
                random.word(&[
                    "product",
                    "secret",
                    "product, secret",
                    "product,secret",
                    "",
                    "PRODUCT",
                ]),
            );
        }
        5 => {
            let name = random.word(&[
                "x-account-id",
                "X-Account-Id",
                "x_account_id",
                "x-key-id",
                "authorization",
                "x-type",
            ]);
            header(attempt, "connection", &format!("Upgrade, {name}"));
            header(attempt, "upgrade", random.word(&["websocket", "h2c", "WebSocket"]));
            // HTTP/2 knows neither.
            attempt.request.http2 = false;
        }
        6 => {
            header(attempt, "origin", "https://app.example.com");
            header(attempt, "access-control-request-method", "DELETE");
            if random.once_in(2) {
                attempt.request.method = "OPTIONS".to_owned();
            }
        }
        7 => {
            let body = match random.below(3) {
                0 => odd_query_text(random, ""),
                _ => random.word(&["hydrate=1", "_method=DELETE", "type%5B%5D=secret"]).to_owned(),
            };
            header(attempt, "content-type", "application/x-www-form-urlencoded");
            attempt.request.body = Some(body);
            if random.once_in(2) {
                attempt.request.method = "POST".to_owned();
            }
        }
        _ => {
            let name = random.word(&[
                "host",
                "forwarded",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-http-path-override",
                "referer",
                "te",
                "expect",
            ]);
            header(
                attempt,
                name,
                random.word(&["a", "https", "trailers", "/admin/users", "100-continue"]),
            );
        }
    }
}

/// A header's name as some server reads it.
fn odd_name(random: &mut Random, name: &str) -> String {
    const SIGNS: [&str; 14] =
        ["_", ".", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", "~"];
    match random.below(6) {
        0 => name.replace('-', "_"),
        1 => name.replace(['-', '_'], random.word(&SIGNS)),
        2 => name.replacen(['-', '_'], random.word(&SIGNS), 1),
        3 => name.to_ascii_uppercase(),
        4 => format!("{name}{}", random.word(&SIGNS)),
        _ => name.to_owned(),
    }
}
