//! `latchkey rules`: what it makes of small documents, and of real ones.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use latchkey::{Body, Engine, Environment, Request};
use serde_json::{Value, json};

mod support;
use support::{Directory, TestCommand, repository};

const SHOP: &str = "openapi: 3.1.0
info: {title: Shop, version: '1'}
servers:
  - url: https://{region}.shop.example:8443/{version}/
    variables: {region: {default: EU}, version: {default: v1, enum: [v1, v2]}}
security: [{oauth: ['orders:read']}, {oauth: ['orders:admin']}]
paths:
  /users/{id}:
    get: {operationId: getUser, security: [{key: []}]}
    delete: {operationId: deleteUser, security: [{oauth: ['users:admin', 'users:delete']}]}
  /users/me:
    get: {operationId: getMe, security: [{oauth: ['me:read']}]}
  /orders:
    get: {operationId: listOrders}
    post: {operationId: createOrder, security: [{oauth: ['orders:create']}]}
  /orders/{id}/items/{item}:
    $ref: '#/components/pathItems/item'
  /status:
    get: {security: []}
  /internal:
    servers: [{url: /internal}]
    get: {operationId: internal, security: [{key: []}]}
components:
  pathItems:
    item:
      get: {operationId: getItem}
      put: {operationId: \"put:item\", security: [{oauth: ['orders:create']}]}
";

const SHOP_RULES: &str = "\
# `latchkey rules --from shop.yaml`: 9 operations in 8 rules.
rules:
  - name: deleteUser
    hosts: [eu.shop.example]
    methods: [DELETE]
    paths: [\"/v1/users/{id}\"]
    require: [\"users:admin\", \"users:delete\"]
  - name: getMe
    hosts: [eu.shop.example]
    methods: [GET, HEAD]
    paths: [/v1/users/me]
    require: [\"me:read\"]
  - name: getUser
    hosts: [eu.shop.example]
    methods: [GET, HEAD]
    paths: [\"/v1/users/{id}\"]
  - name: \"GET orders:admin orders:read\"
    hosts: [eu.shop.example]
    methods: [GET, HEAD]
    paths:
      - /v1/orders  # listOrders
      - /v1/orders/{id}/items/{item}  # getItem
    require_any: [\"orders:admin\", \"orders:read\"]
  - name: createOrder
    hosts: [eu.shop.example]
    methods: [POST]
    paths: [/v1/orders]
    require: [\"orders:create\"]
  - name: \"put:item\"
    hosts: [eu.shop.example]
    methods: [PUT]
    paths: [\"/v1/orders/{id}/items/{item}\"]
    require: [\"orders:create\"]
  - name: GET /status
    hosts: [eu.shop.example]
    methods: [GET, HEAD]
    paths: [/v1/status]
    access: public
  - name: internal
    methods: [GET, HEAD]
    paths: [/internal/internal]
";

#[test]
fn operations_become_rules_of_which_the_first_that_matches_is_right() {
    let directory = Directory::new();
    directory.write("shop.yaml", SHOP);
    TestCommand::new(&directory, "rules --from shop.yaml").prints(0, SHOP_RULES, "");
}

#[test]
fn the_documentation_shows_what_its_example_becomes() {
    let text = include_str!("../../docs/command-line.md");
    let section = text.split_once("## Rules from OpenAPI").unwrap().1;
    let mut blocks = section.split("```yaml\n").skip(1).map(|own| own.split_once("```").unwrap().0);
    let directory = Directory::new();
    directory.write("a.yaml", &format!("openapi: 3.1.0\n{}", blocks.next().unwrap()));
    let own = TestCommand::new(&directory, "rules --from a.yaml").output();
    assert_eq!(own.split_once('\n').unwrap().1, blocks.next().unwrap());
}

/// The rules of a document with these paths.
fn rules_of(paths: &str, arguments: &str) -> String {
    let directory = Directory::new();
    directory.write("a.yaml", &format!("openapi: 3.0.3\npaths:\n{paths}"));
    let text = TestCommand::new(&directory, &format!("rules --from a.yaml{arguments}")).output();
    let rules = text.split_once("rules:\n").unwrap().1;
    rules.lines().map(|line| line.trim().trim_start_matches("- ")).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_an_operation_asks_for_is_what_its_rule_does() {
    let operation =
        |security: &str| format!("  /a: {{get: {{tags: [Code scanning], security: {security}}}}}");
    let rule = "name: GET /a; methods: [GET, HEAD]; paths: [/a]";
    for (security, arguments, rest) in [
        ("[]", "", "; access: public"),
        ("[{}]", "", "; access: public"),
        ("[{k: []}, {}]", "", "; access: optional"),
        ("[{}, {o: [a:b]}]", "", "; access: optional; require: [\"a:b\"]"),
        ("[{k: []}]", "", ""),
        ("[{k: []}]", " --require tag", "; require: [\"code-scanning:{action}\"]"),
        ("[{k: []}]", " --require nothing", "; access: authenticated"),
        ("[{o: [read]}]", "", "; require: [read]"),
        ("[{o: [b:c, a:b]}]", "", "; require: [\"a:b\", \"b:c\"]"),
        ("[{o: [b:c, a:b]}]", " --any-scope", "; require_any: [\"a:b\", \"b:c\"]"),
        ("[{o: [a:b]}, {o: [a:b, b:c]}]", "", "; require: [\"a:b\"]"),
        ("[{o: [a:b], p: [b:c]}]", "", "; require: [\"a:b\", \"b:c\"]"),
        ("[{k: []}, {o: [a:b]}]", "", ""),
        ("[{k: []}, {o: [a:b]}]", " --scheme o", "; require: [\"a:b\"]"),
        ("[{k: []}]", " --scheme o", "; access: deny"),
        // What else it asks for is not a key's to have.
        ("[{k: [], app: []}]", " --scheme k", ""),
        ("[{k: [], o: [a:b]}]", " --scheme k", ""),
        ("[{o: [a:b], mtls: [c:d]}]", " --scheme o", "; require: [\"a:b\"]"),
        ("[{o: [a:b], mtls: []}, {mtls: []}]", " --scheme o", "; require: [\"a:b\"]"),
        ("[{o: ['https://x/a']}]", " --scope https://x/a=a:b", "; require: [\"a:b\"]"),
    ] {
        let own = rules_of(&operation(security), arguments);
        assert_eq!(own, format!("{rule}{rest}"), "{security}{arguments}");
    }
    let unsaid = "  /a: {get: {}}";
    assert_eq!(rules_of(unsaid, ""), rule);
    assert_eq!(rules_of(unsaid, " --unsaid public"), format!("{rule}; access: public"));
    // These stand for no action, so a rule says what they need.
    let rare = "  /a: {query: {}, additionalOperations: {PURGE: {}}}";
    let own = "name: QUERY /a; methods: [QUERY]; paths: [/a]; require: [\"*:read\"]; \
               name: PURGE /a; methods: [PURGE]; paths: [/a]; require: [\"*:*\"]";
    assert_eq!(rules_of(rare, ""), own);
}

#[test]
fn paths_are_those_of_rules() {
    for (paths, expected) in [
        ("  /: {get: {}}", "paths: [/]"),
        ("  /a/: {get: {}}", "paths: [/a]"),
        ("  /a/{x}/b: {get: {}}", "paths: [\"/a/{x}/b\"]"),
        ("  /a/{x}.json: {get: {}}", "paths: [\"/a/{x}.json\"]"),
        ("  /a/{enterprise-team}:go: {get: {}}", "paths: [\"/a/{enterprise-team}:go\"]"),
        ("  /a/{action}: {get: {}}", "paths: [\"/a/*\"]"),
        ("  /a/{x}/{x}: {get: {}}", "paths: [\"/a/{x}/*\"]"),
        ("  /a/{proxy+}: {get: {}}", "paths: [\"/a/{proxy...}\"]"),
        ("  /a*: {get: {}}", "paths: [\"/a%2A\"]"),
    ] {
        let own = rules_of(paths, "");
        assert!(own.ends_with(&format!("; {expected}")), "{paths}: {own}");
    }
}

#[test]
fn where_the_api_is_served_can_be_said() {
    let directory = Directory::new();
    let text = "openapi: 3.0.0\nservers: [{url: 'https://{tenant}.example.com'}]\npaths: {/a: {get: {}}}\n";
    directory.write("a.yaml", text);
    TestCommand::new(&directory, "rules --from a.yaml").prints_error(
        1,
        "error: a.yaml:2:12: `https://{tenant}.example.com` has a variable without a default: say with \
         --server where the API is served\n",
    );
    let own = TestCommand::new(
        &directory,
        "rules --from a.yaml --server https://A.example/x --server /x",
    );
    assert!(own.output().ends_with("methods: [GET, HEAD]\n    paths: [/x/a]\n"));
    let own = TestCommand::new(&directory, "rules --from a.yaml --server https://A.example/x");
    assert!(own.output().contains("    hosts: [a.example]\n"));
}

#[test]
fn references_are_followed_into_other_files() {
    let directory = Directory::new();
    directory
        .write("paths.yaml", "users:\n  get: {operationId: users}\n  put: {operationId: other}\n");
    let root =
        "openapi: 3.0.0\npaths:\n  /users: {$ref: 'paths.yaml#/users', put: {operationId: own}}\n";
    directory.write("a.yaml", root);
    let text = TestCommand::new(&directory, "rules --from a.yaml").output();
    assert!(text.contains("/users  # own, users") && !text.contains("other"), "{text}");
    for (reference, error) in [
        ("paths.yaml#/nobody", "`$ref` leads nowhere: `paths.yaml#/nobody`"),
        ("#/paths/~1users", "`$ref` leads in a circle"),
        (
            "https://example.com/a.yaml",
            "`$ref` names a URL, which is not fetched: bundle the document first",
        ),
    ] {
        let text = format!("openapi: 3.0.0\npaths:\n  /users:\n    $ref: '{reference}'\n");
        directory.write("b.yaml", &text);
        let error = format!("error: b.yaml:3:3: {error}\n");
        TestCommand::new(&directory, "rules --from b.yaml").prints_error(1, &error);
    }
}

#[test]
fn what_is_not_such_a_document_is_told_with_its_place() {
    for (text, error) in [
        ("swagger: '2.0'\n", "a.yaml:1:1: this is Swagger 2.0: convert it to OpenAPI 3"),
        ("paths: {}\n", "a.yaml:1:1: this is not an OpenAPI document: there is no field `openapi`"),
        (
            "openapi: 4.0.0\n",
            "a.yaml:1:1: only OpenAPI 3.0, 3.1 and 3.2 are known here, such as `3.1.0`",
        ),
        ("openapi: 3.0.0\npaths: []\n", "a.yaml:2:1: `paths` must be an object"),
        ("openapi: 3.0.0\npaths: {a: {}}\n", "a.yaml:2:9: the path `a` must begin with `/`"),
        (
            "openapi: 3.0.0\npaths: {/a: {get: {security: {}}}}\n",
            "a.yaml:2:20: `security` must be a list",
        ),
        (
            "openapi: 3.0.0\npaths: {/a: {get: {security: [{o: [1]}]}}}\n",
            "a.yaml:2:36: a scope must be a text",
        ),
    ] {
        let directory = Directory::new();
        directory.write("a.yaml", text);
        TestCommand::new(&directory, "rules --from a.yaml")
            .prints_error(1, &format!("error: {error}\n"));
    }
}

#[test]
fn what_no_rule_can_say_is_told_and_nothing_is_printed() {
    let directory = Directory::new();
    let text = "openapi: 3.0.0
paths:
  /a#b: {get: {}}
  /b: {get: {security: [{o: ['https://x/b']}]}}
  /c/{x}: {get: {operationId: first, security: [{o: [a:b]}]}}
  /c/{y}: {get: {security: []}}
  /d/{x}...{y}: {get: {security: [{o: [a:b, b:c]}, {o: [c:d]}]}}
";
    directory.write("a.yaml", text);
    TestCommand::new(&directory, "rules --from a.yaml").prints_error(
        3,
        "a.yaml:3:10: error[invalid_path]: no rule can have the path of `GET /a#b`: a path has no query and no \
         fragment (at /paths/~1a#b/get)
a.yaml:4:8: error[invalid_scope]: `GET /b` asks for the scope `https://x/b`: a scope holds `*` or characters of \
         `A-Za-z0-9_.-` on each side of its colon (at /paths/~1b/get)
  help: say what it is called in the policy: --scope 'FROM=resource:action'
a.yaml:6:12: error[ambiguous_path]: `GET /c/{y}` matches the same requests as `first`, and asks for something else \
         (at /paths/~1c~1{y}/get)
a.yaml:7:18: warning[several_alternatives]: `GET /d/{x}...{y}` has alternatives of several scopes, which no rule can \
         say: all of them are asked for (at /paths/~1d~1{x}...{y}/get)
a.yaml:7:18: warning[whole_segment]: `{x}...{y}` of `GET /d/{x}...{y}` is taken as any segment, `*` \
         (at /paths/~1d~1{x}...{y}/get)
  help: a segment of a rule has one parameter
3 errors, 2 warnings
",
    );
}

#[test]
fn a_host_a_method_or_scopes_that_no_rule_can_have_are_told_and_nothing_is_printed() {
    let directory = Directory::new();
    let scopes: Vec<String> = (0..300).map(|number| format!("a:s{number}")).collect();
    let text = format!(
        "openapi: 3.2.0
paths:
  /a: {{servers: [{{url: 'https://h.example.'}}], get: {{}}}}
  /b: {{get: {{servers: [{{url: 'https://a..b/x'}}, {{url: /y}}]}}}}
  /c: {{get: {{servers: [{{url: 'https://[a]/x'}}]}}}}
  /d: {{additionalOperations: {{copy: {{}}, 'A B': {{}}, LINK: {{}}}}}}
  /e: {{get: {{security: [{{o: [{scopes}]}}]}}, put: {{}}}}
",
        scopes = scopes.join(", ")
    );
    directory.write("a.yaml", &text);
    let found = "\
a.yaml:3:48: error[invalid_host]: no rule can say what `GET /a` does: `h.example.` is not a host (at /paths/~1a/get)
  help: say with --server where the API is served
a.yaml:4:8: error[invalid_host]: no rule can say what `GET /b` does: `a..b` is not a host (at /paths/~1b/get)
  help: say with --server where the API is served
a.yaml:5:8: error[invalid_host]: no rule can say what `GET /c` does: `[a]` is not a host (at /paths/~1c/get)
  help: say with --server where the API is served
a.yaml:6:31: error[invalid_method]: no rule can say what `copy /d` does: as written, `copy` matches no request (at /paths/~1d/additionalOperations/copy)
a.yaml:6:41: error[invalid_method]: no rule can say what `A B /d` does: `A B` is not an HTTP method (at /paths/~1d/additionalOperations/A B)
a.yaml:7:8: error[too_large]: no rule can say what `GET /e` does: more than 256 scopes (at /paths/~1e/get)
6 errors, 0 warnings
";
    TestCommand::new(&directory, "rules --from a.yaml").prints_error(3, found);
    let found = TestCommand::new(&directory, "rules --from a.yaml --server /v1").error();
    assert!(found.ends_with("\n3 errors, 0 warnings\n") && !found.contains("host"), "{found}");

    // Each can be said, and not all of them.
    let long = "x".repeat(5 * 1024 * 1024);
    directory.write(
        "a.yaml",
        &format!("openapi: 3.0.0\npaths: {{/a: {{get: {{operationId: {long}}}}}}}\n"),
    );
    let found = TestCommand::new(&directory, "rules --from a.yaml").complaint(3);
    assert!(found.contains("error[too_large]: no rule can say what `GET /a` does: the policy besides its keys is larger than 4194304 bytes (at /paths/~1a/get)"), "{found}");
    let names = |range: std::ops::Range<usize>| {
        let name = |number: usize| {
            let id = "x".repeat(1024 * 1024);
            format!(
                "  /{number}: {{get: {{operationId: {id}{number}, security: [{{o: ['a:s{number}']}}]}}}}\n"
            )
        };
        range.map(name).collect::<String>()
    };
    directory.write("a.yaml", &format!("openapi: 3.0.0\npaths:\n{}", names(0..5)));
    TestCommand::new(&directory, "rules --from a.yaml").prints_error(
        3,
        "a.yaml:1:1: error[too_large]: no policy takes these rules: the policy besides its keys is larger than 4194304 bytes\n1 error, 0 warnings\n",
    );
}

#[test]
fn a_problem_is_told_once_at_however_many_places() {
    let directory = Directory::new();
    let text = "openapi: 3.0.0
servers: [{url: 'https://a.org/v1'}, {url: 'https://b.org/v2'}]
security: [{key: []}]
paths:
  /a/{x}...{y}: {get: {}}
  /b/{x}: {get: {}}
  /b/{y}: {get: {security: []}}
";
    directory.write("a.yaml", text);
    let found = "\
a.yaml:5:18: warning[whole_segment]: `{x}...{y}` of `GET /a/{x}...{y}` is taken as any segment, `*` (at /paths/~1a~1{x}...{y}/get)
  help: a segment of a rule has one parameter
a.yaml:7:12: error[ambiguous_path]: `GET /b/{y}` matches the same requests as `GET /b/{x}`, and asks for something else (at /paths/~1b~1{y}/get)
1 error, 1 warning
";
    TestCommand::new(&directory, "rules --from a.yaml").prints_error(3, found);
}

/// Whatever an `operationId` holds, the policy takes the rule.
#[test]
fn a_name_is_one_line() {
    let directory = Directory::new();
    let text = r#"openapi: 3.0.0
security: [{key: ["a:b"]}]
paths:
  /a: {get: {operationId: "  x "}}
  /b: {post: {operationId: "x\r\n\ty\u2028z"}}
  /c: {put: {operationId: ""}}
  /d: {delete: {operationId: " \n"}}
  /e: {delete: {operationId: ""}}
"#;
    directory.write("a.yaml", text);
    let rules = TestCommand::new(&directory, "rules --from a.yaml").output();
    let names: Vec<&str> =
        rules.lines().filter_map(|line| line.trim_start().strip_prefix("- name: ")).collect();
    assert_eq!(names, ["x", "x   y z", "PUT /c", "\"DELETE a:b\""], "{rules}");
    assert!(rules.contains("      - /d  # DELETE /d\n      - /e  # DELETE /e\n"), "{rules}");
    let policy = format!("credentials: [{{header: x-key}}]\nkeys: []\n{rules}");
    directory.write("policy.yaml", &policy);
    TestCommand::new(&directory, "check policy.yaml").output();
}

#[test]
fn drift_is_what_a_policy_and_a_document_do_not_have_in_common() {
    let directory = Directory::new();
    directory.write("shop.yaml", SHOP);
    directory
        .write("policy.yaml", &format!("credentials: [{{header: x-key}}]\nkeys: []\n{SHOP_RULES}"));
    let against = "rules --from shop.yaml --against policy.yaml";
    TestCommand::new(&directory, against).prints(0, "0 errors, 0 warnings\n", "");

    let against = "rules --from shop.yaml --against policy.yaml --skip-access";
    let policy = "credentials: [{header: x-key}]
keys: []
rules:
  - {paths: [/v1/users/me, /v1/users/*, /v1/old/**], methods: [GET, HEAD, DELETE, PATCH]}
  - {paths: [/v1/gone], access: deny}
  - {paths: [/v1/orders/**], where: {plan: pro}, hosts: ['*.shop.example']}
  - {paths: [/v1/status], query: {full: ['*']}}
  - {paths: [/internal/internal], hosts: [other.example]}
  - {}
";
    directory.write("policy.yaml", policy);
    let found = "\
policy.yaml:4:41: error[path_without_operation]: no operation of `shop.yaml` is one of `/v1/old/**` (at /rules/0/paths/2)
  help: take it out of the rule, or document it
policy.yaml:4:83: error[method_without_operation]: no operation of `shop.yaml` is a `PATCH` of this rule's paths (at /rules/0/methods/3)
  help: take it out of the rule, or document it
2 errors, 0 warnings
";
    TestCommand::new(&directory, against).prints(3, found, "");

    directory.write("policy.yaml", &policy.replace("/v1/users/*, ", ""));
    let json: Value =
        serde_json::from_slice(&run(&directory, &format!("{against} --format json"), 3)).unwrap();
    let told: Vec<String> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|own| format!("{}:{} {}", own["file"].as_str().unwrap(), own["line"], own["message"]))
        .collect();
    assert_eq!(
        told,
        [
            "shop.yaml:9 \"no rule names `GET /users/{id}`\"",
            "shop.yaml:10 \"no rule names `DELETE /users/{id}`\"",
            "policy.yaml:4 \"no operation of `shop.yaml` is one of `/v1/old/**`\"",
            "policy.yaml:4 \"no operation of `shop.yaml` is a `DELETE` of this rule's paths\"",
            "policy.yaml:4 \"no operation of `shop.yaml` is a `PATCH` of this rule's paths\"",
        ]
    );
}

/// As the filter reads the policy: its conditions are looked past, and scopes count by what they grant.
#[test]
fn drift_is_also_who_may_call_an_operation() {
    let directory = Directory::new();
    directory.write(
        "a.yaml",
        "openapi: 3.1.0
servers: [{url: https://api.example.com/v1}]
security: [{oauth: ['orders:read']}]
paths:
  /orders: {get: {}, post: {security: [{oauth: ['orders:read', 'orders:write']}]}}
  /keyed: {get: {security: [{key: []}]}}
  /status: {get: {security: []}}
  /free: {get: {security: [{}, {oauth: ['orders:read']}]}}
  /either: {get: {security: [{oauth: ['a:read']}, {oauth: ['b:read']}]}}
",
    );
    let right = "\
key_types: {live: {prefix: live_}}
credentials: [{header: x-key}, {query: key}]
keys: [{id: own, hash: 'sha256:1111111111111111111111111111111111111111111111111111111111111111', type: live}]
where: {plan: [pro]}
rules:
- {paths: ['/**'], query: {full: ['*']}, access: public}
- {paths: [/v1/orders], methods: [GET], require: ['orders:read'], where: {account: acme}}
- {paths: [/v1/orders], methods: [POST], require: ['orders:read', 'orders:write']}
- {paths: [/v1/keyed], require: ['keyed:special']}
- {paths: [/v1/status], access: public}
- {paths: [/v1/free], access: optional, require: ['orders:read']}
- {paths: [/v1/either], require_any: ['a:read', 'b:read']}
";
    let against = "rules --from a.yaml --against policy.yaml";
    directory.write("policy.yaml", right);
    TestCommand::new(&directory, against).prints(0, "0 errors, 0 warnings\n", "");

    for (from, to, place, message) in [
        (
            "[GET], require: ['orders:read']",
            "[GET], require: ['orders:list']",
            "5:13: error[other_access]: a key with `orders:read` may call `GET /orders` by the document, and not by the \
             policy, which asks for `orders:list` (at /paths/~1orders/get)",
        ),
        (
            "[POST], require: ['orders:read', 'orders:write']",
            "[POST], require: ['orders:write']",
            "5:22: error[other_access]: a key without `orders:read` may not call `POST /orders` by the document, and may \
             by the policy (at /paths/~1orders/post)",
        ),
        (
            "require: ['keyed:special']",
            "access: public",
            "6:12: error[other_access]: `GET /keyed` needs a key by the document, and none by the policy \
             (at /paths/~1keyed/get)",
        ),
        (
            "/v1/status], access: public",
            "/v1/status], access: authenticated",
            "7:13: error[other_access]: `GET /status` needs no key by the document, and one by the policy \
             (at /paths/~1status/get)",
        ),
        (
            "access: optional, require: ['orders:read']",
            "require: ['orders:read']",
            "8:11: error[other_access]: `GET /free` needs no key by the document, and one by the policy \
             (at /paths/~1free/get)",
        ),
        (
            "require_any: ['a:read', 'b:read']",
            "require: ['a:read', 'b:read']",
            "9:13: error[other_access]: a key with `a:read` may call `GET /either` by the document, and not by the policy, \
             which asks for `a:read`, `b:read` (at /paths/~1either/get)",
        ),
    ]
    .map(|(from, to, text)| {
        let (place, message) = text.split_once(": ").unwrap();
        (from, to, place, message)
    }) {
        assert!(right.contains(from), "{from}");
        directory.write("policy.yaml", &right.replace(from, to));
        let told = format!("a.yaml:{place}: {message}\n1 error, 0 warnings\n");
        TestCommand::new(&directory, against).prints(3, &told, "");
    }
}

#[test]
fn what_takes_no_key_is_nobodys_by_the_policy_either() {
    let directory = Directory::new();
    let text = "openapi: 3.0.0
paths:
  /a: {get: {security: [{oauth: ['a:read']}]}}
  /b: {get: {security: [{mtls: []}]}}
";
    directory.write("a.yaml", text);
    let policy = |access: &str| {
        let own = "{paths: [/a], methods: [GET], require: ['a:read']}";
        let rules = format!("rules: [{own}, {{paths: [/b], methods: [GET], {access}}}]\n");
        format!("credentials: [{{header: x-key}}]\nkeys: []\n{rules}")
    };
    let against = "rules --from a.yaml --against policy.yaml --scheme oauth";
    directory.write("policy.yaml", &policy("access: deny"));
    TestCommand::new(&directory, against).prints(0, "0 errors, 0 warnings\n", "");
    for (access, told) in [
        ("access: public", "and by the policy anybody may call it"),
        ("access: authenticated", "and one by the policy"),
        ("require: ['b:read']", "and one by the policy"),
    ] {
        directory.write("policy.yaml", &policy(access));
        let told = format!(
            "a.yaml:4:8: error[other_access]: `GET /b` takes no key by the document, {told} (at /paths/~1b/get)\n\
             1 error, 0 warnings\n"
        );
        TestCommand::new(&directory, against).prints(3, &told, "");
    }
    directory.write("policy.yaml", &policy("access: deny"));
    let told = String::from_utf8(run(&directory, &format!("{against} --scheme oauht"), 3)).unwrap();
    assert!(
        told.contains("warning[unknown_scheme]: no operation has the security scheme `oauht`"),
        "{told}"
    );
}

/// A rule that denies may stand for what is not there, and not for what is.
#[test]
fn an_operation_that_the_policy_denies_to_everybody_is_drift() {
    let directory = Directory::new();
    let text = "openapi: 3.2.0
security: [{o: ['a:read']}]
paths:
  /a: {get: {}}
  /b: {get: {security: [{k: []}]}}
  /c: {get: {security: []}}
  /d: {get: {security: [{}, {k: []}]}}
  /e: {additionalOperations: {PURGE: {}, LINK: {security: []}}}
";
    directory.write("a.yaml", text);
    let policy = |rules: &str| {
        let rules = format!("rules: [{{paths: [/old], access: deny}}, {rules}]\n");
        format!("credentials: [{{header: x-key}}]\nkeys: []\n{rules}")
    };
    let against = "rules --from a.yaml --against policy.yaml";
    let right = "{paths: [/a], require: ['a:read']}, {paths: [/b]}, {paths: [/c, /e], methods: [GET, LINK], access: public}, \
                 {paths: [/d], access: optional}, {paths: [/e], methods: [PURGE], require: ['a:read']}";
    directory.write("policy.yaml", &policy(right).replace("GET, LINK", "LINK, GET"));
    TestCommand::new(&directory, against).prints(0, "0 errors, 0 warnings\n", "");
    directory.write("policy.yaml", &policy("{paths: [/a, /b, /c, /d, /e], access: deny}"));
    let told = |place: &str, title: &str, reason: &str, pointer: &str| {
        format!(
            "a.yaml:{place}: error[other_access]: `{title}` may be called by the document, and by the policy by nobody, \
             for `{reason}` (at /paths/~1{pointer})\n"
        )
    };
    let denied = "denied_by_rule";
    let found = [
        told("4:8", "GET /a", denied, "a/get"),
        told("5:8", "GET /b", denied, "b/get"),
        told("6:8", "GET /c", denied, "c/get"),
        told("7:8", "GET /d", denied, "d/get"),
        told("8:31", "PURGE /e", denied, "e/additionalOperations/PURGE"),
        told("8:42", "LINK /e", denied, "e/additionalOperations/LINK"),
    ];
    let found = format!("{}6 errors, 0 warnings\n", found.concat());
    TestCommand::new(&directory, against).prints(3, &found, "");
    TestCommand::new(&directory, &format!("{against} --skip-access")).prints(
        0,
        "0 errors, 0 warnings\n",
        "",
    );
    // These methods stand for no action, and no rule lists them.
    let rules = right.replace(", LINK]", "]").replace(", methods: [PURGE]", "");
    let rules = rules.replace("/c, /e], methods: [GET]", "/c], methods: [GET]");
    directory.write("policy.yaml", &policy(&rules));
    let unknown = "method_not_allowed";
    let found = [
        told("8:31", "PURGE /e", unknown, "e/additionalOperations/PURGE"),
        told("8:42", "LINK /e", unknown, "e/additionalOperations/LINK"),
    ];
    let found = format!("{}2 errors, 0 warnings\n", found.concat());
    TestCommand::new(&directory, against).prints(3, &found, "");
}

#[test]
fn a_key_beside_another_scheme_counts_by_its_own_scopes() {
    let directory = Directory::new();
    let text = "openapi: 3.0.0
paths:
  /a: {get: {security: [{key: ['a:read'], app: ['b:read']}]}}
  /b: {get: {security: [{key: [], app: ['b:read']}]}}
";
    directory.write("a.yaml", text);
    for (require, told) in [
        ("a:read", "0 errors"),
        ("b:read", "a key with `a:read` may call `GET /a` by the document, and not by the policy"),
    ] {
        let policy = format!(
            "credentials: [{{header: x-key}}]\nkeys: []\nrules: [{{paths: [/a], methods: [GET], require: ['{require}']}}, \
             {{paths: [/b], methods: [GET], require: ['c:read']}}]\n"
        );
        directory.write("policy.yaml", &policy);
        for more in ["", " --require tag"] {
            let command = format!("rules --from a.yaml --against policy.yaml --scheme key{more}");
            let found = TestCommand::new(&directory, &command).everything();
            assert!(found.contains(told) && !found.contains("GET /b"), "{found}");
        }
    }
}

#[test]
fn a_scope_that_no_operation_has_is_told() {
    let directory = Directory::new();
    let operations = "  /a: {get: {security: [{o: ['a:read']}]}}";
    directory.write("a.yaml", &format!("openapi: 3.0.3\npaths:\n{operations}\n"));
    directory.write(
        "policy.yaml",
        "credentials: [{header: x-key}]\nkeys: []\nrules: [{paths: [/a], methods: [GET], require: ['a:read']}]\n",
    );
    let told = "a.yaml:1:1: warning[unknown_scope]: no operation has the scope `a:raed`\n  \
                help: say of `--scope` what `security` says\n0 errors, 1 warning\n";
    let command = "rules --from a.yaml --scope a:raed=b:read";
    TestCommand::new(&directory, &format!("{command} --against policy.yaml")).prints(3, told, "");
    assert!(TestCommand::new(&directory, command).everything().contains(told));
}

#[test]
fn what_the_document_does_not_say_may_be_said() {
    let directory = Directory::new();
    directory.write("a.yaml", "openapi: 3.0.3\npaths:\n  /a: {get: {}}\n");
    for (access, unsaid, told) in [
        ("access: public", "", None),
        ("access: public", " --unsaid public", None),
        (
            "access: public",
            " --unsaid key",
            Some("needs a key by the document, and none by the policy"),
        ),
        ("require: ['a:read']", " --unsaid key", None),
        (
            "require: ['a:read']",
            " --unsaid public",
            Some("needs no key by the document, and one by the policy"),
        ),
    ] {
        let rules = format!("rules: [{{paths: [/a], methods: [GET], {access}}}]\n");
        directory
            .write("policy.yaml", &format!("credentials: [{{header: x-key}}]\nkeys: []\n{rules}"));
        let command = format!("rules --from a.yaml --against policy.yaml{unsaid}");
        let printed =
            String::from_utf8(run(&directory, &command, if told.is_some() { 3 } else { 0 }));
        let printed = printed.unwrap();
        assert!(printed.contains(told.unwrap_or("0 errors")), "{access}{unsaid}: {printed}");
    }
}

fn run(directory: &Directory, arguments: &str, code: i32) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    let ran = command.current_dir(directory.path()).args(arguments.split(' ')).output().unwrap();
    assert_eq!(ran.status.code(), Some(code), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// The documents of real APIs, which the policy must judge as they say: file, arguments, operations, lines of rules at most.
const REAL: [(&str, &str, usize, usize); 5] = [
    ("github.json", "", 1223, 900),
    ("linode.json", " --scheme oauth", 350, 920),
    ("shipengine.yaml", "", 76, 95),
    ("stripe.json", "", 452, 340),
    ("twilio.json", "", 195, 150),
];

/// Where the registry cannot be reached, this tells so and ends; in CI that is a failure.
#[test]
fn real_documents_become_policies_that_judge_each_operation_as_they_say() {
    let root = repository("");
    let fetched = Command::new(root.join("envoy/install-tools")).arg("openapi").status().unwrap();
    if !fetched.success() {
        assert!(std::env::var_os("CI").is_none(), "the documents could not be fetched");
        eprintln!("skipped: the documents of real APIs could not be fetched from npm");
        return;
    }
    for (name, arguments, operations, lines) in REAL {
        let file = repository(&format!(".tools/openapi/{name}"));
        let found = Real::new(file, arguments).judge();
        assert_eq!((found.right, found.wrong.as_slice()), (operations, [].as_slice()), "{name}");
        assert!(found.lines <= lines, "{name}: {} lines", found.lines);
        eprintln!(
            "{name}: {} lines of rules, {operations} of {operations} operations right",
            found.lines
        );
    }
}

/// A document, read here once more, and the policy of the rules that were made of it.
struct Real {
    document: Value,
    /// The scheme of keys, if it is not each.
    scheme: Option<String>,
    rules: Value,
    lines: usize,
}

struct Found {
    lines: usize,
    right: usize,
    wrong: Vec<String>,
}

impl Real {
    fn new(file: PathBuf, arguments: &str) -> Real {
        let directory = Directory::new();
        let own = format!("rules --from {}{arguments}", file.display());
        let text = String::from_utf8(run(&directory, &own, 0)).unwrap();
        let policy = format!("credentials: [{{header: x-key}}]\nkeys: []\n{text}");
        directory.write("policy.yaml", &policy);
        let findings = run(&directory, "check policy.yaml --format json", 0);
        let findings: Vec<Value> = serde_json::from_slice(&findings).unwrap();
        assert_eq!(findings, [] as [Value; 0], "{}", file.display());
        run(
            &directory,
            &format!("rules --from {}{arguments} --against policy.yaml", file.display()),
            0,
        );
        Real {
            document: yaml_serde::from_str(&std::fs::read_to_string(file).unwrap()).unwrap(),
            scheme: arguments.strip_prefix(" --scheme ").map(str::to_owned),
            rules: yaml_serde::from_str::<Value>(&text).unwrap()["rules"].clone(),
            lines: text.lines().count(),
        }
    }

    /// Asks with a key that has the scopes of each alternative, with one that has none, and without.
    fn judge(self) -> Found {
        let mut operations = Vec::new();
        let mut granted = BTreeSet::from([Vec::new()]);
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if ["get", "put", "post", "delete", "patch", "options", "head"]
                    .contains(&method.as_str())
                {
                    let alternatives = self.alternatives(&method.to_uppercase(), operation);
                    granted.extend(alternatives.iter().flatten().cloned());
                    let servers = self.servers(item, operation);
                    operations.push((method.to_uppercase(), path, servers, alternatives));
                }
            }
        }
        let tokens: BTreeMap<Vec<String>, String> =
            granted.into_iter().zip((0..).map(|number| format!("token-{number}"))).collect();
        let key = |(scopes, token): (&Vec<String>, &String)| json!({"id": token, "scopes": scopes, "hash": format!("sha256:{}", sha256(token))});
        let keys: Vec<Value> = tokens.iter().map(key).collect();
        let policy =
            json!({"credentials": [{"header": "x-key"}], "keys": keys, "rules": self.rules});
        let engine =
            Engine::compile(policy.to_string().as_bytes(), &Environment::default()).unwrap();

        let mut found = Found { lines: self.lines, right: 0, wrong: Vec::new() };
        for (method, path, servers, alternatives) in &operations {
            let mut expected = Vec::new();
            match alternatives {
                None => expected.push((None, "allow public".to_owned())),
                Some(alternatives) => {
                    expected.push((None, "deny missing_credential".to_owned()));
                    let none = &tokens[&Vec::new()];
                    expected.push((Some(none), format!("deny insufficient_scope key:{none}")));
                    for scopes in alternatives {
                        let token = &tokens[scopes];
                        expected.push((Some(token), format!("allow key:{token}")));
                    }
                }
            }
            let mut is_right = true;
            for (token, expected) in expected {
                for server in servers {
                    let decision = ask(&engine, method, server, path, token.map(String::as_str));
                    if decision != expected {
                        is_right = false;
                        found.wrong.push(format!("{method} {path}: {decision}, not {expected}"));
                    }
                }
            }
            found.right += usize::from(is_right);
        }
        found
    }

    /// The scopes of each alternative; `None` if anybody may ask.
    fn alternatives(&self, method: &str, operation: &Value) -> Option<Vec<Vec<String>>> {
        let by_action = || {
            let action = match method {
                "POST" => "create",
                "PUT" | "PATCH" => "update",
                "DELETE" => "delete",
                _ => "read",
            };
            Some(vec![vec![format!("*:{action}")]])
        };
        let security = operation.get("security").or_else(|| self.document.get("security"));
        let Some(security) = security.and_then(Value::as_array) else { return by_action() };
        if security.is_empty() {
            return None;
        }
        let is_own =
            |own: &&Value| self.scheme.as_ref().is_none_or(|scheme| own.get(scheme).is_some());
        let scopes = |own: &Value| {
            let scopes = own.as_object().unwrap().values().flat_map(|own| own.as_array().unwrap());
            let mut scopes: Vec<String> =
                scopes.map(|own| own.as_str().unwrap().to_owned()).collect();
            scopes.sort();
            scopes
        };
        let alternatives: Vec<Vec<String>> = security.iter().filter(is_own).map(scopes).collect();
        if alternatives.iter().any(Vec::is_empty) { by_action() } else { Some(alternatives) }
    }

    fn servers(&self, item: &Value, operation: &Value) -> Vec<String> {
        let own = [operation, item, &self.document].into_iter().find_map(|own| own.get("servers"));
        let url = |own: &Value| own["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        own.unwrap().as_array().unwrap().iter().map(url).collect()
    }
}

fn ask(engine: &Engine, method: &str, server: &str, path: &str, token: Option<&str>) -> String {
    let url = format!("{server}{path}");
    let (host, path) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let mut filled = format!("/{path}");
    while let (Some(start), Some(end)) = (filled.find('{'), filled.find('}')) {
        filled.replace_range(start..=end, "some-value");
    }
    let mut headers: Vec<(&str, &[u8])> = vec![
        (":method", method.as_bytes()),
        (":path", filled.as_bytes()),
        (":authority", host.as_bytes()),
    ];
    headers.extend(token.map(|token| ("x-key", token.as_bytes())));
    let clock = || Some(0);
    let request = Request { body: Body::Whole(b""), ..Request::new(&headers, &clock) };
    engine.decide(&request).to_string()
}

fn sha256(token: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(token))
}
