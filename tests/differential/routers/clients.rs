//! What ordinary clients send, as their libraries spell it. None may be refused.

use latchkey_cli::cases::{CaseRequest, Value};

use latchkey_testing::Key;

use super::front::Answer;
use super::requests::Attempt;
use super::text;

/// A client's request.
pub(crate) struct Client {
    name: &'static str,
    pub(crate) attempt: Attempt,
    /// The handler that must run; none where that differs between frameworks.
    handler: Option<&'static str>,
}

impl Client {
    /// What is wrong with an answer to it.
    pub(crate) fn failure(&self, server: &str, answer: &Answer) -> Option<String> {
        let is_right = match (answer, self.handler) {
            (Answer::Refused(_), _) => false,
            (_, Some(TRPC)) if !server.starts_with(TRPC) => true,
            (Answer::Ran { report, .. }, Some(handler)) => text(report, "handler") == Some(handler),
            // What a server makes of a request that it has no handler for is its affair; 503 comes from Envoy.
            (Answer::Other(status), handler) if handler != Some(TRPC) => {
                status.is_some_and(|status| status != 503)
            }
            (_, handler) => handler.is_none(),
        };
        (!is_right).then(|| {
            format!("{server}: {}:\n  {}\n  {}", self.name, self.attempt.text(), answer.text())
        })
    }
}

/// The handler that tRPC alone has, and of its server's name the beginning.
const TRPC: &str = "trpc";

type Headers = &'static [(&'static str, &'static str)];

