//! Keys from elsewhere: every format, told by line where it is broken, and nothing half written.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fmt::Write as _;
use std::fs;

use support::{Directory, TestCommand};

const POLICY: &str = "\
credentials:
- {header: authorization, scheme: Bearer}
key_types:
  ours: {prefix: flk_, scopes: [read]}
keys: []
";

/// Tokens as clients of other gateways have them.
const ONE: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const TWO: &str = "0b1d4d5e-6c1f-4d8a-9a53-1f2b5c9f8e77";
const THREE: &str = "a5f1Zr8vQ2mK7tXw9LpC3sNd6HbJ4gYe";

fn directory() -> Directory {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    directory
}

/// What an import of `text` says, with `more` arguments; no output has a token, nor has the keys file.
#[track_caller]
fn import(directory: &Directory, text: &str, from: &str, more: &str) -> (i32, String) {
    directory.write("source", text);
    let arguments = format!("key import --from {from} source --keys keys.yaml {more}");
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    arguments.retain(|word| !word.is_empty());
    let command = || TestCommand::new(directory, "key").arguments(&arguments);
    let code = if more.contains("--apply") { None } else { Some(command().code()) };
    let told = command().everything();
    for secret in [ONE, TWO, THREE] {
        assert!(!told.contains(secret), "{told}");
        assert!(!keys(directory).contains(secret));
    }
    (code.unwrap_or_default(), told)
}

fn keys(directory: &Directory) -> String {
    fs::read_to_string(directory.path().join("keys.yaml")).unwrap_or_default()
}

/// What the filter decides about a request with this token.
#[track_caller]
fn decides(directory: &Directory, token: &str, decision: &str) {
    let bearer = format!("Authorization: Bearer {token}");
    let arguments = [
        "explain",
        "policy.yaml",
        "--keys",
        "keys.yaml",
        "https://a.example/v1/orders",
        "-H",
        &bearer,
    ];
    let told = TestCommand::new(directory, "explain").arguments(&arguments).everything();
    assert!(told.contains(decision), "{told}");
}

#[test]
fn a_dry_run_says_what_would_come() {
    let directory = directory();
    let (code, told) = import(&directory, &format!("{ONE}\n\npartner {TWO}\n"), "tokens", "");
    assert_eq!(
        told,
        "\
ID          TYPE  ACCOUNT  SCOPES  HINT
imported-1  -     -        -       ...p7dc
partner     -     -        -       ...8e77
2 keys would be imported into keys.yaml; nothing was written (`--apply` does)
"
    );
    assert_eq!(code, 0);
    assert!(!directory.path().join("keys.yaml").exists());
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 2);
}

#[test]
fn tokens_are_hashed_and_let_through() {
    let directory = directory();
    directory.write("keys.yaml", "# ours\nkeys:\n  - id: imported-1   # the first\n    hash: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n");
    let text = format!("{ONE}\r\npartner\t{TWO}\r\n");
    let (_, told) = import(&directory, &text, "tokens", "--apply");
    assert_eq!(
        told,
        "warning: others than its owner and group may open keys.yaml (`chmod o= keys.yaml`)\n\
         2 keys imported into keys.yaml\nproxies accept them once they are pushed (`latchkey push`)\n"
    );
    let expected =
        "    hash: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'
  - id: imported-2
    hash: \"sha256:8250c5bce3afd0e4ef63e3a1e1b2a1e0\"
    hint: \"...p7dc\"
  - id: partner
";
    let file = keys(&directory);
    let (before, _) = expected.split_once("    hash: \"").unwrap();
    assert!(file.starts_with("# ours\nkeys:\n  - id: imported-1   # the first\n"));
    assert!(file.contains(before) && file.contains("    hint: \"...8e77\"\n"), "{file}");
    decides(&directory, ONE, "key:imported-2");
    decides(&directory, TWO, "key:partner");

    // By standard input, under a pepper, and not twice.
    let path = directory.path().join("source");
    fs::write(&path, THREE).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.current_dir(directory.path()).env("LATCHKEY_PEPPER", "grains");
    command.args(["key", "import", "--from", "tokens", "-", "--keys", "keys.yaml", "--apply"]);
    command.stdin(fs::File::open(&path).unwrap());
    assert!(command.output().unwrap().status.success());
    assert!(keys(&directory).contains("hash: \"hmac-sha256:"));
    // Without the pepper nobody can tell whether that token is there.
    let before = keys(&directory);
    for more in ["--apply", "", "--skip-existing"] {
        let (_, told) = import(&directory, &format!("again {THREE}"), "tokens", more);
        assert!(told.contains("LATCHKEY_PEPPER is not set"), "{told}");
    }
    assert_eq!(keys(&directory), before);
    let mut new = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
    new.current_dir(directory.path()).env_remove("LATCHKEY_PEPPER");
    let made = new.args(["key", "new", "--id", "plain", "--keys", "keys.yaml"]).output().unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(
        told.starts_with("warning: keys.yaml has keys that are hashed with a pepper"),
        "{told}"
    );
    // Nor is there a file called `-`.
    let mut new = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
    new.current_dir(directory.path()).args(["key", "new", "--id", "other", "--keys", "-"]);
    let made = new.output().unwrap();
    assert_eq!(made.status.code(), Some(2));
    assert!(!directory.path().join("-").exists());
}

