//! Tokens that stand in a file which should hold their hashes only.
//!
//! This looks at the document, not at an engine: a token stands in any text, in those that no engine keeps
//! and in a policy that is refused for it.

use latchkey::Remark;

use crate::document::{Document, Fields};
use crate::place::escaped;

/// How the tokens of well-known services start.
const KNOWN: [&str; 20] = [
    "AIza",
    "AKIA",
    "ASIA",
    "dop_v1_",
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "hf_",
    "npm_",
    "pk_live_",
    "pypi-",
    "rk_live_",
    "shpat_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "xox",
];

/// Fewer characters than this after a prefix are no token: a hint has four.
const LEAST: usize = 16;

/// Finds what looks like a token in the texts of a policy.
pub(crate) fn find(policy: &Document) -> Vec<Remark> {
    let types = match policy.field("key_types") {
        Some(Document::Object(Fields(types))) => types.as_slice(),
        _ => &[],
    };
    let of_types = types.iter().filter_map(|(_, key_type)| key_type.field("prefix")?.as_str());
    let prefixes: Vec<&str> =
        KNOWN.into_iter().chain(of_types).filter(|prefix| !prefix.is_empty()).collect();
    let mut remarks = Vec::new();
    walk(policy, &mut String::new(), &prefixes, &mut remarks);
    remarks
}

/// Looks through `document`, which stands at `pointer`.
fn walk(document: &Document, pointer: &mut String, prefixes: &[&str], remarks: &mut Vec<Remark>) {
    let length = pointer.len();
    match document {
        Document::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                walk(item, pointer, prefixes, remarks);
                pointer.truncate(length);
            }
        }
        Document::Object(Fields(fields)) => {
            for (name, value) in fields.iter().filter(|(name, _)| name != "hash") {
                pointer.push('/');
                pointer.push_str(&escaped(name));
                walk(value, pointer, prefixes, remarks);
                pointer.truncate(length);
            }
        }
        Document::String(text) if is_token(text, prefixes, !is_account(pointer)) => {
            remarks.push(Remark {
                code: "plaintext_token",
                pointer: pointer.clone(),
                message: "this looks like a token in plaintext".to_owned(),
                help: "keep its hash only; whoever read this file has the token, so rotate it",
            })
        }
        _ => {}
    }
}

/// Whether an account stands there, or a list of them. Many are called by something random.
fn is_account(pointer: &str) -> bool {
    let mut steps =
        pointer.rsplit('/').skip_while(|step| step.bytes().all(|byte| byte.is_ascii_digit()));
    steps.next() == Some("account")
}

/// Whether a text holds a token, as far as its looks can tell: something that starts as tokens do or, if
/// randomness tells anything here, is random.
fn is_token(text: &str, prefixes: &[&str], randomness_tells: bool) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if text.len() < LEAST {
        return false;
    }
    text.split(|character| !is_part(character)).any(|word| {
        prefixes.iter().any(|prefix| {
            word.strip_prefix(prefix).is_some_and(|rest| {
                rest.chars().filter(char::is_ascii_alphanumeric).count() >= LEAST
                    && rest.contains(|character: char| character.is_ascii_digit())
                    && !reads_as_a_name(rest)
            })
        }) || randomness_tells && is_random(word)
    })
}

/// Whether a word is too varied to be anything but random: 24 letters and digits with both cases, or 32 in
/// a row with one. Ids are shorter, or stand in groups.
fn is_random(word: &str) -> bool {
    let has = |text: &str, is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let characters: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    let is_mixed = has(&characters, u8::is_ascii_uppercase)
        && has(&characters, u8::is_ascii_lowercase)
        && has(&characters, u8::is_ascii_digit)
        && characters.len() >= 24;
    let is_long = |part: &str| {
        part.len() >= 32
            && has(part, u8::is_ascii_digit)
            && entropy(part) >= 3.0
            && (part.bytes().all(|byte| byte.is_ascii_hexdigit()) || !reads_as_a_name(part))
    };
    (is_mixed && entropy(&characters) >= 3.5 && !reads_as_a_name(word))
        || (has(word, u8::is_ascii_alphabetic) && word.split(['_', '-', '.']).any(is_long))
}

/// Whether a text is likelier a name, such as `listGroupsOfScimV2`, than random.
///
/// Each two characters that follow one another tell for one or for the other: how often small letters,
/// capitals and digits do so in names and in random base62, and how often letters make a pair that is common
/// in words. What is added up are hundredths of the natural logarithm of one likelihood over the other's,
/// beginning with what is known before: most texts of a policy are names.
fn reads_as_a_name(text: &str) -> bool {
    const BEFORE: i32 = 200;
    let score: i32 = text.as_bytes().windows(2).map(|pair| of_case(pair) + of_letters(pair)).sum();
    BEFORE + score > 0
}

fn of_case(pair: &[u8]) -> i32 {
    match pair {
        [b'a'..=b'z', b'a'..=b'z'] => 65,
        [b'a'..=b'z', b'A'..=b'Z'] => -90,
        [b'a'..=b'z', b'0'..=b'9'] => -168,
        [b'A'..=b'Z', b'a'..=b'z'] => 51,
        [b'A'..=b'Z', b'A'..=b'Z'] => -52,
        [b'A'..=b'Z', b'0'..=b'9'] => -117,
        [b'0'..=b'9', b'a'..=b'z'] => -103,
        [b'0'..=b'9', b'A'..=b'Z'] => 27,
        [b'0'..=b'9', b'0'..=b'9'] => -29,
        _ => 0,
    }
}

