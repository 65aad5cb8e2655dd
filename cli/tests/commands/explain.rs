//! `latchkey explain`.

use super::{Directory, TestCommand, repository};

const AT: &str = "2026-06-01T00:00:00Z";

/// Runs `explain` on one of the shipped systems.
#[track_caller]
fn explains(system: &str, arguments: &[&str], code: i32, expected: &str) {
    let directory = Directory::new();
    let policy = std::fs::read_to_string(repository(&format!("envoy/systems/{system}"))).unwrap();
    directory.write("policy.yaml", &policy);
    let arguments = [&["explain", "policy.yaml", "--now", AT], arguments].concat();
    TestCommand::new(&directory, "").arguments(&arguments).prints(code, expected, "");
}

#[test]
fn a_refusal_is_told_step_by_step_with_the_client_s_answer() {
    explains(
        "flokit.yaml",
        &[
            "-H",
            "Authorization: Bearer flk_ro_demo0000000000000000000000000000",
            "-d",
            "{}",
            "https://api.flokit.com/v1/events",
        ],
        2,
        "POST https://api.flokit.com/v1/events
at 2026-06-01T00:00:00Z

  ok    preflight   not a CORS preflight
  ok    path        goes on as it is
  ok    host        can be read in one way only
  ok    query       can be read in one way only
  ok    rule        none matches: the method's action on `*` is needed
  ok    session     none is verified
  ok    credential  one is presented
  ok    key         `demo-read-only`, policy.yaml:28:5, type `read-only`, account `ws_demo`
  ok    state       good
  ok    origin      the key is for any caller
  ok    address     the key is for any address
  ok    access      a good key with the scopes
  ok    conditions  none
  ok    method      `POST`
  deny  scopes      needs `*:create`; the key has `*:read`
  -     body

deny insufficient_scope key:demo-read-only

The client gets

  403
  content-type: application/json
  www-authenticate: Bearer realm=\"flokit\", error=\"insufficient_scope\", scope=\"*:create\"

  {\"error\":\"forbidden\",\"message\":\"This operation requires a read-write key\"}
",
    );
}

#[test]
fn a_key_is_asked_for_by_its_id() {
    let pasted = [
        "--key",
        "demo-read-only",
        "curl",
        "-H",
        "Authorization: Bearer ********",
        "-d",
        "{}",
        "https://api.flokit.com/v1/events",
    ];
    let directory = Directory::new();
    let policy = std::fs::read_to_string(repository("envoy/systems/flokit.yaml")).unwrap();
    directory.write("policy.yaml", &policy);
    let explain = |arguments: &[&str]| {
        let arguments = [&["explain", "policy.yaml", "--now", AT], arguments].concat();
        TestCommand::new(&directory, "").arguments(&arguments)
    };
    let text = explain(&pasted).everything();
    for part in [
        "at 2026-06-01T00:00:00Z\nas `demo-read-only`, with a token made up for it\n\n  ok    preflight",
        "  deny  scopes      needs `*:create`; the key has `*:read`\n",
        "\ndeny insufficient_scope key:demo-read-only\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("flk_ro_"), "{text}");
    let unknown = ["--key", "nobody", "https://api.flokit.com/v1/events"];
    explain(&unknown).prints_error(1, "error: the policy has no key `nobody`\n");
}

/// Of several places, that in which the rule takes a token.
#[test]
fn a_made_up_token_stands_where_the_policy_takes_one() {
    for source in [
        "{header: x-key}",
        "{header: authorization, scheme: Bearer}",
        "{cookie: k}",
        "{query: k}",
        "{basic: username}",
        "{basic: password}",
        "{websocket_protocol: key.}",
    ] {
        let directory = Directory::new();
        let keys = "keys: [{id: a, scopes: [read], hash: \"sha256:\
            0000000000000000000000000000000000000000000000000000000000000001\"}]";
        directory.write(
            "p.yaml",
            &format!("credentials: [{source}]\n{keys}\nforward_credential: true\n"),
        );
        let text = TestCommand::new(&directory, "explain p.yaml --key a https://a.example/x?y=1")
            .everything();
        assert!(text.contains("\nallow key:a\n") && text.contains("[hidden]"), "{source}: {text}");
    }
}

#[test]
fn a_request_that_passes_is_told_with_what_the_upstream_sees() {
    explains(
        "flotiq.yaml",
        &[
            "https://api.flotiq.com/api/v1/content/Product?auth_token=demoProductRead00000000000000000&page=2",
        ],
        0,
        "GET https://api.flotiq.com/api/v1/content/Product?auth_token=[hidden]&page=2
at 2026-06-01T00:00:00Z

  ok    preflight   not a CORS preflight
  ok    path        goes on changed, see below
  ok    host        can be read in one way only
  ok    query       can be read in one way only
  ok    rule        `content`, policy.yaml:106:5
  ok    session     none is verified
  ok    credential  one is presented
  ok    key         `product-read`, policy.yaml:38:5, type `user-defined`, account `acc_demo`
  ok    state       good
  ok    origin      the key is for any caller
  ok    address     the key is for any address
  ok    access      a good key with the scopes
  ok    conditions  none
  ok    method      `GET`
  ok    scopes      needs `Product:read`; the key has `Product:read`
  ok    body        not looked at

allow key:product-read

The upstream sees

  GET /api/v1/content/Product?page=2
  host: api.flotiq.com
  x-request-id: 11111111-2222-4333-8444-555555555555
  x-account-id: acc_demo
  x-key-id: product-read
",
    );
}

/// One policy in which a request can end at every step.
const POLICY: &str = "\
credentials: [{header: x-key}, {query: key, name: page}]
sessions: {payload: session, id: sub, account: org, scopes: scope}
key_types:
  off: {enabled: false}
  on: {scopes: ['a:read']}
where: {plan: pro}
keys:
- {id: good, type: on, account: x, attributes: {plan: pro}, hash: 'sha256:HASH1'}
- {id: free, type: on, attributes: {plan: free}, hash: 'sha256:HASH2'}
- {id: off, type: off, hash: 'sha256:HASH3'}
- {id: gone, disabled: true, hash: 'sha256:HASH4'}
- {id: over, expires_at: 2026-01-01T00:00:00Z, hash: 'sha256:HASH5'}
- {id: ahead, not_before: 2027-01-01T00:00:00Z, hash: 'sha256:HASH6'}
- {id: page, origins: ['https://a.org'], addresses: [203.0.113.0/24, '2001:db8::1'], hash: 'sha256:HASH7'}
rules:
- {name: open, paths: [/open/**], access: public}
- {name: shut, paths: [/shut], access: deny}
- {name: graph, paths: [/graph], graphql: {require: '{field}:{operation}'}}
- {name: any, paths: [/any], access: authenticated}
- {name: asked, hosts: ['*.example.com'], paths: [/asked], query: {q: ['1']}, access: deny}
- {name: maybe, paths: [/maybe], access: optional}
- {name: page, paths: [/page], credentials: [page]}
- {name: some, paths: ['/{x}/**'], require_any: ['{x}:{action}', 'z:{action}']}
";

/// The step at which each request ends, and the decision.
#[test]
fn a_request_ends_at_the_step_that_decides() {
    let directory = Directory::new();
    let mut policy = POLICY.to_owned();
    for (index, digest) in DIGESTS.iter().enumerate() {
        policy = policy.replace(&format!("HASH{}", index + 1), digest);
    }
    directory.write("policy.yaml", &policy);
    let key = |number: &str| format!("x-key: key-number-{number}");
    let graph = ["-d", r#"{"query": "{a b}"}"#, "-H", "content-type: application/json"];
    let broken = ["-d", r#"{"query": "{a"}"#, "-H", "content-type: application/json"];
    let preflight =
        ["-X", "OPTIONS", "-H", "origin: https://b", "-H", "access-control-request-method: GET"];
    let session = ["--claim", "sub=u1", "--claim", "org=o1", "--claim", "scope=a:read"];
    for (arguments, path, step, outcome) in [
        (&preflight[..], "/a", "allow preflight   a CORS preflight", "allow preflight"),
        (&[], "/a/../b", "deny  path        an upstream could", "deny malformed_path"),
        (
            &["-H", "host: a..b"],
            "/a",
            "deny  host        it is not a host, with or without a port",
            "deny malformed_host",
        ),
        (
            &[],
            "/asked?Q=1",
            "deny  query       an upstream could read a parameter that decides in another way",
            "deny ambiguous_query",
        ),
        (
            &[],
            "/open/x",
            "allow rule        `open`, policy.yaml:16:3: `access: public`",
            "allow public",
        ),
        (
            &["-X", "PURGE"],
            "/open/x",
            "deny  rule        `open`, policy.yaml:16:3: `PURGE` stands for no action, and the rule does",
            "deny method_not_allowed",
        ),
        (&[], "/a", "deny  credential  none is presented", "deny missing_credential"),
        (&["-H", "x-key;"], "/a", "deny  credential  none is presented", "deny missing_credential"),
        (
            &["-H", &key("1"), "-H", &key("2")],
            "/a",
            "deny  credential  more than one",
            "deny ambiguous_credential",
        ),
        (
            &["-H", &key("1"), "-H", "x_key: b"],
            "/a",
            "deny  credential  an upstream could read another",
            "deny ambiguous_credential",
        ),
        (
            &["-H", "x-key: a b"],
            "/a",
            "deny  credential  what is presented cannot be a token",
            "deny malformed_credential",
        ),
        (&["-H", &key("9")], "/a", "deny  key         no key has this token", "deny unknown_key"),
        (&["-H", &key("4")], "/a", "deny  state       it is disabled", "deny revoked_key key:gone"),
        (
            &["-H", &key("3")],
            "/a",
            "deny  state       its type is disabled",
            "deny key_type_disabled key:off",
        ),
        (
            &["-H", &key("5")],
            "/a",
            "deny  state       it expired at 2026-01-01T00:00:00Z",
            "deny expired_key key:over",
        ),
        (
            &["-H", &key("6")],
            "/a",
            "deny  state       it is not valid before 2027-01-01T00:00:00Z",
            "deny not_yet_valid key:ahead",
        ),
        (
            &["-H", &key("7")],
            "/a",
            "deny  origin      the key is for pages of `https://a.org` only",
            "deny origin_not_allowed key:page",
        ),
        (
            &["-H", &key("7"), "-H", "origin: https://a.org"],
            "/a",
            "deny  address     the key is for `203.0.113.0/24`, `2001:db8::1` only, and nobody tells the client's \
             (`--address`)",
            "deny address_not_allowed key:page",
        ),
        (
            &["-H", &key("7"), "-H", "origin: https://a.org", "--address", "203.0.114.1"],
            "/a",
            "deny  address     the key is for `203.0.113.0/24`, `2001:db8::1` only, and not for `203.0.114.1`",
            "deny address_not_allowed key:page",
        ),
        (
            &["-H", &key("7"), "-H", "origin: https://a.org", "--address", "2001:db8::1"],
            "/a",
            "ok    address     one of `203.0.113.0/24`, `2001:db8::1`",
            "deny condition_failed key:page",
        ),
        (
            &["-H", &key("1")],
            "/shut",
            "deny  access      the rule says `access: deny`",
            "deny denied_by_rule key:good",
        ),
        (
            &["-H", &key("2")],
            "/a",
            "deny  conditions  `plan` must be `pro`; the key has `free`",
            "deny condition_failed key:free",
        ),
        (
            &["-H", &key("1"), "-X", "TRACE"],
            "/a",
            "deny  method      `TRACE` stands for no action",
            "deny method_not_allowed key:good",
        ),
        (
            &["-H", &key("1"), "-H", "x-http-method-override: BREW"],
            "/a",
            "deny  method      `BREW`, for which a header asks in place of `GET`, stands for no action",
            "deny method_not_allowed key:good",
        ),
        (
            &["-H", &key("1"), "-X", "PUT"],
            "/graph",
            "deny  method      `PUT` does not carry GraphQL",
            "deny method_not_allowed key:good",
        ),
        (
            &["-H", &key("1")],
            "/b",
            "deny  scopes      needs one of `b:read`, `z:read`; the key has `a:read`",
            "deny insufficient_scope key:good",
        ),
        (
            &["-H", &key("1")],
            "/a",
            "ok    scopes      needs one of `a:read`, `z:read`; the key has `a:read`",
            "allow key:good",
        ),
        (&["-H", &key("1")], "/any", "ok    conditions  `plan` is `pro`", "allow key:good"),
        (&["-H", &key("1")], "/any", "ok    access      any good key", "allow key:good"),
        (
            &["-H", &key("1")],
            "/page",
            "deny  credential  none is presented in `page`, where alone one counts on this rule",
            "deny missing_credential",
        ),
        (&[], "/maybe", "allow credential  none is presented: `access: optional`", "allow public"),
        (
            &["-X", "BREW"],
            "/maybe",
            "deny  credential  none is presented, and `BREW` stands for no action",
            "deny method_not_allowed",
        ),
        (
            &["-H", &key("2")],
            "/maybe",
            "deny  conditions  `plan` must be `pro`; the key has `free`",
            "deny condition_failed key:free",
        ),
        (
            &[&["-H", &key("1")], &graph[..]].concat(),
            "/graph",
            "deny  scopes      needs `a:read`, `b:read`",
            "deny insufficient_scope key:good",
        ),
        (
            &[&["-H", &key("1")], &broken[..]].concat(),
            "/graph",
            "deny  body        it is not GraphQL",
            "deny malformed_graphql key:good",
        ),
    ] {
        let url = format!("https://api.example.com{path}");
        let arguments = [&["explain", "policy.yaml", "--now", AT, &url], arguments].concat();
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        let told = output.lines().any(|line| line.trim_start().starts_with(step));
        assert!(told, "{arguments:?}\n{output}");
        assert!(output.lines().any(|line| line == outcome), "{outcome}\n{output}");
        let code = if outcome.starts_with("allow") { 0 } else { 2 };
        assert_eq!(TestCommand::new(&directory, "").arguments(&arguments).code(), code);
    }
    let key = key("1");
    for (arguments, told) in [
        (&session[..], "ok    session     `u1`, account `o1`\n  -     credential\n"),
        (&session[..], "conditions  `plan` must be `pro`; the session has none"),
        (
            &session[..2],
            "ok    session     one is verified\n  deny  credential  the session has no `id`",
        ),
        (
            &[&session[..], &["-H", &key]].concat(),
            "ok    session     one is verified\n  deny  credential  a key, or more than one",
        ),
    ] {
        let arguments = [&["explain", "policy.yaml", "a.org/a"], arguments].concat();
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        assert!(output.contains(told), "{told}\n{output}");
    }
    directory.write("policy.yaml", &policy.replace("where: {plan: pro}\n", ""));
    let arguments = [&["explain", "policy.yaml", "a.org/b"], &session[..]].concat();
    let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
    let told = "needs one of `b:read`, `z:read`; the session has `a:read`\n";
    assert!(output.contains(told), "{output}");
}

#[test]
fn each_reading_is_told_with_its_rule() {
    let directory = Directory::new();
    let policy = "\
credentials: [{header: x-key}]
keys: [{id: some, scopes: ['users:*'], hash: 'sha256:HASH1'}]
rules:
- {name: me, paths: [/users/me], require: ['me:{action}']}
- {name: one, paths: ['/users/{id}'], require: ['users:{action}']}
";
    directory.write("policy.yaml", &policy.replace("HASH1", DIGESTS[0]));
    let explain = |path: &str| {
        let url = format!("a.org{path}");
        let arguments = ["explain", "policy.yaml", "-H", "x-key: key-number-1", &url];
        TestCommand::new(&directory, "").arguments(&arguments).everything()
    };
    let output = explain("/users/ME.json");
    let told = "
An upstream may read, and all of it must be allowed

  -     GET /users/ME.json: `one`, as it stands
  deny  GET /users/me: `me`, without the suffix

deny insufficient_scope key:some
";
    assert!(output.contains(told), "{output}");
    assert!(!explain("/users/x").contains("may read"));
}

#[test]
fn the_reading_that_is_refused_is_marked_among_all() {
    let directory = Directory::new();
    let policy = "\
credentials: [{header: x-key}]
keys: [{id: some, scopes: ['docs:*'], hash: 'sha256:HASH1'}]
rules:
- {name: wide, paths: [/docs], query: {depth: ['2']}, require: ['docs:{action}']}
- {name: deep, paths: [/docs], query: {depth: ['9']}, require: ['deep:{action}']}
- {name: flat, paths: [/docs], require: ['docs:{action}']}
";
    directory.write("policy.yaml", &policy.replace("HASH1", DIGESTS[0]));
    let body = ["-H", "content-type: application/x-www-form-urlencoded", "-d", "depth=9"];
    let mut arguments = vec!["explain", "policy.yaml", "-X", "POST", "-H", "x-key: key-number-1"];
    arguments.extend(["-H", "depth: 2"].into_iter().chain(body).chain(["a.org/docs"]));
    let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
    let told = "
  -     POST /docs: `flat`, as it stands
  -     POST /docs: `wide`, with headers' and cookies' parameters
  -     POST /docs: `wide`, with the body's parameters
  deny  POST /docs: `deep`, with the body's parameters

deny insufficient_scope key:some
";
    assert!(output.contains(told), "{output}");
}

#[test]
fn a_body_that_cannot_be_judged_is_told() {
    let directory = Directory::new();
    let policy = "\
credentials: [{header: x-key}]
keys: [{id: some, scopes: ['users:create'], hash: 'sha256:HASH1'}]
rules: [{paths: [/users], require: ['users:{action}']}]
";
    directory.write("policy.yaml", &policy.replace("HASH1", DIGESTS[0]));
    let asked = ["explain", "policy.yaml", "-H", "x-key: key-number-1", "-d", "a=1", "a.org/users"];
    TestCommand::new(&directory, "").arguments(&asked).output();
    let packed = [&asked[..], &["-H", "content-encoding: gzip"]].concat();
    let output = TestCommand::new(&directory, "").arguments(&packed).everything();
    let told = "
  deny  body        an upstream could read parameters in it, and it cannot be judged, or it is too large

deny ambiguous_body key:some
";
    assert!(output.contains(told), "{output}");
}

/// SHA-256 of `key-number-1` and so on.
const DIGESTS: [&str; 7] = [
    "f3ade5654386b5cd621086017053ce3236bc07c45bfb6c07bb9acf531b6e0a35",
    "7578a1e150ace700e24492e3c7c615217b0e01c7bc0314fb887a5e1662f63592",
    "c8bdb41325c6ead5b6ab153dec488e187461b972545ad05d036a4fc305798f42",
    "8393041da9f2ba8555c8fd1e6ebaf71e64f52eae1588152b2ec9ac5244a8ca9e",
    "bdaf90b0cc605e8d9cdf1e8c8cc3c627a0ecbb020eba43a37766dbacdd8ab58a",
    "131be8ab03cb3795aa589af0fb432773b63ba36d6c7399eb95fe8790783b76c7",
    "a6c26d3a2f76210c2933838a0d15d1b114d319ed525759cac39058b952929c62",
];

#[test]
fn headers_may_come_from_a_file() {
    let directory = super::directory();
    directory.write("headers", "authorization: Bearer demo-token\n\nx-a: b\n");
    let arguments = ["explain", "policy.yaml", "--keys", "keys.yaml", "-H", "@headers", "a.org"];
    let output = TestCommand::new(&directory, "").arguments(&arguments).output();
    assert!(output.contains("allow key:a\n"), "{output}");
    assert!(output.contains("  x-a: b\n"), "{output}");
}

#[test]
fn a_command_of_curl_is_taken_as_it_was_copied() {
    let directory = super::directory();
    directory.write("body", "text");
    let explain = ["explain", "policy.yaml", "--keys", "keys.yaml"];
    for (pasted, request) in [
        (
            "curl -sS --proto =https --tlsv1.2 --oauth2-bearer demo-token https://a.org/x",
            "GET https://a.org/x\n",
        ),
        (
            "$ /usr/bin/curl -n --oauth2-bearer demo-token -r 0-99 -I a.org/curl",
            "HEAD a.org/curl\n",
        ),
        ("curl --oauth2-bearer demo-token a.org/curl", "GET a.org/curl\n"),
    ] {
        let arguments: Vec<&str> = explain.into_iter().chain(pasted.split(' ')).collect();
        let output = TestCommand::new(&directory, "").arguments(&arguments).output();
        assert!(output.starts_with(request), "{output}");
        assert!(output.contains("allow key:a\n"), "{output}");
        assert!(!output.contains("demo-token"), "{output}");
    }
    let whole = [&explain[..], &["curl -X POST https://a.org/x"]].concat();
    TestCommand::new(&directory, "").arguments(&whole).prints(
        1,
        "",
        "error: a URL has no spaces: a whole command in quotes stands behind `--curl`\n",
    );
    let text = "curl 'https://a.org/x' \\\n  -X 'PUT' \\\n  -H 'authorization: Bearer demo-token' \\\n  \
                --data-raw $'{\"a\":\"it\\'s\\u0021\\n\"}'";
    let bare = text.strip_prefix("curl ").unwrap();
    let words =
        ["-X", "PUT", "-H", "authorization: Bearer demo-token", "-d", "{}", "https://a.org/x"];
    let as_key = "curl -X PUT https://a.org/x";
    for arguments in [
        &["--curl", text][..],
        &["--curl", bare],
        &["--curl=-X PUT --oauth2-bearer demo-token https://a.org/x"],
        &[&["--curl", "curl"], &words[..]].concat(),
        &[&["--curl"], &words[..]].concat(),
        &["--key", "a", "--curl", as_key],
        &["--curl", as_key, "--key", "a"],
    ] {
        let arguments = [&explain[..], arguments].concat();
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        assert!(output.starts_with("PUT https://a.org/x\n"), "{output}");
        assert!(output.contains("deny insufficient_scope key:a\n"), "{output}");
        assert!(!output.contains("demo-token"), "{output}");
    }
    for (text, message) in [
        ("curl -H 'authorization: Bearer secret", "`--curl`: a quote in the command is not closed"),
        ("curl -X PUT", "there is no URL"),
        ("curl a.org b.org", "there is more than one URL: one request is explained"),
    ] {
        let arguments = [&explain[..], &["--curl", text]].concat();
        let error = format!("error: {message}\n");
        TestCommand::new(&directory, "").arguments(&arguments).prints(1, "", &error);
    }
    for (text, message) in
        [(None, "a value is required for '--curl <COMMAND>'"), (Some(""), "<URL>")]
    {
        let arguments = explain.into_iter().chain(["--curl"]).chain(text).collect::<Vec<_>>();
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        assert!(output.contains(message), "{output}");
    }
    let upload = [&explain[..], &["-T", "body", "https://a.org/x"]].concat();
    let output = TestCommand::new(&directory, "").arguments(&upload).everything();
    assert!(output.contains("PUT https://a.org/x\n"), "{output}");
}

#[test]
fn no_part_of_a_request_shows_its_token() {
    let directory = super::directory();
    let policy = "credentials: [{basic: username}, {websocket_protocol: k.}]\nkeys: []\n";
    directory.write("policy.yaml", policy);
    // `secret-token:other-secret`
    let basic = "authorization: Basic c2VjcmV0LXRva2VuOm90aGVyLXNlY3JldA==";
    for header in [basic, "sec-websocket-protocol: a, k.secret-token"] {
        let url = "https://a.org/secret-token?x=other-secret&y=secret-token";
        let arguments = ["explain", "policy.yaml", "-H", header, url];
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        assert!(output.contains("deny unknown_key"), "{output}");
        assert!(!output.contains("secret-token") && !output.contains("c2Vj"), "{output}");
    }
}

#[test]
fn a_policy_with_errors_is_a_failure() {
    TestCommand::new(&super::directory(), "explain broken.yaml a.org").prints(
        1,
        "",
        &format!("{}error: `broken.yaml` is refused, so no proxy serves it\n", super::BROKEN),
    );
}