#[test]
fn what_is_there_already_is_told_by_line() {
    let directory = directory();
    import(&directory, &format!("a {ONE}"), "tokens", "--apply");
    let before = keys(&directory);
    let text =
        format!("b {ONE}\na {TWO}\nc {THREE}\nd {THREE}\nc {THREE}x\ntwo words more\nd\u{e9} x\n");
    let (code, told) = import(&directory, &text, "tokens", "");
    assert_eq!(
        told,
        "\
source:1: error: its token is that of the key `a` in keys.yaml (`--skip-existing` leaves it out)
source:2: error: keys.yaml has a key `a` already
source:4: error: the same token stands on line 3
source:5: error: the id `c` stands on line 3 already
source:6: error: expected `TOKEN` or `ID TOKEN`
source:7: error: an id has 1 to 64 letters, digits, `_`, `.` and `-`
6 errors; nothing was written
"
    );
    assert_eq!(code, 1);
    import(&directory, &text, "tokens", "--apply");
    assert_eq!(keys(&directory), before);

    let text = format!("b {ONE}\nc {TWO}\n");
    let (_, told) = import(&directory, &text, "tokens", "--skip-existing --apply");
    assert!(told.contains("source: 1 known key left out\n1 key imported"), "{told}");
    let (code, told) = import(&directory, &text, "tokens", "--skip-existing");
    assert!(told.ends_with("no key is new; keys.yaml is unchanged\n"), "{told}");
    assert_eq!(code, 0);
}

/// The token would stand in the file, and in every log.
#[test]
fn a_token_in_the_place_of_an_id_is_not_taken() {
    let directory = directory();
    let (code, told) = import(
        &directory,
        &format!("a {TWO}\n{ONE} partner\nreporting-eu-west {THREE}\n"),
        "tokens",
        "",
    );
    assert_eq!(
        told,
        "\
ID                 TYPE  ACCOUNT  SCOPES  HINT
a                  -     -        -       ...8e77
(line 2)           -     -        -       ...
reporting-eu-west  -     -        -       ...4gYe
warning: source:2: the id is longer than the token: see that it is `ID TOKEN`, since ids stand in the file and in logs
warning: 1 token is shorter than 20 characters: whoever has the file can find them by trying (set LATCHKEY_PEPPER, here and in the proxy)
3 keys would be imported into keys.yaml; nothing was written (`--apply` does)
"
    );
    assert_eq!(code, 0);
    // It may be so.
    let ids = "reporting-for-eu-west-1 shorter-token-1234567\nreporting-for-eu-west-2 shorter-token-1234568\n";
    let (_, told) = import(&directory, ids, "tokens", "--apply");
    assert!(
        told.starts_with(
            "warning: source:1: the id is longer than the token, as on 1 line more: see"
        ),
        "{told}"
    );
    assert!(keys(&directory).contains("  - id: reporting-for-eu-west-2\n"));
    // A character that no id has.
    let (code, told) = import(&directory, "c2VjcmV0LXRva2VuLW9m+w== partner\n", "tokens", "");
    assert_eq!(code, 1);
    assert!(told.starts_with("source:1: error: an id has 1 to 64 letters, "), "{told}");
    let (_, told) = import(&directory, &format!("a\n{TWO} {}\n", "x".repeat(513)), "tokens", "");
    assert!(
        told.contains("source:2: error: a token is 1 to 512 visible ASCII characters\n"),
        "{told}"
    );
    let (_, told) = import(&directory, &format!("a {ONE}\n"), "hashes", "");
    assert!(
        told.contains("source:1: error: a hash is `sha256:` or `hmac-sha256:` and 64 hex digits\n")
    );
}

