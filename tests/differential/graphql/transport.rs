//! Requests that carry a document as no client would, to the HTTP layers of GraphQL servers: members twice or in other
//! letters, other charsets and content types, batches, forms, and what stands in the URL beside the body.

use std::thread;

use serde_json::{Value, json};

use super::judge::{self, Judge};
use super::{FORBIDDEN, answers, sent};
use crate::round::{self, Random};
use crate::server::Server;

/// Servers with an HTTP layer of their own.
pub(crate) const LAYERS: [&str; 8] = [
    "apollo",
    "ariadne",
    "gqlgen",
    "graph-gophers",
    "graphql-go",
    "graphql-http",
    "graphql-yoga",
    "strawberry",
];

/// Documents that the key may run as they stand, or by the operation that they name first.
const DOCUMENTS: [&str; 4] = [
    "{ok2}",
    "query A{ok2} query B{secret2}",
    "query A{ok2} mutation B{ok2}",
    "mutation B{ok2} query A{ok2}",
];

#[test]
#[ignore = "run by make differential"]
fn no_http_layer_runs_a_field_that_is_forbidden() {
    let judge = Judge::new();
    let servers = round::servers(&LAYERS);
    for server in &servers {
        check_ordinary(&judge, server);
    }
    let mut random = Random::new(3);
    let count = round::count(30_000);
    let allowed: Vec<Attempt> = (0..count)
        .map(|_| attempt(&mut random))
        .filter(|attempt| attempt.is_allowed(&judge))
        .collect();
    println!(
        "{count} GraphQL requests, {} of them allowed, on {} HTTP layers",
        allowed.len(),
        servers.len()
    );
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> =
            servers.iter().map(|server| scope.spawn(|| failures(server, &allowed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Clients come through, and what they must not run would be seen.
fn check_ordinary(judge: &Judge, server: &Server) {
    let json = |document: &str| json!({"query": document, "variables": {}, "operationName": null, "extensions": {}});
    let post = |content_type: &str, document: &str| Attempt {
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: json(document).to_string().into_bytes(),
        ..Attempt::default()
    };
    let get = Attempt {
        method: "GET",
        target: "/graphql?query=%7Bok2%7D".to_owned(),
        ..Attempt::default()
    };
    let mut ordinary = vec![
        post("application/json", "{ok2}"),
        post("application/json; charset=utf-8", "query A{ok2}"),
    ];
    // graph-gophers has no GET.
    ordinary.extend((server.name() != "graph-gophers").then_some(get));
    for attempt in ordinary {
        assert!(attempt.is_allowed(judge), "refused: {}", attempt.text());
        assert_eq!(attempt.ran(server), "ran ok2", "{}: {}", server.name(), attempt.text());
    }
    let forbidden = post("application/json", FORBIDDEN);
    assert!(
        !forbidden.is_allowed(judge) && judge::is_forbidden(&forbidden.ran(server)),
        "{}",
        server.name()
    );
}

fn failures(server: &Server, attempts: &[Attempt]) -> Vec<String> {
    let ran = attempts.iter().map(|attempt| (attempt, attempt.ran(server)));
    let failed = ran.filter(|(_, ran)| judge::is_forbidden(ran));
    failed
        .take(5)
        .map(|(attempt, ran)| format!("{}: {}: {ran}", server.name(), attempt.text()))
        .collect()
}

/// A request for `/graphql`.
#[derive(Clone, Debug)]
struct Attempt {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Default for Attempt {
    fn default() -> Attempt {
        Attempt {
            method: "POST",
            target: "/graphql".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Attempt {
    fn is_allowed(&self, judge: &Judge) -> bool {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        judge.allows_request(self.method, &self.target, &headers, &self.body)
    }

    /// What a server runs of it, whatever it answers. Apollo Server takes a GET from whom a page cannot be.
    fn ran(&self, server: &Server) -> String {
        let lines: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\napollo-require-preflight: true\r\n{lines}content-length: {}\r\n\r\n",
            self.method,
            self.target,
            self.body.len()
        );
        let _ = sent(server, &[head.as_bytes(), &self.body].concat());
        answers(server, b"GET /ran HTTP/1.1\r\nhost: localhost\r\n\r\n").remove(0)
    }

    fn text(&self) -> String {
        let Attempt { method, target, headers, body } = self;
        format!("{method} {target} {headers:?} {:?}", String::from_utf8_lossy(body))
    }
}

fn attempt(random: &mut Random) -> Attempt {
    let mut attempt = Attempt {
        method: random.word(&["POST", "POST", "POST", "POST", "POST", "GET", "PUT", "HEAD"]),
        ..Attempt::default()
    };
    let has_body = attempt.method != "GET" || random.once_in(4);
    if !has_body || random.once_in(4) {
        attempt.target = target(random, has_body);
    }
    if has_body {
        let (body, content_type) = body(random);
        attempt.body = body;
        let content_type = if random.once_in(3) { odd_content_type(random) } else { content_type };
        attempt.headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    if random.once_in(6) {
        let (name, value) = *random.one(&[
            ("content-encoding", "identity"),
            ("content-encoding", "gzip"),
            ("content_type", "application/x-www-form-urlencoded"),
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
            ("x-http-method-override", "GET"),
            ("accept", "text/html"),
            ("accept", "multipart/mixed"),
        ]);
        attempt.headers.push((name.to_owned(), value.to_owned()));
    }
    attempt
}

fn target(random: &mut Random, has_body: bool) -> String {
    const NAMES: [&str; 11] = [
        "query",
        "query",
        "query",
        "Query",
        "query[]",
        "query[0]",
        "%71uery",
        "operationName",
        "operationname",
        "variables",
        "extensions",
    ];
    const VALUES: [&str; 12] = [
        "{ok2}",
        "%7Bok2%7D",
        "{secret2}",
        "%7Bsecret2%7D",
        "query+A{ok2}query+B{secret2}",
        "query%20A{ok2}mutation%20B{ok2}",
        "A",
        "B",
        "",
        "{}",
        "{\"query\":\"{secret2}\"}",
        "{ok2}%23+AAo-secret2",
    ];
    let mut target = "/graphql".to_owned();
    let mut separator = random.word(&["?", "?", "?", "?", "?", ";"]);
    if !has_body {
        target = format!("{target}{separator}query={}", random.one(&VALUES[..6]));
        separator = "&";
    }
    for _ in 0..random.below(3) {
        target = format!("{target}{separator}{}={}", random.one(&NAMES), random.one(&VALUES));
        separator = random.word(&["&", "&", "&", ";", "?", "&&"]);
    }
    target
}

fn odd_content_type(random: &mut Random) -> &'static str {
    random.word(&[
        "application/json; charset=utf-8",
        "application/json;charset=\"utf-8\"",
        "application/json; charset=utf-16",
        "application/json; charset=utf-16le",
        "application/json; charset=utf-7",
        "application/json; charset=latin1",
        "application/json; boundary=x",
        "application/json; multipart/form-data; boundary=x",
        "application/json ;a=application/x-www-form-urlencoded",
        "APPLICATION/JSON",
        "application/json, text/plain",
        "application/graphql",
        "application/graphql; charset=utf-16",
        "application/graphql; boundary=x",
        "application/graphql+json",
        "application/graphql-response+json",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "application/json;multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=\"x\"; application/json",
        "text/plain",
        "text/json",
        "",
    ])
}

/// A body, and the content type that it usually has.
fn body(random: &mut Random) -> (Vec<u8>, &'static str) {
    const JSON: &str = "application/json";
    let object = object(random);
    let bad = json!({"query": FORBIDDEN}).to_string();
    let text = match random.below(24) {
        0 => format!("[{object}]"),
        1 => format!("[{object},{}]", random.one(&[&*bad, "{}", "null", "[]"])),
        2 => format!("[[{object}]]"),
        3 => format!("{{\"0\":{object},\"length\":1}}"),
        4 => format!("\u{feff}{object}"),
        5 => format!("{object}{}{bad}", random.one(&["", "\n", " ", "\0", "\u{1e}", ","])),
        6 => format!("{bad}{}{object}", random.one(&["", "\n", " ", "\0", "\u{1e}", ","])),
        7 => {
            format!("{}{object}", random.one(&["\u{b}", "\u{a0}", "/**/", "//\n", ")]}'\n", "\0"]))
        }
        8 => Value::from(object).to_string(),
        9 => object.replacen('}', ",}", 1),
        10 => {
            let units = object.encode_utf16();
            let bytes = if random.once_in(2) { u16::to_le_bytes } else { u16::to_be_bytes };
            return (units.flat_map(bytes).collect(), JSON);
        }
        11 => {
            // A byte that is not UTF-8.
            let mut bytes = object.into_bytes();
            let place = random.below(bytes.len());
            bytes.insert(place, *random.one(&[0xff, 0xc0, 0xa0, 0x80]));
            return (bytes, JSON);
        }
        12 => return (form(random).into_bytes(), "application/x-www-form-urlencoded"),
        13 => return (multipart(random, &object).into_bytes(), "multipart/form-data; boundary=x"),
        14 => {
            let document = random.one(&DOCUMENTS);
            let more =
                random.one(&["", "\n#\"", "\n#&query={secret2}&", "\n#{\"query\":\"{secret2}\"}"]);
            return (format!("{document}{more}").into_bytes(), "application/graphql");
        }
        _ => object,
    };
    (text.into_bytes(), JSON)
}

/// A JSON object with a document that is allowed, and members that somebody may take for another.
fn object(random: &mut Random) -> String {
    let mut members = vec![format!("\"query\":{}", Value::from(*random.one(&DOCUMENTS)))];
    if random.once_in(2) {
        let name = random.one(&[
            "\"A\"",
            "\"A\"",
            "\"A\"",
            "\"B\"",
            "null",
            "\"\"",
            "[\"B\"]",
            "\"A\\u0000\"",
            "\" A\"",
        ]);
        members.push(format!("\"operationName\":{name}"));
    }
    for _ in 0..*random.one(&[0, 1, 1, 1, 2]) {
        let (names, values): (&[&str], &[&str]) = match random.below(6) {
            0 | 1 => (
                &[
                    "query",
                    "Query",
                    "QUERY",
                    "qu\\u0065ry",
                    "query ",
                    "query\\u0000",
                    "\\ufeffquery",
                    "query[]",
                    "\\uff51uery",
                    "$query",
                    "document",
                    "queryString",
                ],
                &[
                    "\"{secret2}\"",
                    "\"{ok2}\"",
                    "null",
                    "[\"{secret2}\"]",
                    "{\"query\":\"{secret2}\"}",
                    "\"\"",
                ],
            ),
            2 => (
                &[
                    "operationName",
                    "operationname",
                    "OperationName",
                    "OPERATIONNAME",
                    "operation_name",
                    "operation",
                    "operationName ",
                    "operat\\u0069onName",
                    "operationName[]",
                ],
                &["\"B\"", "\"A\"", "null", "\"\"", "[\"B\"]", "0"],
            ),
            3 => (
                &[
                    "id",
                    "doc_id",
                    "documentId",
                    "queryId",
                    "_json",
                    "operations",
                    "map",
                    "0",
                    "batch",
                    "payload",
                    "data",
                    "body",
                ],
                &[
                    "\"{secret2}\"",
                    "[{\"query\":\"{secret2}\"}]",
                    "{\"query\":\"{secret2}\"}",
                    "\"{\\\"query\\\":\\\"{secret2}\\\"}\"",
                    "null",
                    "1",
                ],
            ),
            4 => (
                &["extensions", "Extensions", "exten\\u017fions", "ext"],
                &[
                    "{}",
                    "null",
                    "{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"00\"}}",
                    "{\"query\":\"{secret2}\"}",
                    "\"{\\\"query\\\":\\\"{secret2}\\\"}\"",
                ],
            ),
            _ => (
                &["variables", "Variables", "x", "__proto__", "constructor"],
                &[
                    "{}",
                    "null",
                    "{\"query\":\"{secret2}\"}",
                    "\"&query={secret2}&\"",
                    "\"&query=%7Bsecret2%7D&x=\"",
                    "NaN",
                    "1e999",
                    "\"\\ud800\"",
                    "\"\\\"{secret2}\"",
                ],
            ),
        };
        let place = random.below(members.len() + 1);
        members.insert(place, format!("\"{}\":{}", random.one(names), random.one(values)));
    }
    format!("{{{}}}", members.join(random.word(&[",", ",", ",\n", " , ", ",\r\n\t"])))
}

fn form(random: &mut Random) -> String {
    let first = random.one(&["query={ok2}", "query=%7Bok2%7D", "x=1"]);
    let second = random.one(&[
        "",
        "&query={secret2}",
        "&Query={secret2}",
        "&operations={\"query\":\"{secret2}\"}",
        "&operationName=B",
    ]);
    format!("{first}{second}")
}

/// A body of the multipart request specification, the names of its parts in this order or in another.
fn multipart(random: &mut Random, object: &str) -> String {
    let part = |name: &str, value: &str| {
        format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let bad = json!({"query": FORBIDDEN}).to_string();
    let mut parts = vec![part("operations", object), part("map", "{}")];
    if random.once_in(2) {
        let name = random.one(&["operations", "query", "Operations", "0"]);
        let value = if *name == "query" { FORBIDDEN } else { &bad };
        let place = random.below(parts.len() + 1);
        parts.insert(place, part(name, value));
    }
    let before = random.one(&["", "{\"query\":\"{ok2}\"}\r\n", "\r\n"]);
    format!("{before}{}--x--\r\n", parts.concat())
}