fn of_letters(pair: &[u8]) -> i32 {
    match pair.iter().all(u8::is_ascii_alphabetic) {
        true if is_common(pair) => 103,
        true => -92,
        false => 0,
    }
}

fn is_common(pair: &[u8]) -> bool {
    COMMON.as_bytes().chunks_exact(2).any(|common| common.eq_ignore_ascii_case(pair))
}

/// The pairs of letters that make up six in seven of those in English text and names of programs.
const COMMON: &str = "\
    abacadagaialamanaparasatbabebiblbocacechcickclcocrctcudadedidodseaecedeeefegelemeneperes\
    etevexfafefffifogegigrhahehihoiaibicidieifigiliminioipirisitivizkelaldlelillloltlymamemi\
    mompmunancndnengninonsntocodolomonoooporosotouovowpapepiplpoppprptqurarcrdrerirmrorrrsrt\
    rurysascseshsisospssstsutatethtitotrtstttutyuaubuculumunupurusutvaveviwawize";

/// Shannon entropy in bits a character.
fn entropy(word: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in word.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a text is shorter than that")]
    let length = word.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        is_token(text, &[&KNOWN[..], &["flk_ro_", "api"]].concat(), true)
    }

    fn places(yaml: &str) -> Vec<String> {
        let document = crate::document::parse(std::path::Path::new("p.yaml"), yaml).unwrap();
        find(&document).into_iter().map(|remark| remark.pointer).collect()
    }

    #[test]
    fn tokens_are_seen() {
        for text in [
            "flk_ro_demo0000000000000000000000000000",
            "Bearer flk_ro_7Hq2mZ81kPzr4TnVbX9c",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "the old one was k3VbQ9zR2mXw7LpT5sNd8HfY, sorry",
            "9aae5d7abe4bbc464fcc6ab2ff57e7b5",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0",
            "Zk3-vB9_Qx7Lm2Tn8Rd5Wc1Yh6J-p4Gs0Fa_Ue3Ki",
            "k3vb9qzr2mxw7lpt5snd8hfy1c6g4jua0ieo",
            "MZXW6YTBOI5DKNJXGM3DQOJUGE2TMNZY",
            // As Python's `uuid4().hex` makes them; whether it is an id nobody can tell.
            "550e8400e29b41d4a716446655440000",
        ] {
            assert!(found(text), "{text}");
        }
    }

    #[test]
    fn names_ids_paths_and_hints_are_not() {
        for text in [
            "flk_ro_…a1b2",
            "flk_ro_",
            "Render farm, before the rotation of 2025",
            "550e8400-e29b-41d4-a716-446655440000",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "507f1f77bcf86cd799439011",
            "/api/v1/techniques/{slug}/runs/{run_identifier_2}/**",
            "sk-the-name-of-a-very-long-thing",
            "acct_1032D82eZvKYlo2C",
            "https://customer-portal-2026.example.com:8443",
            "00000000000000000000000000000000",
            "listOrganizationScimV2Groups",
            "getV1UsersByIdOAuth2Tokens",
            "ListAWSS3BucketsForAccount123456789012",
            "CreateEC2VPCEndpointForSQS2Queue",
            "updateIPv4AddressForHTTP2Listener",
            "rotateHMACSHA256KeyForK8sCluster",
            "kundenKontoUebersichtV2Abrufen",
            "reports:read, see GetApiV3RepositoriesByOwnerAndRepo",
            "sk-my-long-service-name-2026",
            "pypi-mirror-for-region-eu-west-1",
            "npm_package_publisher_v2",
            "api_list_users_v2_extended",
            "apiListOrganizationV2Groups",
            "K8sHPAv2Beta2CRDConversionWebhook",
            "GetXmlHttpRequestV2BySkuQty",
            "przelewyBankoweV2WszystkieKonta",
            "12345678901234567890123456789012",
        ] {
            assert!(!found(text), "{text}");
        }
    }

    /// What is random is not made of words, but for very few: 13 in 10,000.
    #[test]
    fn random_tokens_are_seen() {
        let shape = crate::token::Shape::default();
        let tokens = (0..30_000).map(|_| shape.mint().unwrap().reveal().to_owned());
        let missed = tokens.filter(|token| reads_as_a_name(token)).count();
        assert!(missed < 90, "{missed} of 30000");
    }

    #[test]
    fn accounts_may_be_random() {
        let yaml = "keys: [{account: tR3kGx5mQ2aV9bLw7NcE4hJy6Z, name: tR3kGx5mQ2aV9bLw7NcE4hJy6Z}]\n\
                    where: {account: [user_2NNEqL2nrIRdJ194ndJqAHwEfxC]}\n\
                    rules: [{where: {account: ghp_16C7e42F292c6912E7710c838347Ae178B4a}}]\n";
        assert_eq!(places(yaml), ["/keys/0/name", "/rules/0/where/account"]);
    }

    #[test]
    fn every_text_is_looked_at_but_hashes() {
        let token = "flk_ro_demo0000000000000000000000000000";
        let yaml = format!(
            "key_types: {{a: {{prefix: flk_ro_}}}}\n\
             keys:\n- {{hash: '{token}', name: '{token}', attributes: {{a/b: '{token}'}}}}\n\
             rules: [{{paths: ['/{token}']}}]\n"
        );
        assert_eq!(places(&yaml), ["/keys/0/name", "/keys/0/attributes/a~1b", "/rules/0/paths/0"]);
    }
}
