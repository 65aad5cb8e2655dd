//! The host of a request or of a rule: a name or an address, with or without a port.

/// The host that an authority names, in lower case, without port and without the dot that a full name may end
/// in; `None` if it is not a host.
pub(crate) fn of_authority(authority: &[u8]) -> Option<String> {
    let authority = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
    let (host, port) = split_port(&authority);
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    let host = host.strip_suffix('.').unwrap_or(host);
    (port.is_none_or(is_port) && is_host(host)).then(|| host.to_owned())
}

/// Whether `text` is a host in lower case, with or without the number of a port.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    let (host, port) = split_port(text);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0);
    is_host(host) && port.is_none_or(is_port)
}

/// Whether `text` is a host name in lower case, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(text),
    }
}

/// Whether `text` is a host name in lower case, or an IPv4 address.
pub(crate) fn is_name(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
            })
    })
}

/// What stands before and behind the last colon, unless that is one of an address in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_has_neither_port_nor_last_dot() {
        for (authority, host) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.com.:443", Some("api.example.com")),
            ("api.example.com:", Some("api.example.com")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            ("::1", None),
            ("api.example.com:x", None),
            ("api.example.com:65536", None),
            ("user@api.example.com", None),
            ("api..example.com", None),
            ("", None),
        ] {
            assert_eq!(of_authority(authority.as_bytes()).as_deref(), host, "{authority}");
        }
        assert_eq!(of_authority(b"\xff"), None);
    }
}
