//! The addresses that a key may be used from.

use std::net::{IpAddr, SocketAddr};

/// A single address, or a network of addresses that share a prefix (RFC 4632, RFC 4291 section 2.3).
///
/// An IPv4 address and its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) are the same one. No network holds
/// addresses of both kinds: `::/0` is every IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub(crate) first: Address,
    /// The length of the prefix in bits, as of an IPv6 address.
    pub(crate) length: u8,
}

/// An IPv6 address; of an IPv4 address the mapped one.
pub(crate) type Address = [u8; 16];

/// What mapped addresses begin with.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Network {
    pub(crate) fn parse(text: &str) -> Result<Network, NetworkError> {
        let slash = text.bytes().position(|byte| byte == b'/');
        let (address, length) =
            text.split_at_checked(slash.unwrap_or(text.len())).unwrap_or_default();
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let (first, bits) = (octets(address), if address.is_ipv4() { 32_u8 } else { 128 });
        let rest = match length.as_bytes() {
            [] => 0,
            [b'/', b'0', _, ..] | [b'/', b'+', ..] => return Err(NetworkError::Malformed),
            _ => {
                let length: Option<u16> = length.get(1..).and_then(|length| length.parse().ok());
                length
                    .and_then(|length| bits.checked_sub(u8::try_from(length).ok()?))
                    .ok_or(NetworkError::Malformed)?
            }
        };
        let length = 128_u8.saturating_sub(rest);
        if prefix(first, length) != first {
            return Err(NetworkError::BitsBehindPrefix);
        }
        Ok(Network { first, length })
    }

    /// Whether one of the networks has a client's address, which is written with a port. None has what is no IP address,
    /// such as a pipe's.
    pub(crate) fn is_one_of(networks: &[Network], client: &[u8]) -> bool {
        let client = str::from_utf8(client).ok().and_then(|text| text.parse::<SocketAddr>().ok());
        let address = client.map(|client| octets(client.ip()));
        address.is_some_and(|address| networks.iter().any(|network| network.has(address)))
    }

    fn has(&self, address: Address) -> bool {
        prefix(address, self.length) == self.first && is_ipv4(address) == is_ipv4(self.first)
    }
}

fn octets(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The first `length` bits of an address.
fn prefix(mut address: Address, length: u8) -> Address {
    let mut rest = length;
    for byte in &mut address {
        *byte &= !0xff_u8.checked_shr(rest.into()).unwrap_or(0);
        rest = rest.saturating_sub(8);
    }
    address
}

/// Whether an address is an IPv4 one.
pub(crate) fn is_ipv4(address: Address) -> bool {
    address.starts_with(&MAPPED)
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkError {
    /// The address is not the network's first.
    BitsBehindPrefix,
    Malformed,
}

impl NetworkError {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            NetworkError::BitsBehindPrefix => {
                "the address has bits set behind the prefix of the network"
            }
            NetworkError::Malformed => {
                "an address is `203.0.113.5` or `2001:db8::1`, a network `203.0.113.0/24` or `2001:db8::/32`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, client: &str) -> bool {
        Network::is_one_of(&[Network::parse(network).unwrap()], client.as_bytes())
    }

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        for (network, client) in [
            ("203.0.113.5", "203.0.113.5:443"),
            ("203.0.113.0/24", "203.0.113.0:1"),
            ("203.0.113.0/24", "203.0.113.255:65535"),
            ("203.0.113.128/25", "203.0.113.128:1"),
            ("0.0.0.0/0", "255.255.255.255:1"),
            ("203.0.113.5/32", "203.0.113.5:443"),
            ("2001:db8::/32", "[2001:db8:ffff::1]:443"),
            ("2001:DB8::1", "[2001:db8:0:0::1]:443"),
            ("::/0", "[fe80::1%2]:443"),
            ("::1", "[::1]:443"),
        ] {
            assert!(has(network, client), "{network} {client}");
        }
    }

    #[test]
    fn a_network_has_no_other_addresses() {
        for (network, client) in [
            ("203.0.113.5", "203.0.113.4:443"),
            ("203.0.113.0/24", "203.0.114.0:1"),
            ("203.0.113.0/24", "203.0.112.255:1"),
            ("203.0.113.128/25", "203.0.113.127:1"),
            ("2001:db8::/32", "[2001:db9::1]:443"),
            ("0.0.0.0/0", "[::1]:443"),
            ("::/0", "127.0.0.1:443"),
            ("::/96", "[::ffff:0.0.0.1]:443"),
        ] {
            assert!(!has(network, client), "{network} {client}");
        }
    }

    #[test]
    fn an_ipv4_address_is_its_mapped_one() {
        for network in ["203.0.113.0/24", "::ffff:203.0.113.0/120", "::ffff:cb00:7105"] {
            assert!(has(network, "203.0.113.5:443"), "{network}");
            assert!(has(network, "[::ffff:203.0.113.5]:443"), "{network}");
            assert!(!has(network, "[::203.0.113.5]:443"), "{network}");
            assert!(!has(network, "[::fffe:cb00:7105]:443"), "{network}");
        }
        assert_eq!(Network::parse("203.0.113.5"), Network::parse("::ffff:203.0.113.5/128"));
    }

    #[test]
    fn what_is_no_address_with_a_port_is_nobodys() {
        for client in [
            "",
            "203.0.113.5",
            "::1",
            "[::1]",
            "203.0.113.5:",
            "203.0.113.5:x",
            " 203.0.113.5:443",
            "203.0.113.5:443,203.0.113.5:443",
            "0203.0.113.5:443",
            "/run/envoy.sock",
            "@abstract",
            "envoy://internal/1",
        ] {
            assert!(!has("0.0.0.0/0", client) && !has("::/0", client), "{client}");
        }
        let every = ["0.0.0.0/0", "::/0"].map(|text| Network::parse(text).unwrap());
        assert!(!Network::is_one_of(&every, b"\xff"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "*",
            "localhost",
            "example.com",
            "203.0.113",
            "203.0.113.005",
            "203.0.113.5:443",
            "[2001:db8::1]",
            "fe80::1%eth0",
            "203.0.113.0/",
            "203.0.113.0/33",
            "203.0.113.0/024",
            "203.0.113.0/+24",
            "203.0.113.0/-1",
            "203.0.113.0/255.255.255.0",
            "203.0.113.0/24/24",
            "0.0.0.0/00",
            "2001:db8::/129",
            "203.0.113.1-203.0.113.9",
        ] {
            assert_eq!(Network::parse(text), Err(NetworkError::Malformed), "{text}");
        }
        for text in ["203.0.113.5/24", "0.0.0.1/0", "2001:db8::1/32", "::ffff:0.0.0.0/90"] {
            assert_eq!(Network::parse(text), Err(NetworkError::BitsBehindPrefix), "{text}");
        }
    }
}
