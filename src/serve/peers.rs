//! Counts the connections of each client, so that no client can have all of them. The limits of tower know no clients.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The clients that are connected, each with the number of its connections.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// A connection of a client, as long as it lasts.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Arc<Peers>,
    client: IpAddr,
}

impl Peers {
    /// Counts a connection; returns `None` if the client has as many as it may have.
    pub(super) fn seat(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Seat> {
        let client = client(address);
        let mut connected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = connected.entry(client).or_default();
        if *count >= most.max(1) {
            return None;
        }
        *count += 1;
        Some(Seat {
            peers: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connected = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connected.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                connected.remove(&self.client);
            }
        }
    }
}

/// Returns the client that an address belongs to: a client with one IPv6 address has all addresses with the same first 64 bits.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        canonical => canonical,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_client_has_so_many_and_gets_them_back() {
        let peers = Arc::new(Peers::default());
        let seat = |address: &str| peers.seat(address.parse().unwrap(), 2);
        let first = seat("192.0.2.1").unwrap();
        let second = seat("::ffff:192.0.2.1").unwrap();
        assert!(seat("192.0.2.1").is_none());
        assert!(seat("192.0.2.2").is_some());
        drop(first);
        let third = seat("192.0.2.1").unwrap();
        let fourth = [seat("2001:db8::1").unwrap(), seat("2001:db8::2").unwrap()];
        assert!(seat("2001:db8::3").is_none());
        assert!(seat("2001:db8:0:1::3").is_some());
        drop((second, third, fourth));
        assert!(peers.0.lock().unwrap().is_empty());
    }
}
