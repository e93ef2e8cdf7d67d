//! Which addresses a name may lead to. A granted host's name means its private and loopback addresses too; addresses
//! that serve a machine's own credentials, or no host at all, are never meant by a name. A name that comes from a
//! stranger means public addresses alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why no name may lead here; `None` when one may.
pub fn never_meant(address: IpAddr) -> Option<&'static str> {
    match plain(address) {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

/// Whether an address is one of the internet's, which everybody may reach.
pub fn is_public(address: IpAddr) -> bool {
    let address = plain(address);
    let private = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            // Carriers' own (RFC 6598), protocol assignments, benchmarks, and what is reserved.
            let special = matches!((a, b, c), (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _) | (240..=255, _, _));
            v4.is_private() || v4.is_loopback() || v4.is_documentation() || special
        }
        IpAddr::V6(v6) => {
            let documentation = matches!(v6.segments(), [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
            v6.is_loopback() || v6.is_unique_local() || documentation || v6.segments()[0] & 0xe000 != 0x2000
        }
    };
    !private && never_meant(address).is_none()
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match address {
        _ if address.octets()[0] == 0 => Some("unspecified"),
        _ if address.is_link_local() => Some("link-local, where clouds keep a machine's credentials"),
        AZURE | ALIBABA => Some("a cloud's metadata service"),
        _ if address.is_multicast() || address.is_broadcast() => Some("no one host"),
        _ => None,
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    const AMAZON: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        _ if address.is_unspecified() => Some("unspecified"),
        _ if address.is_unicast_link_local() => Some("link-local, where clouds keep a machine's credentials"),
        AMAZON => Some("a cloud's metadata service"),
        _ if address.is_multicast() => Some("no one host"),
        _ => None,
    }
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, translated (64:ff9b::/96) or 6to4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let joined = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => joined(high, low),
        (0, 0, 0, 0, 0, 0) if high != 0 => joined(high, low),
        (0x2002, ..) => joined(b, c),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_leads_to_the_internet_alone() {
        for (address, public) in [
            ("93.184.216.34", true),
            ("2606:4700::1111", true),
            ("::ffff:93.184.216.34", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.0.7", false),
            ("100.64.0.1", false),
            ("198.18.0.1", false),
            ("192.0.2.1", false),
            ("240.0.0.1", false),
            ("169.254.169.254", false),
            ("::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:0a00:0001::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect(address)), public, "{address}");
        }
    }

    #[test]
    fn a_name_leads_to_hosts_but_never_to_metadata() {
        let cases = [
            ("93.184.216.34", true),
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("192.168.0.7", true),
            ("::1", true),
            ("fd12::1", true),
            ("2606:4700::1111", true),
            ("::ffff:10.0.0.1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("168.63.129.16", false),
            ("100.100.100.200", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00:ec2::254", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:0.0.0.0", false),
            ("::169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("2002:a9fe:a9fe::1", false),
        ];
        for (address, allowed) in cases {
            assert_eq!(never_meant(address.parse().expect(address)).is_none(), allowed, "{address}");
        }
    }
}
