//! Who listens on a worker's port.
//!
//! While a model loads its port is free, and any process may take it: it would pass a probe and get
//! the requests of users, with their keys. So the socket that answers must be one that a process of the
//! worker holds: its number stands in `/proc/net/tcp` and, as a link, in `/proc/PID/fd`.

mod sockets;

use std::collections::HashSet;

use penstock_config::{ProcessSpec, Source};

use self::sockets::{Socket, answering, held_by, listening};
use super::{identity::Identity, tree};
use crate::driver::NewWorker;

/// The processes of a worker: its supervisor and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTree(Identity);

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Nobody, as far as the kernel tells.
    Nobody,
    /// The worker, with these sockets.
    Worker(Vec<u64>),
    /// A process that the worker did not start, with this socket.
    Foreign(u64),
}

impl ProcessTree {
    pub(super) fn below(supervisor: Identity) -> Self {
        Self(supervisor)
    }

    /// Whose port it is. `known`: sockets of the worker's that were looked up before.
    pub(crate) fn listener(self, port: u16, known: &[u64]) -> Listener {
        let sockets = answering(&listening(), port);
        if sockets.is_empty() {
            return Listener::Nobody;
        }
        let numbers: Vec<u64> = sockets.iter().map(|socket| socket.number).collect();
        // Numbers of sockets are not used again for a long time.
        if numbers.iter().all(|number| known.contains(number)) {
            return Listener::Worker(numbers);
        }
        let held = self.held();
        let foreign = sockets.iter().find(|socket| !held.has(socket));
        match foreign {
            Some(socket) => Listener::Foreign(socket.number),
            None => Listener::Worker(numbers),
        }
    }

    /// Where the worker listens, whatever its port.
    pub(crate) fn addresses(self) -> Vec<std::net::SocketAddr> {
        let held = self.held();
        let mut addresses: Vec<_> = listening()
            .into_iter()
            .filter(|socket| held.numbers.contains(&socket.number))
            .map(|socket| socket.address)
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    fn held(self) -> Held {
        let living = tree::living();
        let mut held = Held::default();
        if Identity::of(self.0.pid) != Some(self.0) {
            return held;
        }
        for process in tree::descendants(&living, self.0.pid) {
            match held_by(process.pid) {
                Some(numbers) => held.numbers.extend(numbers),
                None => held.closed.extend(sockets::user(process.pid)),
            }
        }
        held
    }
}

/// The sockets of a worker.
#[derive(Default)]
struct Held {
    numbers: HashSet<u64>,
    /// Users of processes that we may not look into, because they run as another user.
    closed: HashSet<u32>,
}

impl Held {
    fn has(&self, socket: &Socket) -> bool {
        self.numbers.contains(&socket.number) || self.closed.contains(&socket.user)
    }
}

/// What people call the process that holds a socket.
pub(crate) fn holder(number: u64) -> String {
    let holder = tree::living().into_iter().find_map(|member| {
        let pid = member.id.pid;
        held_by(pid)?.contains(&number).then(|| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            let name = name.unwrap_or_default();
            format!("process {pid} ({})", name.trim())
        })
    });
    holder.unwrap_or_else(|| "a process of another user".to_owned())
}

/// Whether only the worker may listen on its port.
pub(crate) fn must_be_the_workers(worker: &NewWorker) -> bool {
    matches!(
        &worker.spec.source,
        Source::Process(ProcessSpec {
            allow_foreign_listener: false,
            ..
        })
    )
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn ours() -> Identity {
        Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn a_socket_that_no_process_of_the_tree_holds_is_foreign() {
        // Below this process there is none that listens; the process itself plays the stranger.
        let tree = ProcessTree::below(ours());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let Listener::Foreign(number) = tree.listener(port, &[]) else {
            panic!("{:?}", tree.listener(port, &[]));
        };
        assert!(holder(number).starts_with(&format!("process {} (", std::process::id())));
        assert_eq!(
            tree.listener(port, &[number]),
            Listener::Worker(vec![number])
        );
        drop(listener);
        assert_eq!(tree.listener(port, &[]), Listener::Nobody);
    }

    #[test]
    fn a_worker_is_found_wherever_it_listens() {
        let tree = ProcessTree::below(parent());
        let sockets: Vec<TcpListener> = ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"]
            .iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        let addresses = tree.addresses();
        for socket in &sockets {
            let address: SocketAddr = socket.local_addr().unwrap();
            assert!(addresses.contains(&address), "{address}: {addresses:?}");
            let listener = tree.listener(address.port(), &[]);
            assert!(
                matches!(listener, Listener::Worker(_)),
                "{address}: {listener:?}"
            );
        }
    }

    fn parent() -> Identity {
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        Identity::of(parent).unwrap()
    }
}
