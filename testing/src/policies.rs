//! Policies of any size for benchmarks and budgets, the same bytes every time.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The token of the key at an index.
pub fn token(index: usize) -> String {
    format!("lk_live_{index:024}")
}

/// A policy with this many keys as an issuer's database would hold them, and no rules.
pub fn with_keys(count: usize) -> String {
    with(count, 0)
}

/// The same, with this many rules.
pub fn with(keys: usize, rules: usize) -> String {
    let mut json = String::with_capacity(4_096 + keys * 240 + rules * 160);
    json.push_str(
        r#"{"credentials":[{"header":"authorization","scheme":"Bearer"}],"key_types":{"live":{"scopes":["*:read","orders:write"]},"admin":{"scopes":["*:*"]}},"rules":["#,
    );
    for index in 0..rules {
        let comma = if index == 0 { "" } else { "," };
        write!(json, r#"{comma}{{"paths":["/v1/service{index}/items/{{item}}"],"methods":["GET","POST"],"require":["items:{{action}}"]}}"#).unwrap();
    }
    json.push_str(r#"],"keys":["#);
    for index in 0..keys {
        let comma = if index == 0 { "" } else { "," };
        write!(json, "{comma}{}", key(index)).unwrap();
    }
    json.push_str("]}");
    json
}

/// One key: three of four have a type, one has scopes of its own, one of five expires, one of four
/// has attributes, and four keys in a row are of one account.
fn key(index: usize) -> String {
    let digest: [u8; 32] = Sha256::digest(token(index)).into();
    let mut key = format!(
        r#"{{"id":"key_{index:07}","hash":"sha256:{}","name":"Reporting pipeline {index}","account":"ws_{:06}""#,
        hex::encode(digest),
        index / 4,
    );
    if index % 4 == 3 {
        write!(key, r#","scopes":["items:read","team{}:write"]"#, index % 97).unwrap();
    } else {
        key.push_str(r#","type":"live""#);
    }
    if index % 5 == 4 {
        write!(
            key,
            r#","expires_at":"20{:02}-{:02}-01T00:00:00Z""#,
            40 + index % 50,
            1 + index % 12
        )
        .unwrap();
    }
    if index % 4 == 1 {
        write!(key, r#","attributes":{{"plan":"pro","region":"eu-{}"}}"#, index % 7).unwrap();
    }
    key.push('}');
    key
}