#[test]
fn hashes_come_as_they_are() {
    let directory = directory();
    // printf %s "$ONE" | sha256sum
    let hash = sha256(ONE);
    let text = format!(
        "a {}\nb sha256:{}\nc hmac-sha256:{}\n",
        hash.to_uppercase(),
        "2".repeat(64),
        "3".repeat(64)
    );
    let (_, told) = import(&directory, &text, "hashes", "--apply");
    assert!(told.starts_with("3 keys imported"), "{told}");
    let kept = format!("hash: \"hmac-sha256:{}\"\n", "3".repeat(64));
    assert!(
        keys(&directory).contains(&format!("sha256:{hash}")) && keys(&directory).contains(&kept)
    );
    let (_, told) =
        import(&directory, &format!("d {hash}\ne {}\nf {0}\n", "4".repeat(64)), "hashes", "");
    assert!(told.contains("source:1: error: its token is that of the key `a`"), "{told}");
}

fn sha256(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let ran = std::process::Command::new("sha256sum").arg(file.path()).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_table_has_any_field_of_a_key() {
    let directory = directory();
    let csv = format!(
        "key_id;secret;plan;rights;ends;note\n\
         a;{ONE};pro;\"orders:read, orders:create\";2999-01-01;\"two\nlines\"\n\
         b;{TWO};;;4000000000;\n"
    );
    let map = "--map id=key_id,token=secret,attributes.plan=plan,scopes=rights,expires_at=ends --type imported";
    directory.write("policy.yaml", &POLICY.replace("key_types:", "key_types:\n  imported: {}"));
    let (_, told) = import(&directory, &csv, "csv", &format!("{map} --policy policy.yaml --apply"));
    assert!(told.starts_with("2 keys imported"), "{told}");
    let file = keys(&directory);
    let fields = "    hint: \"...p7dc\"
    type: imported
    scopes: [\"orders:read\", \"orders:create\"]
    expires_at: 2999-01-01T00:00:00Z
    attributes: {plan: pro}
  - id: b
";
    assert!(file.contains(fields) && file.contains("    expires_at: 4000000000\n"), "{file}");
    decides(&directory, ONE, "key:a");

    // Columns of the fields' own names; lines count through quoted line breaks.
    let csv = format!("id,token,suspended,name\nc,{THREE},yes,\"x\ny\"\nd,x,maybe,\ne,f\n,x,,\n");
    let (code, told) = import(&directory, &csv, "csv", "");
    assert_eq!(
        told,
        "source:4: error: `suspended` is not `true` or `false`\n\
         source:5: error: 2 columns where the first line names 4\n2 errors; nothing was written\n"
    );
    assert_eq!(code, 1);
    // Wherever a line ends, and however many are empty.
    let spaced = "\nid;token;name\n\n\na;x y;\"1\n\n2\"\n\ng;x;\n\n\nc\nd;x y;\n\"e\n\n\";x;f\n";
    for text in [spaced.to_owned(), spaced.replace('\n', "\r\n")] {
        assert_eq!(
            import(&directory, &text, "csv", "").1,
            "\
source:5: error: a token is 1 to 512 visible ASCII characters
source:12: error: 1 columns where the first line names 3
source:13: error: a token is 1 to 512 visible ASCII characters
source:14: error: the same token stands on line 9
4 errors; nothing was written
"
        );
        let told = import(&directory, &text, "csv", "--map token=secret").1;
        assert_eq!(told, "error: source:2: there is no column `secret`\n");
    }
    for (map, told) in [
        ("--map token=nothing", "error: source:1: there is no column `nothing`\n"),
        (
            "--map id=id",
            "error: source:1: no column has the token (name it with `--map token=COLUMN`)\n",
        ),
    ] {
        assert_eq!(import(&directory, &csv, "csv", map), (1, told.to_owned()));
    }
    let wrong = import(&directory, &csv, "csv", "--map key=id").1;
    assert!(wrong.contains("`key` is not a field of a key"), "{wrong}");
    assert_eq!(
        import(&directory, "x", "tokens", "--map id=id"),
        (2, "error: `--map` is for `csv` and `jsonl`\n".to_owned())
    );
}

#[test]
fn json_lines_have_any_field_of_a_key() {
    let directory = directory();
    let jsonl = format!(
        "{{\"id\": 7, \"token\": \"{ONE}\", \"scopes\": [\"a:read\"], \"attributes\": {{\"seats\": 5}}, \"other\": 1}}\n\n\
         {{\"user\": {{\"name\": \"b\"}}, \"token\": \"{TWO}\", \"expires_at\": null}}\n"
    );
    let (_, told) = import(&directory, &jsonl, "jsonl", "--apply");
    assert!(
        told.starts_with(
            "source: `other`, `user` left out: no field of a key has such a name (`--map` tells which is which)\n\
             2 keys imported"
        ),
        "{told}"
    );
    let file = keys(&directory);
    assert!(
        file.contains("- id: \"7\"\n") && file.contains("attributes: {seats: \"5\"}\n"),
        "{file}"
    );
    let (_, told) = import(
        &directory,
        &format!("{{\"user\": {{\"name\": \"b\"}}, \"k\": \"{THREE}\"}}\n[]\n{{\"id\": \"x\"\n"),
        "jsonl",
        "--map id=user.name,token=k",
    );
    assert_eq!(
        told,
        "source:2: error: it is not a JSON object\nsource:3: error: it is not a JSON object\n\
         2 errors; nothing was written\n"
    );
}

#[test]
fn what_stands_twice_is_told() {
    let directory = directory();
    for (head, map, told) in [
        ("id,token,id", "", "error: source:1: the column `id` stands twice\n"),
        ("id,token,token", "", "error: source:1: the column `token` stands twice\n"),
        ("a,token,a", "--map id=a,token=token", "error: source:1: the column `a` stands twice\n"),
    ] {
        let csv = format!("{head}\nx,{ONE},{TWO}\n");
        assert_eq!(import(&directory, &csv, "csv", map), (1, told.to_owned()));
    }
    // That of a column that is left out is nobody's.
    let (code, told) = import(&directory, &format!("x,token,x\na,{ONE},b\n"), "csv", "");
    assert!(code == 0 && told.contains("`x` left out"), "{told}");
    let jsonl = format!(
        "{{\"id\": \"a\", \"token\": \"{ONE}\", \"id\": \"b\"}}\n\
         {{\"id\": \"c\", \"token\": \"{TWO}\", \"attributes\": {{\"p\": 1, \"p\": 2}}}}\n\
         {{\"{long}\": 1, \"{long}\": 2}}\n",
        long = "x".repeat(30)
    );
    let told = "source:1: error: the member `id` stands twice\nsource:2: error: the member `p` stands twice\n\
                source:3: error: a member stands twice\n3 errors; nothing was written\n";
    assert_eq!(import(&directory, &jsonl, "jsonl", ""), (1, told.to_owned()));
}

#[test]
fn what_is_not_read_is_named() {
    let directory = directory();
    let jsonl = format!(
        "{{\"id\": \"a\", \"token\": \"{ONE}\", \"scope\": \"read\", \"enabled\": true, \"team\": null}}\n\
         {{\"id\": \"b\", \"token\": \"{TWO}\", \"expires\": 1, \"scope\": \"read\", \"owner\": {{\"name\": \"x\"}}}}\n"
    );
    let left_out = "left out: no field of a key has such a name (`--map` tells which is which)\n";
    let note = format!("source: `enabled`, `expires`, `owner`, `scope` {left_out}");
    let (code, told) = import(&directory, &jsonl, "jsonl", "");
    assert!(code == 0 && told.contains(&note), "{told}");
    // A map names all that is read, and each of it must be somewhere.
    let map = "--map id=id,token=token,account=owner.name";
    let (_, told) = import(&directory, &jsonl, "jsonl", map);
    assert!(!told.contains("left out") && told.contains("\nb   -     x "), "{told}");
    let error = "error: source: no object has `nosuch`\n".to_owned();
    for text in [jsonl.clone(), format!("{jsonl}{{\n")] {
        assert_eq!(
            import(&directory, &text, "jsonl", "--map token=token,account=nosuch"),
            (1, error.clone())
        );
    }
    let (_, told) = import(&directory, "{\n", "jsonl", "--map token=token");
    assert!(told.starts_with("source:1: error: it is not a JSON object\n"), "{told}");

    let names: Vec<String> = (10..22).map(|number| format!("column-{number}")).collect();
    let csv = format!("token,{},\n{ONE},{}\n", names.join(","), ",".repeat(12));
    let (_, told) = import(&directory, &csv, "csv", "");
    assert!(told.contains("`column-18`, `column-19` and 2 more left out: "), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let directory = directory();
    let rows = format!(
        "{{\"id\": \"a\", \"token\": \"{ONE}\", \"scopes\": [\"my group\"]}}\n{{\n\
         {{\"id\": \"b\", \"token\": \"{TWO}\"}}\n{{\"id\": \"b\", \"token\": \"{TWO}\"}}\n\
         {{\"id\": \"c\", \"token\": \"{THREE}\", \"type\": \"nothing\"}}\n"
    );
    let expected = "\
source:1: error: a scope holds `*` or characters of `A-Za-z0-9_.-` on each side of its colon (its scopes/0)
source:2: error: it is not a JSON object
source:4: error: the same token stands on line 3
source:4: error: the id `b` stands on line 3 already
source:5: error: key type `nothing` is not defined in `key_types` (its type)
5 errors; nothing was written
";
    assert_eq!(
        import(&directory, &rows, "jsonl", "--policy policy.yaml"),
        (1, expected.to_owned())
    );
    // Where what is there already is wrong, that is told, too.
    directory.write("keys.yaml", "keys: [{id: old, hash: 1}]\n");
    let (code, told) = import(&directory, &rows, "jsonl", "");
    assert_eq!(code, 1);
    assert!(told.starts_with("keys.yaml:1:18: error"), "{told}");
    assert!(
        told.contains("\nsource:1: error: a scope") && told.contains("\nsource:4: error"),
        "{told}"
    );
}

/// What the core has against a key is told by the line that it came from.
#[test]
fn a_key_that_no_policy_takes_is_told_by_its_line() {
    let directory = directory();
    let jsonl = format!(
        "{{\"id\": \"a\", \"token\": \"{ONE}\"}}\n{{\"id\": \"b\", \"token\": \"{TWO}\", \"scopes\": [\"my group\"]}}\n\
         {{\"id\": \"c\", \"token\": \"{THREE}\", \"type\": \"nothing\"}}\n"
    );
    let (code, told) = import(&directory, &jsonl, "jsonl", "--policy policy.yaml");
    assert_eq!(code, 1);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.first().unwrap().starts_with("source:2: error: "), "{told}");
    assert!(lines.first().unwrap().ends_with(" (its scopes/0)"), "{told}");
    assert_eq!(
        lines.get(1),
        Some(&"source:3: error: key type `nothing` is not defined in `key_types` (its type)")
    );
    assert!(!directory.path().join("keys.yaml").exists());
}

#[test]
fn what_a_policy_would_refuse_is_told() {
    let directory = directory();
    let (code, told) = import(
        &directory,
        &format!("a {ONE}\nb {TWO}\n"),
        "tokens",
        "--type ours --policy policy.yaml",
    );
    assert_eq!(code, 0);
    assert!(
        told.contains("warning: proxies refuse all of these tokens as `malformed_credential`: "),
        "{told}"
    );
    let (_, told) = import(
        &directory,
        &format!("a {ONE}\nb flk_{TWO}\n"),
        "tokens",
        "--type ours --policy policy.yaml",
    );
    assert!(told.contains("warning: proxies refuse 1 of these tokens"), "{told}");
    assert!(told.contains("flk_...8e77"), "{told}");
    // Where a key without a type is good, any token is looked up.
    let (_, told) = import(&directory, &format!("a {ONE}\n"), "tokens", "--policy policy.yaml");
    assert!(!told.contains("warning"), "{told}");
    let (_, told) = import(&directory, "a 12345\nb abc\n", "tokens", "");
    assert!(told.contains("warning: 2 tokens are shorter than 20 characters: "), "{told}");
}

#[test]
fn kong_has_consumers_credentials_and_groups() {
    let directory = directory();
    let yaml = format!(
        "\
_format_version: \"3.0\"
services: []
consumers:
- username: alice@example.com
  custom_id: '42'
  acls:
  - group: orders:read
  - group: admin
  keyauth_credentials:
  - key: {ONE}
    tags: [a]
  - key: {TWO}
- username: bob
- username: carol
- custom_id: dave
  keyauth_credentials:
  - key: '{{vault://env/dave}}'
acls:
- consumer: carol
  group: read
keyauth_credentials:
- consumer: {{username: carol}}
  key: {THREE}
  ttl: 3600
"
    );
    let (code, told) = import(&directory, &yaml, "kong", "");
    assert_eq!(
        (code, told.as_str()),
        (
            1,
            "source:17: error: the key is a reference to another store, not a token\n1 error; nothing was written\n"
        )
    );
    let yaml = yaml.replace("  keyauth_credentials:\n  - key: '{vault://env/dave}'\n", "");
    let (_, told) = import(&directory, &yaml, "kong", "--apply");
    assert!(
        told.starts_with(
            "source: 2 without a key left out\nwarning: `read` as a scope is good for every"
        ),
        "{told}"
    );
    let file = keys(&directory);
    for fields in [
        "  - id: alice-example.com\n",
        "    name: \"alice@example.com\"\n    account: \"alice@example.com\"\n    scopes: [\"orders:read\", admin]\n    attributes: {custom_id: \"42\"}\n",
        "  - id: alice-example.com-2\n",
        "    account: carol\n    scopes: [read]\n    expires_at: 2",
    ] {
        assert!(file.contains(fields), "{file}");
    }
    decides(&directory, TWO, "key:alice-example.com-2");
    decides(&directory, THREE, "allow key:carol");
    let (code, told) = import(&directory, "consumers: []\n", "kong", "");
    assert_eq!(code, 1);
    assert!(told.starts_with("error: source: no consumer has `keyauth_credentials`"), "{told}");
}

#[test]
fn envoys_filter_has_credentials_wherever_it_stands() {
    let directory = directory();
    let filter = format!(
        "# a filter
        - name: envoy.filters.http.api_key_auth
          typed_config:
            \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
            credentials:
            - key: {ONE}
              client: one
            - {{client: two words, key: {TWO}}}
            key_sources: [{{header: x-api-key}}]
"
    );
    let yaml = format!("static_resources:\n  listeners:\n  - a:\n{filter}  - b:\n{filter}");
    let (_, told) = import(&directory, &yaml, "envoy", "--apply");
    assert!(told.starts_with("2 keys imported"), "{told}");
    decides(&directory, ONE, "key:one");
    decides(&directory, TWO, "key:two-words");
    assert!(
        keys(&directory).contains("name: two words\n")
            || keys(&directory).contains("name: \"two words\"\n")
    );
    let json = format!("{{\"credentials\": [\n{{\"key\": \"{ONE}\", \"client\": \"again\"}}]}}");
    let (_, told) = import(&directory, &json, "envoy", "");
    assert!(told.starts_with("source:2: error: its token is that of the key `one`"), "{told}");

    // What Envoy tells of itself has no keys in it.
    let before = keys(&directory);
    let dump = r#"{"configs": [{"dynamic_listeners": [{"credentials": [
        {"key": "[redacted]", "client": "one"},
        {"key": "[redacted]", "client": "two"}
    ]}]}]}"#;
    let error = "error: `[redacted]` stands in the token's place, as in Envoy's `/config_dump`: import the \
                 configuration that Envoy was given\n";
    let expected = format!("source:2: {error}source:3: {error}2 errors; nothing was written\n");
    assert_eq!(import(&directory, dump, "envoy", ""), (1, expected.clone()));
    assert_eq!(import(&directory, dump, "envoy", "--apply").1, expected);
    assert_eq!(keys(&directory), before);
}