const CURL: Headers = &[("user-agent", "curl/8.14.1"), ("accept", "*/*")];
const FETCH: Headers = &[
    ("accept", "*/*"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("origin", "https://app.example.com"),
    ("referer", "https://app.example.com/a?b=c"),
    ("cookie", "session=a.b-c; theme=\"dark\"; _ga=GA1.2.1.1"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "cross-site"),
    ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
    ("priority", "u=1, i"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
];
const AXIOS: Headers = &[
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, compress, deflate, br"),
    ("user-agent", "axios/1.12.2"),
    ("connection", "keep-alive"),
];
const REQUESTS: Headers = &[
    ("user-agent", "python-requests/2.32.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept", "*/*"),
    ("connection", "keep-alive"),
];
const GO: Headers = &[("user-agent", "Go-http-client/1.1"), ("accept-encoding", "gzip")];
// What java.net.http asks of every server without TLS.
const JAVA: Headers = &[
    ("connection", "Upgrade, HTTP2-Settings"),
    ("http2-settings", "AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA"),
    ("upgrade", "h2c"),
    ("user-agent", "Java-http-client/21.0.8"),
];
const OKHTTP: Headers =
    &[("connection", "Keep-Alive"), ("accept-encoding", "gzip"), ("user-agent", "okhttp/4.12.0")];
const TRACED: Headers = &[
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=b,c=d"),
    ("baggage", "user=a%20b,c=d"),
    ("x-request-id", "c0ffee"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678"),
    ("x-forwarded-for", "203.0.113.7, 10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "api.example.com"),
    ("x-forwarded-prefix", "/api"),
    ("forwarded", "for=203.0.113.7;proto=https"),
    ("via", "1.1 proxy"),
    ("x-real-ip", "203.0.113.7"),
    ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ("te", "trailers"),
];

/// Every request.
pub(crate) fn requests() -> Vec<Client> {
    let mut all = Vec::new();
    let mut add = |name,
                   key: Option<&str>,
                   headers: Headers,
                   method: &str,
                   path: &str,
                   body: Option<(&str, &str)>,
                   handler: Option<&'static str>| {
        let mut request = CaseRequest {
            method: method.to_owned(),
            path: Some(path.to_owned()),
            ..CaseRequest::default()
        };
        let mut header = |name: &str, value: &str| {
            request.headers.push((name.to_owned(), Value(value.as_bytes().to_vec())));
        };
        headers.iter().for_each(|(name, value)| header(name, value));
        if let Some(key) = key {
            header("authorization", &Key::new(key).bearer());
        }
        if let Some((kind, body)) = body {
            header("content-type", kind);
            request.body = Some(body.to_owned());
        }
        all.push(Client {
            name,
            attempt: Attempt { request: request.clone(), trailers: Vec::new() },
            handler,
        });
        let is_of_http1 = |(name, _): &(String, Value)| {
            matches!(name.as_str(), "connection" | "upgrade" | "http2-settings")
        };
        if !request.headers.iter().any(is_of_http1) {
            request.http2 = true;
            all.push(Client { name, attempt: Attempt { request, trailers: Vec::new() }, handler });
        }
    };

    for headers in [CURL, FETCH, AXIOS, REQUESTS, GO, JAVA, OKHTTP, TRACED] {
        add("reads", Some("reader"), headers, "GET", "/docs/5", None, Some("docs.get"));
        add("reads what is open", None, headers, "GET", "/health", None, Some("health"));
        add("deletes", Some("foreign"), headers, "DELETE", "/docs/5", None, Some("docs.delete"));
        add(
            "is an administrator",
            Some("admin"),
            headers,
            "GET",
            "/admin/users",
            None,
            Some("admin"),
        );
        let json = ("application/json", r#"{"title":"a & b; c=d"}"#);
        add(
            "posts JSON",
            Some("writer"),
            headers,
            "POST",
            "/docs",
            Some(json),
            Some("docs.create"),
        );
        add(
            "puts JSON",
            Some("writer"),
            headers,
            "PUT",
            "/docs/5",
            Some(json),
            Some("docs.update"),
        );
    }
    for id in [
        "a%20b",
        "caf%C3%A9",
        "2026-01-01T00:00:00Z",
        "user@example.com",
        "user%40example.com",
        "a+b",
        "a,b",
        "a~b",
        "(a)",
        "v1.2.3",
        "a.json",
        "550e8400-e29b-41d4-a716-446655440000",
        "%E6%97%A5%E6%9C%AC",
        "a:b",
        "$a",
        "a'b",
        "a!b",
        "a*b",
        "%7Ba%7D",
        "ABC",
        "a&b=c",
        "a=b",
        "%22a%22",
        "a|b",
        "_a",
        "-",
    ] {
        // A segment with braces is none to aiohttp, one with two dots none to Rails.
        let handler = (!id.contains("%7B") && id != "v1.2.3").then_some("docs.get");
        let path = format!("/docs/{id}");
        add("reads by an id", Some("reader"), CURL, "GET", &path, None, handler);
    }
    for query in [
        "q=a+b",
        "q=a%20b",
        "q=100%25",
        "q=a%26b",
        "q=c%2B%2B",
        "q=%E6%97%A5",
        "filter[name]=x",
        "filter%5Bname%5D=x",
        "page[size]=10&page[number]=2",
        "fields=a,b,c",
        "sort=-created",
        "since=2026-01-01T00:00:00%2B02:00",
        "since=2026-01-01T00:00:00Z",
        "q=",
        "q",
        "a=1&a=2",
        "a[]=1&a[]=2",
        "a%5B%5D=1&a%5B%5D=2",
        "a[0]=1&a[1]=2",
        "a[b][c]=1",
        "a.b=c",
        "utf8=%E2%9C%93",
        "url=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc",
        "url=https://example.com/a",
        "q=a;b",
        "q=%22a%20b%22",
        "_=1764154000",
        "cursor=eyJpZCI6MX0=",
        "cursor=eyJpZCI6MX0%3D",
        "q=name:%22a%22+AND+b",
        "where=%7B%22a%22%3A%7B%22%24gt%22%3A1%7D%7D",
        "",
        "lat=1.5&lon=-2.5",
    ] {
        // Tomcat refuses brackets that are not encoded, as java.net.URI does.
        let handler = (!query.contains('[')).then_some("docs.get");
        add("asks", Some("reader"), CURL, "GET", &format!("/docs/5?{query}"), None, handler);
    }
    for query in [
        "type%5B%5D=product",
        "type%5B%5D=product&type%5B%5D=product",
        "q=a+b&type%5B%5D=product",
        "type%5B%5D=product&q=a%26b",
        "type%5B%5D=product&filter%5Bname%5D=x&page=2",
        "type%5B%5D=product&q=c%2B%2B",
        "type%5B%5D=product&cursor=YQ%3D%3D",
    ] {
        add(
            "searches",
            Some("searcher"),
            REQUESTS,
            "GET",
            &format!("/search?{query}"),
            None,
            Some("search"),
        );
        add(
            "searches",
            Some("searcher"),
            GO,
            "GET",
            &format!("/search?{query}"),
            None,
            Some("search"),
        );
    }
    add(
        "searches with axios",
        Some("searcher"),
        AXIOS,
        "GET",
        "/search?type[]=product&q=a+b",
        None,
        None,
    );
    add("searches all", Some("admin"), CURL, "GET", "/search?hydrate=1&q=a", None, Some("search"));
    for (kind, body) in [
        ("application/json", r#"{"query":{"match":{"title":"a"}},"size":10}"#),
        (
            "application/json",
            r#"{"filters":[{"field":"a","operator":"in","values":["b","c"]}],"page":2}"#,
        ),
        ("application/x-www-form-urlencoded", "query=a+b&limit=10&expand%5B%5D=data.customer"),
        ("application/x-www-form-urlencoded", "To=%2B15558675310&From=%2B15017122661&Body=Hi"),
    ] {
        for path in ["/search?type%5B%5D=product", "/docs"] {
            let key = if path == "/docs" { "writer" } else { "searcher" };
            let handler = if path == "/docs" { "docs.create" } else { "search" };
            let body = Some((kind, body));
            add("posts a form or a search", Some(key), AXIOS, "POST", path, body, Some(handler));
        }
    }
    add(
        "searches by POST",
        Some("admin"),
        CURL,
        "POST",
        "/search",
        Some(("application/json", r#"{"q":"a"}"#)),
        Some("search"),
    );
    for (kind, body) in [
        ("application/json; charset=utf-8", "{}"),
        ("application/json;charset=UTF-8", "{}"),
        ("application/json; charset=\"utf-8\"", "{}"),
        ("application/vnd.api+json", "{}"),
        ("application/problem+json; profile=\"https://example.com/a\"", "{}"),
        ("text/plain;charset=UTF-8", "a"),
        ("application/x-www-form-urlencoded", "title=a+b&tags%5B%5D=x&tags%5B%5D=y"),
        ("application/x-www-form-urlencoded; charset=UTF-8", "title=a%26b"),
        ("application/x-www-form-urlencoded", "grant_type=client_credentials&metadata[order]=1"),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            "------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n",
        ),
        ("application/octet-stream", "bytes"),
        ("application/x-ndjson", "{}\n{}\n"),
        ("text/csv; header=present", "a,b\n"),
        ("application/xml", "<a/>"),
        ("image/png", "x"),
    ] {
        add(
            "posts",
            Some("writer"),
            CURL,
            "POST",
            "/docs",
            Some((kind, body)),
            Some("docs.create"),
        );
        add(
            "posts with a query",
            Some("writer"),
            FETCH,
            "POST",
            "/docs?dry_run=true&q=a+b",
            Some((kind, body)),
            Some("docs.create"),
        );
    }
    add("is of the organization", Some("writer"), CURL, "GET", "/orgs/acme/x", None, Some("orgs"));
    add("reads what is open", None, FETCH, "GET", "/public/app.js?v=1.2", None, Some("public.get"));
    add(
        "reads what is open with a key",
        Some("reader"),
        CURL,
        "GET",
        "/public/a/b.css",
        None,
        Some("public.get"),
    );
    add(
        "names a type",
        Some("searcher"),
        &[("x-type", "product")],
        "GET",
        "/typed",
        None,
        Some("typed"),
    );
    add(
        "has its key in a header",
        None,
        &[("x-api-key", "token_of_reader_0123456789")],
        "GET",
        "/docs/5",
        None,
        Some("docs.get"),
    );
    add(
        "has its key in the query",
        None,
        CURL,
        "GET",
        "/docs/5?page=2&api_key=token_of_reader_0123456789",
        None,
        Some("docs.get"),
    );
    add(
        "has its key in a cookie",
        None,
        &[("cookie", "a=b; api_key=token_of_reader_0123456789")],
        "GET",
        "/docs/5",
        None,
        Some("docs.get"),
    );
    add(
        "writes the scheme small",
        None,
        &[("authorization", "bearer token_of_reader_0123456789")],
        "GET",
        "/docs/5",
        None,
        Some("docs.get"),
    );
    for path in ["/trpc/post.list", "/trpc/post.list,post.list?batch=1&input=%7B%7D"] {
        add("calls procedures", Some("reader"), FETCH, "GET", path, None, Some(TRPC));
    }
    add("asks for the head", Some("reader"), CURL, "HEAD", "/docs/5", None, None);
    add(
        "overrides a method",
        Some("writer"),
        &[("x-http-method-override", "PUT")],
        "POST",
        "/docs/5",
        Some(("application/json", "{}")),
        None,
    );
    add(
        "waits for 100",
        Some("writer"),
        &[("expect", "100-continue")],
        "POST",
        "/docs",
        Some(("application/json", "{}")),
        Some("docs.create"),
    );
    add(
        "asks for a range",
        Some("reader"),
        &[
            ("range", "bytes=0-99"),
            ("if-none-match", "W/\"a\""),
            ("if-modified-since", "Thu, 26 Nov 2026 00:00:00 GMT"),
        ],
        "GET",
        "/docs/5",
        None,
        Some("docs.get"),
    );
    for connection in ["Upgrade", "keep-alive, Upgrade"] {
        let headers: Headers = if connection == "Upgrade" {
            &[
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
        } else {
            &[
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
        };
        add("opens a WebSocket", Some("reader"), headers, "GET", "/docs/5", None, None);
    }
    add(
        "is a browser's preflight",
        None,
        &[
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "authorization,content-type"),
        ],
        "OPTIONS",
        "/docs/5",
        None,
        None,
    );
    all
}
