//! Files of cases: what loads, what a request looks like to a filter, and that every kind of
//! mismatch is seen.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;

use latchkey::Changes;
use latchkey_cli::cases::{self, Case, CaseRequest, Expect, Headers, Observation, Suite, Upstream};
use latchkey_cli::document;

mod support;
use support::Directory;

const ALLOWED: &str = r#"{"name": "x", "expect": {"decision": "allow public"}}"#;

/// Headers as texts, for comparing.
fn texts(headers: &Headers) -> Vec<(&str, &str)> {
    let text = |value| std::str::from_utf8(value).unwrap();
    headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

fn headers(list: &[(&str, &str)]) -> Headers {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn request(json: &str) -> CaseRequest {
    document::parse_as(Path::new("request.json"), json).unwrap()
}

mod loading {
    use super::*;

    fn load(text: &str) -> Result<Suite, String> {
        let directory = Directory::new();
        let file = directory.write("c.json", text);
        let result = Suite::load(&file);
        result.map_err(|error| directory.hide(&format!("{error:#}")))
    }

    fn with_policy(rest: &str) -> Result<Suite, String> {
        load(&format!(r#"{{"policy": {{"keys": []}}, {rest}}}"#))
    }

    #[test]
    fn a_policy_inside_is_kept_as_written() {
        let suite = load(&format!(r#"{{"policy": {{"z": 1, "a": [2]}}, "cases": [{ALLOWED}]}}"#));
        let suite = suite.unwrap();
        assert_eq!(String::from_utf8(suite.policy).unwrap(), r#"{"z":1,"a":[2]}"#);
        assert_eq!((suite.pepper, suite.now), (None, None));
    }

    #[test]
    fn a_policy_file_is_found_beside_the_cases() {
        let directory = Directory::new();
        directory.write("policies/p.yaml", "realm: x\nkeys: []\n");
        let file = directory.write(
            "cases/c.json",
            &format!(r#"{{"policy_file": "../policies/p.yaml", "cases": [{ALLOWED}]}}"#),
        );
        let suite = Suite::load(&file).unwrap();
        assert_eq!(String::from_utf8(suite.policy).unwrap(), r#"{"realm":"x","keys":[]}"#);
    }

    #[test]
    fn a_file_with_a_time_does_not_run_on_envoy() {
        let suite = with_policy(&format!(r#""now": "2027-01-01T00:00:00Z", "cases": [{ALLOWED}]"#));
        let suite = suite.unwrap();
        assert_eq!((suite.clock(), suite.runs_on_envoy()), (1_798_761_600, false));
        let suite = with_policy(&format!(r#""cases": [{ALLOWED}]"#)).unwrap();
        assert_eq!((suite.clock(), suite.runs_on_envoy()), (cases::NOW, true));
        assert_eq!(latchkey::parse_timestamp("2026-06-01T00:00:00Z"), Some(cases::NOW));
    }

    #[test]
    fn what_is_no_file_of_cases_is_refused() {
        let allowed = |name: &str| ALLOWED.replace("\"x\"", &format!("\"{name}\""));
        let case = |expect: &str| format!(r#""cases": [{{"name": "x", "expect": {{{expect}}}}}]"#);
        for (result, message) in [
            (
                load(&format!(r#"{{"cases": [{ALLOWED}]}}"#)),
                "c.json: `policy` or `policy_file` is missing",
            ),
            (
                load(&format!(r#"{{"policy": {{}}, "policy_file": "p", "cases": [{ALLOWED}]}}"#)),
                "c.json: `policy` and `policy_file` exclude each other",
            ),
            (with_policy(r#""cases": []"#), "c.json: `cases` is empty"),
            (
                with_policy(&format!(r#""cases": [{}, {}]"#, allowed("a"), allowed("a"))),
                "c.json: two cases are named `a`",
            ),
            (
                with_policy(&format!(r#""now": "noon", "cases": [{ALLOWED}]"#)),
                "c.json: `now`: `noon` is not an RFC 3339 time, such as `2026-06-01T00:00:00Z`",
            ),
            (
                with_policy(&case(r#""decision": "yes""#)),
                "c.json: case `x`: `decision` must start with `allow ` or `deny `, not `yes`",
            ),
            (
                with_policy(&case(r#""decision": "allow public", "body": "x""#)),
                "c.json: case `x`: `body` is for refusals: the upstream answers this one",
            ),
            (
                with_policy(&case(r#""decision": "deny unknown_key", "upstream": {}"#)),
                "c.json: case `x`: `upstream` is for allowed requests",
            ),
            (
                with_policy(&case(r#""decision": "allow public", "left": {}"#)),
                "c.json: case `x`: `left` is for refusals: the upstream sees what goes on",
            ),
            (
                with_policy(&case(r#""decision": "allow public", "statu": 1"#)),
                "c.json:1:95: unknown field `statu`, expected one of `decision`, `status`, \
                 `headers`, `body`, `upstream`, `left`, `required_scope`, `published`",
            ),
            (with_policy(&case(r#""status": 1"#)), "c.json:1:72: missing field `decision`"),
        ] {
            assert_eq!(result.unwrap_err(), message);
        }
    }

    #[test]
    fn a_folder_without_cases_is_refused() {
        let directory = Directory::new();
        directory.write("notes.txt", "");
        let error = cases::load_folder(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("holds no `.json` file of cases"), "{error}");
    }

    #[test]
    fn a_folder_loads_in_the_order_of_names() {
        let directory = Directory::new();
        let text = format!(r#"{{"policy": {{}}, "cases": [{ALLOWED}]}}"#);
        let files = [directory.write("a.json", &text), directory.write("b.json", &text)];
        let suites = cases::load_folder(directory.path()).unwrap();
        assert_eq!(suites.into_iter().map(|suite| suite.file).collect::<Vec<_>>(), files);
    }
}

mod header_map {
    use super::*;

    #[test]
    fn a_request_needs_no_fields() {
        assert_eq!(
            texts(&request("{}").header_map()),
            [
                (":method", "GET"),
                (":path", "/"),
                (":authority", "api.example.com"),
                (":scheme", "http"),
                ("x-request-id", cases::REQUEST_ID),
            ]
        );
    }

    #[test]
    fn connect_has_no_path() {
        let map = request(r#"{"method": "CONNECT", "path": null}"#).header_map();
        assert!(map.iter().all(|(name, _)| name != ":path"));
    }

    #[test]
    fn headers_follow_in_order_as_envoy_joins_them() {
        let json = r#"{"headers": [["Authorization", "a"], ["x-b", "1"], ["cookie", "c"],
            ["authorization", "d"], ["X-B", "2"], ["cookie", "e"]], "body": "four"}"#;
        let map = request(json).header_map();
        assert_eq!(
            texts(&map)[5..],
            [
                ("authorization", "a,d"),
                ("x-b", "1"),
                ("cookie", "c"),
                ("x-b", "2"),
                ("cookie", "e"),
                ("content-length", "4"),
            ]
        );
        let map = CaseRequest { http2: true, ..request(json) }.header_map();
        assert!(texts(&map).contains(&("cookie", "c; e")));
    }

    #[test]
    fn bytes_that_no_text_can_hold_are_written_in_hex() {
        let map = request(r#"{"headers": [["x-raw", {"hex": "fffe"}]]}"#).header_map();
        assert_eq!(map.last(), Some(&("x-raw".to_owned(), vec![0xff, 0xfe])));
        for wrong in ["f", "fg", "é"] {
            let json = format!(r#"{{"headers": [["x", {{"hex": "{wrong}"}}]]}}"#);
            let error = document::parse_as::<CaseRequest>(Path::new("r.json"), &json).unwrap_err();
            let message = format!("`{wrong}` is not made of pairs of hex digits");
            assert!(error.to_string().ends_with(&message), "{error}");
        }
    }

    #[test]
    fn an_absolute_form_target_is_taken_apart_in_http1() {
        let map = request(r#"{"path": "http://other.example:80/a?b=http://c/"}"#).header_map();
        assert!(texts(&map).contains(&(":authority", "other.example:80")));
        assert!(texts(&map).contains(&(":path", "/a?b=http://c/")));
        let map = request(r#"{"path": "http://other.example"}"#).header_map();
        assert!(texts(&map).contains(&(":path", "/")));
        let map = request(r#"{"path": "http://other.example/", "http2": true}"#).header_map();
        assert!(texts(&map).contains(&(":path", "http://other.example/")));
    }
}

mod applying {
    use super::*;

    #[test]
    fn removes_then_sets_in_place_of_every_value_then_sets_the_path() {
        let before = headers(&[
            (":path", "/a?key=1"),
            ("x-token", "secret"),
            ("x-key-id", "forged"),
            ("accept", "*/*"),
            ("X-Key-Id", "forged too"),
        ]);
        let set = [("x-key-id", "reporting"), ("x-token", "set after it was removed")]
            .map(|(name, value)| (name.into(), value.as_bytes().into()));
        let remove = vec!["x-token".into()];
        let changes = Changes { remove, set: set.to_vec(), path: Some(b"/a".to_vec()) };
        let after = cases::apply(&cases::borrowed(&before), &changes);
        assert_eq!(after.path.as_deref(), Some(b"/a".as_slice()));
        assert_eq!(
            texts(&after.headers),
            [
                ("accept", "*/*"),
                ("x-key-id", "reporting"),
                ("x-token", "set after it was removed"),
                (":path", "/a"),
            ]
        );
    }

    #[test]
    fn nothing_to_do_leaves_the_request_as_it_was() {
        let before = headers(&[(":path", "/a?key=1"), ("x", "1"), ("x", "2")]);
        let after = cases::apply(&cases::borrowed(&before), &Changes::default());
        assert_eq!(after.headers, before);
        assert_eq!(after.path.as_deref(), Some(b"/a?key=1".as_slice()));
    }
}

mod comparing {
    use super::*;

    fn expect(json: &str) -> Expect {
        let json = format!(r#"{{"name": "x", "expect": {{{json}}}}}"#);
        document::parse_as::<Case>(Path::new("case.json"), &json).unwrap().expect
    }

    fn refusal() -> Observation {
        Observation {
            request_id: "id-1".to_owned(),
            decision: "deny unknown_key".to_owned(),
            status: 401,
            headers: headers(&[("request-id", "req_id-1"), ("x-twice", "a"), ("x-twice", "b")]),
            body: br#"{"z":"id-1","a":[1]}"#.to_vec(),
            upstream: None,
            left: Some(Upstream {
                path: Some(b"/a?b".to_vec()),
                headers: headers(&[("accept", "*/*")]),
            }),
            required_scope: Some("reports:read".to_owned()),
            published: Vec::new(),
        }
    }

    fn passage() -> Observation {
        Observation {
            decision: "allow key:k".to_owned(),
            status: 200,
            upstream: Some(Upstream {
                path: Some(b"/a".to_vec()),
                headers: headers(&[("x-key-id", "k"), ("x-trace", "id-1")]),
            }),
            left: None,
            ..refusal()
        }
    }

    #[track_caller]
    fn mismatches(expected: &str, observation: &Observation, lines: &[&str]) {
        let result = cases::compare(&expect(expected), observation);
        assert_eq!(result.err().unwrap_or_default(), lines);
    }

    const DENY: &str = r#""decision": "deny unknown_key""#;
    const ALLOW: &str = r#""decision": "allow key:k""#;

    #[test]
    fn what_is_as_expected_passes() {
        mismatches(
            &format!(
                r#"{DENY}, "status": 401, "body": {{"z": "{{request_id}}", "a": [1]}},
                "headers": {{"Request-Id": "req_{{request_id}}", "x-twice": ["a", "b"],
                "x-absent": null}}, "required_scope": "reports:read""#
            ),
            &refusal(),
            &[],
        );
        mismatches(
            &format!(
                r#"{ALLOW}, "status": 200, "upstream": {{"path": "/a", "headers":
                {{"x-key-id": "k", "x-trace": "{{request_id}}", "authorization": null}}}}"#
            ),
            &passage(),
            &[],
        );
        mismatches(DENY, &refusal(), &[]);
        mismatches(ALLOW, &passage(), &[]);
    }

    #[test]
    fn decision() {
        mismatches(
            r#""decision": "deny missing_credential""#,
            &refusal(),
            &["decision: expected `deny missing_credential`, got `deny unknown_key`"],
        );
    }

    #[test]
    fn status() {
        mismatches(
            &format!(r#"{DENY}, "status": 403"#),
            &refusal(),
            &["status: expected `403`, got `401`"],
        );
    }

    #[test]
    fn response_header() {
        mismatches(
            &format!(r#"{DENY}, "headers": {{"request-id": "x", "x-none": "1", "x-twice": "a"}}"#),
            &refusal(),
            &[
                "response header `request-id`: expected `x`, got `req_id-1`",
                "response header `x-none`: expected `1`, got none",
                "response header `x-twice`: expected `a`, got `a` and `b`",
            ],
        );
        mismatches(
            &format!(r#"{DENY}, "headers": {{"request-id": null, "x-twice": ["b", "a"]}}"#),
            &refusal(),
            &[
                "response header `request-id`: expected none, got `req_id-1`",
                "response header `x-twice`: expected `b` and `a`, got `a` and `b`",
            ],
        );
    }

    #[test]
    fn body() {
        mismatches(
            &format!(r#"{DENY}, "body": {{"a": [1], "z": "id-1"}}"#),
            &refusal(),
            &[r#"body: expected `{"a":[1],"z":"id-1"}`, got `{"z":"id-1","a":[1]}`"#],
        );
        mismatches(
            &format!(r#"{DENY}, "body": """#),
            &refusal(),
            &[r#"body: expected ``, got `{"z":"id-1","a":[1]}`"#],
        );
        mismatches(
            &format!(r#"{DENY}, "body": "x""#),
            &Observation { body: vec![0xff, b'x'], ..refusal() },
            &[r"body: expected `x`, got `\xffx`"],
        );
    }

    #[test]
    fn upstream() {
        mismatches(
            &format!(
                r#"{ALLOW}, "upstream": {{"path": "/b",
                "headers": {{"x-key-id": null, "x-plan": "pro"}}}}"#
            ),
            &passage(),
            &[
                "upstream path: expected `/b`, got `/a`",
                "upstream header `x-key-id`: expected none, got `k`",
                "upstream header `x-plan`: expected `pro`, got none",
            ],
        );
    }

    #[test]
    fn what_is_left_of_a_refused_request() {
        let expected = format!(
            r#"{DENY}, "left": {{"path": "/a", "headers": {{"accept": null, "cookie": "a"}}}}"#
        );
        mismatches(
            &expected,
            &refusal(),
            &[
                "left path: expected `/a`, got `/a?b`",
                "left header `accept`: expected none, got `*/*`",
                "left header `cookie`: expected `a`, got none",
            ],
        );
        mismatches(&expected, &Observation { left: None, ..refusal() }, &[]);
    }

    #[test]
    fn a_refused_request_that_goes_on() {
        mismatches(
            DENY,
            &Observation { upstream: passage().upstream, ..refusal() },
            &["upstream: expected nothing, got the request"],
        );
    }

    #[test]
    fn an_allowed_request_that_goes_nowhere() {
        mismatches(
            &format!(r#"{ALLOW}, "upstream": {{"path": "/a"}}"#),
            &Observation { upstream: None, ..passage() },
            &["upstream: expected the request, got nothing"],
        );
    }

    #[test]
    fn required_scope_where_the_subject_can_tell() {
        let expected = format!(r#"{DENY}, "required_scope": "a:read b:read""#);
        mismatches(
            &expected,
            &refusal(),
            &["required scope: expected `a:read b:read`, got `reports:read`"],
        );
        mismatches(&expected, &Observation { required_scope: None, ..refusal() }, &[]);
    }

    #[test]
    fn several_mismatches_are_several_lines() {
        mismatches(
            r#""decision": "deny revoked_key", "status": 403"#,
            &refusal(),
            &[
                "decision: expected `deny revoked_key`, got `deny unknown_key`",
                "status: expected `403`, got `401`",
            ],
        );
    }
}
