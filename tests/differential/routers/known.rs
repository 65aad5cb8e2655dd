//! What frameworks read otherwise and the policy does not follow yet. Each is a kind of spelling: a failure is of a kind
//! if the same request without that spelling does not fail.

use super::requests::Attempt;

struct Known {
    kind: &'static str,
    /// Servers, by what their names begin with.
    servers: &'static [&'static str],
    /// The request without the spelling.
    without: fn(&Attempt) -> Attempt,
}

const KNOWN: [Known; 3] = [
    Known {
        kind: "Express compares paths in any letter case",
        servers: &["express"],
        without: |attempt| attempt.with_path(|path| path.to_ascii_lowercase()),
    },
    Known {
        kind: "Servlets read a form's fields as parameters",
        servers: &["spring"],
        without: Attempt::without_body,
    },
    Known {
        kind: "gorilla's handler takes a method from `_method`",
        servers: &["net-http"],
        without: |attempt| {
            attempt
                .with_target(|target| target.replace("_method", "not_method"))
                .with_body(|body| body.replace("_method", "not_method"))
        },
    },
];

/// The kind that a failure is of; `fails` tells whether a request fails.
pub(crate) fn kind(
    server: &str,
    attempt: &Attempt,
    fails: impl Fn(&Attempt) -> bool,
) -> Option<&'static str> {
    let is_of = |known: &&Known| {
        known.servers.iter().any(|own| server.starts_with(own)) && !fails(&(known.without)(attempt))
    };
    KNOWN.iter().find(is_of).map(|known| known.kind)
}
