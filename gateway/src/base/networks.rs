//! Lists of networks: of trusted proxies, of clients; and how much of an address tells clients apart.

use std::net::IpAddr;

/// A list of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    networks: Vec<Network>,
}

/// Addresses that share their first bits. IPv4 is held as its IPv4-mapped IPv6 form, so that one
/// comparison serves both families and a dual-stack socket's peers match too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Networks {
    /// Takes networks as address and prefix length (0 to 32 or 128); the address's bits beyond the
    /// length do not matter.
    pub(crate) fn new(networks: &[(IpAddr, u8)]) -> Self {
        let networks = networks
            .iter()
            .map(|(address, length)| {
                let length = match address {
                    IpAddr::V4(_) => 96 + u32::from(*length),
                    IpAddr::V6(_) => u32::from(*length),
                };
                let mask = u128::MAX
                    .checked_shl(128_u32.saturating_sub(length))
                    .unwrap_or(0);
                Network {
                    bits: as_bits(*address) & mask,
                    mask,
                }
            })
            .collect();
        Self { networks }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether an address is in one of the networks.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = as_bits(address);
        self.networks
            .iter()
            .any(|network| address & network.mask == network.bits)
    }
}

fn as_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What clients are told apart by: an IPv4 address, or the first bits of an IPv6 address. Who has an IPv6
/// network has all of its addresses, and would count as a new client with each of them.
pub(crate) fn told_apart(client: IpAddr, ipv6_prefix: impl FnOnce() -> u8) -> [u8; 16] {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let beyond = 128_u32.saturating_sub(u32::from(ipv6_prefix()));
            let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
            (address.to_bits() & mask).to_be_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[(&str, u8)]) -> Networks {
        let list: Vec<_> = list
            .iter()
            .map(|(address, length)| (address.parse().unwrap(), *length))
            .collect();
        Networks::new(&list)
    }

    fn contains(networks: &Networks, peer: &str) -> bool {
        networks.contains(peer.parse().unwrap())
    }

    #[test]
    fn an_empty_list_contains_nobody() {
        assert!(!contains(&Networks::default(), "127.0.0.1"));
        assert!(!contains(&networks(&[]), "::1"));
    }

    #[test]
    fn an_address_is_contained_by_its_first_bits() {
        let trusted = networks(&[("10.1.2.3", 8), ("192.0.2.7", 32), ("2001:db8::", 33)]);
        for yes in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8:7fff::1",
        ] {
            assert!(contains(&trusted, yes), "{yes}");
        }
        for no in [
            "11.0.0.0",
            "192.0.2.6",
            "2001:db8:8000::1",
            "::1",
            "::10.0.0.1",
        ] {
            assert!(!contains(&trusted, no), "{no}");
        }
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_matches_an_ipv4_network() {
        let trusted = networks(&[("10.0.0.0", 8)]);
        assert!(contains(&trusted, "::ffff:10.9.9.9"));
        assert!(!contains(&trusted, "::ffff:11.9.9.9"));
    }

    #[test]
    fn a_length_of_zero_is_the_whole_family() {
        let v4 = networks(&[("0.0.0.0", 0)]);
        assert!(contains(&v4, "203.0.113.9"));
        assert!(!contains(&v4, "2001:db8::1"));
        assert!(contains(&networks(&[("::", 0)]), "2001:db8::1"));
    }
}
