//! A port of its own for every worker.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::net::TcpSocket;

/// Ports are taken from here, below those that the kernel gives to outgoing connections (32768
/// and up): a worker may bind its port minutes after it got it, and the gateway's own connections
/// must not have taken it by then.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Hands out free ports, each again only after all others.
#[derive(Debug)]
pub(crate) struct Ports {
    next: AtomicU16,
}

impl Default for Ports {
    /// Starts at a place that differs between processes.
    fn default() -> Self {
        let start = std::process::id().wrapping_mul(2_654_435_761) % u32::from(COUNT);
        let start = u16::try_from(start).expect("a rest of COUNT fits");
        Self {
            next: AtomicU16::new(start),
        }
    }
}

impl Ports {
    /// A port that nobody uses and nobody else gets until it is dropped. `None` when all are taken.
    pub(crate) fn claim(&self) -> Option<Port> {
        (0..COUNT).find_map(|_| {
            let offset = self.next.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + offset;
            let port = Port::reserve(number)?;
            is_free(number).then_some(port)
        })
    }
}

/// A port kept for one worker; free for others once dropped.
#[derive(Debug)]
pub(crate) struct Port {
    /// Its number.
    pub(crate) number: u16,
    /// Every Penstock of this machine takes the name before it takes the port; the kernel lets go
    /// of it when we end, however we end.
    _name: Option<UnixListener>,
}

impl Port {
    fn reserve(number: u16) -> Option<Self> {
        let name = UnixAddr::from_abstract_name(format!("penstock-port-{number}")).ok()?;
        Some(Self {
            number,
            _name: Some(UnixListener::bind_addr(&name).ok()?),
        })
    }

    /// The port that a worker already has.
    pub(crate) fn reclaim(number: u16) -> Self {
        Self::reserve(number).unwrap_or(Self {
            number,
            _name: None,
        })
    }
}

/// Where a worker with this port listens.
pub(crate) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether a worker could listen there on whatever address. Without `SO_REUSEADDR`, so that
/// ports with remains of old connections do not count as free.
fn is_free(port: u16) -> bool {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpSocket::new_v4().is_ok_and(|socket| socket.bind(any).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::TcpListener};

    use super::*;

    #[test]
    fn no_two_claims_get_the_same_port() {
        let (one, other) = (Ports::default(), Ports::default());
        let claims: Vec<Port> = (0..50)
            .flat_map(|_| [one.claim(), other.claim()])
            .flatten()
            .collect();
        let numbers: HashSet<u16> = claims.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), 100);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let ports = Ports::default();
        let held = ports.claim().unwrap();
        let number = held.number;
        let _listener = TcpListener::bind(address(number)).unwrap();
        drop(held);
        ports.next.store(number - FIRST, Ordering::Relaxed);
        assert_ne!(ports.claim().unwrap().number, number);
    }
}
