//! Browser origins (RFC 6454) that a key may be used from.

use std::fmt;

use crate::host::{is_host_and_port, is_name};

/// A pattern for the `Origin` header: `scheme://host[:port]`, or `scheme://*.host[:port]` for the
/// subdomains of a host, of any depth and not the host itself.
///
/// Scheme and host are compared in any letter case. The scheme's default port is the same as none,
/// since a browser leaves it out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub(crate) scheme: Box<str>,
    /// Whether what stands before `rest` is a subdomain.
    pub(crate) subdomains: bool,
    /// `host[:port]`, with a leading dot where `subdomains` holds.
    pub(crate) rest: Box<str>,
}

impl Origin {
    pub(crate) fn parse(text: &str) -> Result<Origin, OriginError> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = split(&text).ok_or(OriginError)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
        let authority = without_default_port(scheme, authority);
        let (subdomains, host_and_port) = match authority.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, authority),
        };
        if !is_scheme || !is_host_and_port(host_and_port) {
            return Err(OriginError);
        }
        let rest = if subdomains { format!(".{host_and_port}") } else { host_and_port.to_owned() };
        Ok(Origin { scheme: scheme.into(), subdomains, rest: rest.into() })
    }

    /// Whether one of the origins is a request's `Origin` value. `null` never is.
    pub(crate) fn is_one(origins: &[Origin], value: &str) -> bool {
        let value = value.to_ascii_lowercase();
        let Some((scheme, authority)) = split(&value) else { return false };
        let authority = without_default_port(scheme, authority);
        is_host_and_port(authority)
            && origins.iter().any(|origin| *origin.scheme == *scheme && origin.takes(authority))
    }

    /// Whether it is of that host and port.
    fn takes(&self, authority: &str) -> bool {
        if self.subdomains {
            authority.strip_suffix(&*self.rest).is_some_and(is_name)
        } else {
            authority == &*self.rest
        }
    }
}

/// What stands before and behind `://`.
fn split(origin: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = origin.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// The text is not `scheme://host[:port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "an origin is `scheme://host`, `scheme://host:port` or `scheme://*.host`, without a path",
        )
    }
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let default = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Origin::is_one(&[Origin::parse(pattern).unwrap()], value)
    }

    #[test]
    fn an_origin_matches_itself_only() {
        assert!(matches("https://app.example.com", "https://app.example.com"));
        assert!(matches("https://app.example.com", "HTTPS://App.Example.com"));
        assert!(matches("https://app.example.com:443", "https://app.example.com"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evil.test/app.example.com",
            "https://x.app.example.com",
            "https://app.example.com/",
            "null",
            "",
        ] {
            assert!(!matches("https://app.example.com", other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_subdomains_and_nothing_else() {
        assert!(matches("https://*.example.org", "https://a.example.org"));
        assert!(matches("https://*.example.org", "https://a.b.example.org"));
        for other in [
            "https://example.org",
            "https://.example.org",
            "https://evilexample.org",
            "https://evil.test/.example.org",
            "https://evil.test:1.example.org",
            "https://user@x.example.org",
            "https://a.example.org:8443",
        ] {
            assert!(!matches("https://*.example.org", other), "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "null",
            "*",
            "example.com",
            "https://",
            "https://*",
            "https://a*.example.com",
            "https://example.com/",
            "https://example.com:0",
            "https://example.com:x",
            "://a",
            "https://a.*.example.com",
            "https://a b",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError), "{text}");
        }
    }
}