#[test]
fn secrets_of_envoy_gateway_have_a_key_for_each_client() {
    let directory = directory();
    let encode = |text: &str| {
        use std::io::Write as _;
        let mut child = std::process::Command::new("base64")
            .arg("-w0")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let yaml = format!(
        "\
# keys
---
apiVersion: v1
kind: Secret
metadata: {{name: a}}
data:
  one: {}
---
kind: ConfigMap
data: {{x: y}}
---
kind: List
items:
- kind: Secret
  type: kubernetes.io/tls
  data: {{tls.key: eA==}}
- kind: Secret
  type: Opaque
  stringData:
    two: {TWO}
",
        encode(ONE)
    );
    let (_, told) = import(&directory, &yaml, "envoy-gateway", "--apply");
    assert!(told.starts_with("source: 1 without a key left out\n2 keys imported"), "{told}");
    decides(&directory, ONE, "key:one");
    decides(&directory, TWO, "key:two");
    let broken = yaml.replace(&encode(ONE), "'%%%'").replace(TWO, &format!("\"{THREE}\\n\""));
    let (_, told) = import(&directory, &broken, "envoy-gateway", "");
    assert_eq!(
        told,
        "source:7: error: the value is not base64 of a text\n\
         source:20: error: a token is 1 to 512 visible ASCII characters\n2 errors; nothing was written\n"
    );
    let (_, told) =
        import(&directory, &yaml.replace("kind: List", "kind: [List"), "envoy-gateway", "");
    assert!(told.starts_with("error: source:1"), "{told}");
}

#[test]
fn apisix_has_consumers_and_their_credentials() {
    let directory = directory();
    let yaml = format!(
        "\
consumers:
  - username: jack
    labels: {{team: a}}
    plugins:
      key-auth:
        key: {ONE}
  - username: jill
    credentials:
      - name: first
        type: key-auth
        config: {{key: {TWO}}}
  - username: none
    plugins: {{}}
#END
"
    );
    let (_, told) = import(&directory, &yaml, "apisix", "--apply");
    assert!(told.starts_with("source: 1 without a key left out\n2 keys imported"), "{told}");
    decides(&directory, ONE, "key:jack");
    decides(&directory, TWO, "key:jill");
    assert!(keys(&directory).contains("    account: jack\n    attributes: {team: a}\n"));
    let json = format!(
        "{{\"total\": 2, \"list\": [\n\
         {{\"key\": \"/apisix/consumers/jim/credentials/c1\", \"value\": {{\"id\": \"c1\", \"plugins\": {{\"key-auth\": {{\"key\": \"{THREE}\"}}}}}}}},\n\
         {{\"key\": \"/apisix/consumers/joe\", \"value\": {{\"username\": \"joe\", \"plugins\": {{\"key-auth\": {{\"key\": \"$secret://vault/1/joe/key\"}}}}}}}}\n]}}"
    );
    let (_, told) = import(&directory, &json, "apisix", "");
    assert_eq!(
        told,
        "source:3: error: the key is a reference to another store, not a token\n1 error; nothing was written\n"
    );
    let (_, told) =
        import(&directory, &json.replace("$secret://vault/1/joe/key", "x"), "apisix", "");
    assert!(told.contains("\njim  ") && told.contains("\njoe  "), "{told}");
}

#[test]
fn a_hundred_thousand_keys_come_at_once() {
    let directory = directory();
    let mut csv = "id,token,scopes\n".to_owned();
    for number in 0..100_000 {
        writeln!(csv, "user-{number},{ONE}{number:06},orders:read").unwrap();
    }
    let (_, told) = import(&directory, &csv, "csv", "--apply");
    assert!(told.starts_with("100000 keys imported"), "{told}");
    let last = sha256(&format!("{ONE}099999"));
    assert!(keys(&directory).contains(&format!("hash: \"sha256:{last}\"\n")));
    assert_eq!(keys(&directory).matches("- id: ").count(), 100_000);
    // One broken line in the middle, and the file is as it was.
    let length = keys(&directory).len();
    let csv: String = csv.lines().take(1001).map(|line| format!("{line}\n")).collect();
    let csv = csv.replace("user-", "u-").replace(&format!("{ONE}000500"), "");
    let csv = csv.replace(ONE, TWO);
    let (_, told) = import(&directory, &csv, "csv", "--apply");
    assert_eq!(
        told,
        "source:502: error: it has neither token nor hash\n1 error; nothing was written\n"
    );
    assert_eq!(keys(&directory).len(), length);
}
