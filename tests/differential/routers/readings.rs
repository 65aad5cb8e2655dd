//! What frameworks read otherwise than a request stands, and how a request looks without it: a failure under
//! `upstream: exact` is of a kind if the same request without that very spelling does not fail.

use latchkey::UPSTREAMS;

use super::requests::Attempt;

/// A kind of readings.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How the table of frameworks begins to say it.
    told: &'static str,
    /// The request without it.
    without: fn(&Attempt) -> Attempt,
}

const KINDS: [Kind; 14] = [
    Kind {
        name: "letter case",
        told: "the path in any",
        without: |attempt| attempt.with_path(without_letters),
    },
    Kind {
        name: "commas",
        told: "each part",
        without: |attempt| {
            attempt.with_path(|path| {
                ["%2c", "%2C", ","]
                    .iter()
                    .fold(path.to_owned(), |path, sign| path.replace(sign, ""))
            })
        },
    },
    Kind {
        name: "suffix",
        told: "the path without",
        without: |attempt| {
            attempt.with_path(|path| {
                let path = path.replace("%2e", ".").replace("%2E", ".");
                if path.starts_with("/trpc") {
                    return path;
                }
                let (before, last) = path.rsplit_once('/').unwrap_or(("", &path));
                format!("{before}/{}", last.replace('.', ""))
            })
        },
    },
    Kind {
        name: "`_method` in the query",
        told: "`_method` in the query",
        without: |attempt| {
            attempt.with_target(|target| match target.split_once('?') {
                Some((path, query)) => format!("{path}?{}", query.replace("method", "m")),
                None => target.to_owned(),
            })
        },
    },
    Kind {
        name: "`_method` in a form",
        told: "`_method` in a form",
        without: |attempt| without_in_body(attempt, false, "method"),
    },
    Kind {
        name: "`_method` in JSON",
        told: "`_method` in JSON",
        without: |attempt| without_in_body(attempt, true, "method"),
    },
    Kind {
        name: "fields of a form",
        told: "fields of a form",
        without: |attempt| {
            if attempt.has_json() { attempt.clone() } else { attempt.without_body() }
        },
    },
    Kind {
        name: "members of JSON",
        told: "members of JSON",
        without: |attempt| {
            if attempt.has_json() { attempt.without_body() } else { attempt.clone() }
        },
    },
    Kind {
        name: "elements of XML",
        told: "elements of XML",
        without: |attempt| {
            let is_markup = attempt.has_in("content-type", &["xml", "yaml", "toml"]);
            if is_markup { attempt.without_body() } else { attempt.clone() }
        },
    },
    Kind {
        name: "headers",
        told: "headers of",
        without: |attempt| attempt.without_headers(&["hydrate", "type"]),
    },
    Kind {
        name: "cookies",
        told: "cookies of",
        without: |attempt| {
            let names_one = attempt.has_in("cookie", &["hydrate", "type"]);
            if names_one { attempt.without_headers(&["cookie"]) } else { attempt.clone() }
        },
    },
    Kind { name: HEAD, told: "HEAD as", without: Attempt::clone },
    Kind {
        name: "the rest of a path",
        told: "a path as a shorter one",
        without: |attempt| {
            attempt.with_path(|path| {
                path.split_inclusive('/').take(3).collect::<String>().trim_end_matches('/').into()
            })
        },
    },
    Kind {
        name: "a shorter path",
        told: "the last segment",
        without: |attempt| {
            attempt.with_path(|path| {
                let (first, last) = (path.split('/').nth(1), path.rsplit('/').next());
                format!("/{}/{}", first.unwrap_or_default(), last.unwrap_or_default())
            })
        },
    },
];

/// The kind of [`runs_for_head`], which no report tells.
pub(crate) const HEAD: &str = "HEAD";

/// Whether the table says of a framework that it runs for HEAD what it runs for GET.
pub(crate) fn runs_for_head(framework: &str) -> bool {
    told(framework).contains(&"HEAD as GET")
}

/// What the table tells of a framework.
fn told(framework: &str) -> Vec<&'static str> {
    let row = UPSTREAMS.iter().find(|row| row.name == framework);
    row.map(|row| row.readings()).unwrap_or_default()
}

fn without_in_body(attempt: &Attempt, in_json: bool, word: &str) -> Attempt {
    if attempt.has_json() == in_json {
        attempt.clone().with_body(|body| body.replace(word, "m"))
    } else {
        attempt.clone()
    }
}

/// A path in small letters, encoded ones and such beyond ASCII included.
fn without_letters(path: &str) -> String {
    let mut path = path.to_ascii_lowercase();
    for code in 0x41..=0x5a_u8 {
        let small = char::from(code.to_ascii_lowercase()).to_string();
        path = path.replace(&format!("%{code:02x}"), &small);
    }
    path.replace("%c5%bf", "%61").replace("%e2%84%aa", "%61")
}

/// The kinds that a failure is of, those without whose spelling the request does not fail; `fails` tells whether one does.
pub(crate) fn kinds(
    attempt: &Attempt,
    fails: impl Fn(&Attempt) -> bool,
) -> impl Iterator<Item = &'static str> {
    let is_of = move |kind: &&Kind| {
        let without = (kind.without)(attempt);
        without.text() != attempt.text() && !fails(&without)
    };
    KINDS.iter().filter(is_of).map(|kind| kind.name)
}

/// What the table says of a framework beyond these kinds: each as it is told there.
pub(crate) fn unseen(framework: &str, seen: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let is_seen = |told: &&'static str| {
        KINDS.iter().any(|kind| told.starts_with(kind.told) && seen(kind.name))
    };
    told(framework).into_iter().filter(|told| !is_seen(told)).collect()
}
