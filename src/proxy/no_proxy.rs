//! The hosts of `no_proxy`, as curl reads it: names with what is below them, addresses, and networks as `10.0.0.0/8`; `*` alone is
//! every host. As some other programs have it, `*.` before a name means what a dot means, and a port behind a name counts.

use std::net::IpAddr;

use crate::uri::Uri;

/// The hosts that are reached without a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Everything,
    /// A host and all below it, in lower case, without a dot at either end.
    Name(String, Option<u16>),
    /// A network: an address, and the number of bits that count.
    Network(IpAddr, u32, Option<u16>),
}

impl NoProxy {
    /// Reads the value of the variable. A part that makes no sense names no host.
    pub fn new(text: &str) -> Self {
        if text == "*" {
            return Self(vec![Entry::Everything]);
        }
        let parts = text.split(|c: char| c == ',' || c.is_whitespace());
        Self(parts.filter_map(Entry::new).collect())
    }

    /// Returns whether a request to this URI goes without a proxy.
    pub fn covers(&self, uri: &Uri) -> bool {
        let host = uri.host().trim_end_matches('.');
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<IpAddr>().ok();
        let is_port = |port: &Option<u16>| port.is_none_or(|port| port == uri.port_in_force());
        self.0.iter().any(|entry| match (entry, address) {
            (Entry::Everything, _) => true,
            (Entry::Name(name, port), None) => {
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && is_port(port)
            }
            (Entry::Network(network, bits, port), Some(address)) => {
                is_within(address, *network, *bits) && is_port(port)
            }
            _ => false,
        })
    }
}

impl Entry {
    fn new(part: &str) -> Option<Self> {
        if let Some((network, bits)) = part.split_once('/') {
            let network: IpAddr = bare(network).parse().ok()?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
            return Some(Self::Network(network, bits, None));
        }
        if let Ok(address) = bare(part).parse() {
            return Some(Self::Network(address, u32::MAX, None));
        }
        let (name, port) = match part.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (part, None),
        };
        if let Ok(address) = bare(name).parse() {
            return Some(Self::Network(address, u32::MAX, port));
        }
        let name = name.strip_prefix("*.").unwrap_or(name);
        let name = name.trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name, port))
    }
}

fn bare(address: &str) -> &str {
    let inner = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    inner.unwrap_or(address)
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |difference: u128, length: u32| {
        let rest = length.saturating_sub(bits);
        rest >= length || difference >> rest == 0
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits() ^ b.to_bits(), 128),
        _ => false,
    }
}
