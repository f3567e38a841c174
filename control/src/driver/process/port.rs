//! A port of its own for every worker.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::net::TcpSocket;

use crate::private;

/// Ports are taken from here, below those that the kernel gives to outgoing connections (32768
/// and up): a worker may bind its port minutes after it got it, and the gateway's own connections
/// must not have taken it by then.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Hands out free ports, each again only after all others.
#[derive(Debug)]
pub(crate) struct Ports {
    next: AtomicU16,
    locks: Locks,
}

impl Ports {
    /// Ports that no other Penstock of this user takes either. `state`: a folder of this installation.
    pub(crate) fn new(state: &Path) -> Self {
        // Starts at a place that differs between processes.
        let start = std::process::id().wrapping_mul(2_654_435_761) % u32::from(COUNT);
        let start = u16::try_from(start).expect("a rest of COUNT fits");
        Self {
            next: AtomicU16::new(start),
            locks: Locks::find(state),
        }
    }

    /// A port that nobody uses and nobody else gets until it is dropped. `None` when all are taken.
    pub(crate) fn claim(&self) -> Option<Port> {
        (0..COUNT).find_map(|_| {
            let offset = self.next.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + offset;
            let port = Port {
                number,
                _lock: Some(self.locks.take(number)?),
            };
            is_free(number).then_some(port)
        })
    }

    /// The port that a worker already has.
    pub(crate) fn reclaim(&self, number: u16) -> Port {
        Port {
            number,
            _lock: self.locks.take(number),
        }
    }
}

/// A port kept for one worker; free for others once dropped.
#[derive(Debug)]
pub(crate) struct Port {
    /// Its number.
    pub(crate) number: u16,
    _lock: Option<Lock>,
}

/// Lock files, one for each port that is taken, in a folder that only our user may enter: a name that
/// anybody could take would let anybody stop all starts.
#[derive(Debug)]
struct Locks {
    /// `None`: there is no such folder, and only whether a port is in use is known.
    folder: Option<PathBuf>,
}

impl Locks {
    /// In the folder that all programs of our user share for such things, or else with the state.
    fn find(state: &Path) -> Self {
        let user = nix::unistd::geteuid();
        let set = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let usual = if user.is_root() {
            PathBuf::from("/run")
        } else {
            PathBuf::from(format!("/run/user/{user}"))
        };
        let shared = set.into_iter().chain([usual]);
        let shared = shared.filter(|folder| folder.is_absolute() && folder.is_dir());
        let candidates = shared
            .map(|folder| folder.join("penstock/ports"))
            .chain([state.join(".penstock-ports")]);
        let folder = candidates
            .into_iter()
            .find(|folder| private::own_folder(folder).is_ok());
        if folder.is_none() {
            tracing::warn!(
                "no folder for lock files can be made: two Penstocks may give out the same port"
            );
        }
        Self { folder }
    }

    /// The lock of a port; `None` when another worker has it.
    fn take(&self, number: u16) -> Option<Lock> {
        let Some(folder) = &self.folder else {
            return Some(Lock {
                path: None,
                _file: None,
            });
        };
        let path = folder.join(number.to_string());
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let Ok(file) = private::open(&path, &mut options) else {
            // What stands in the way of one file is no reason to start nothing: `is_free` remains.
            return Some(Lock {
                path: None,
                _file: None,
            });
        };
        match file.try_lock() {
            Ok(()) => is_still(&path, &file).then(|| Lock {
                path: Some(path),
                _file: Some(file),
            }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(Lock {
                path: None,
                _file: None,
            }),
        }
    }
}

/// Whether `path` is the file that was locked: whoever had it before may have removed it meanwhile.
fn is_still(path: &Path, file: &File) -> bool {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (by_name, locked) = (fs::symlink_metadata(path), file.metadata());
    matches!((by_name.map(of), locked.map(of)), (Ok(by_name), Ok(locked)) if by_name == locked)
}

/// The lock of one port. The kernel lets go of it when we end, however we end; the file that stays
/// then is locked again by whoever takes the port next.
#[derive(Debug)]
struct Lock {
    path: Option<PathBuf>,
    _file: Option<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Still locked, so that it is ours; see `is_still`.
            let _ = fs::remove_file(path);
        }
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
    use std::{
        collections::HashSet,
        net::TcpListener,
        os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr as UnixAddr, UnixListener},
        },
    };

    use super::*;

    fn ports(folder: &Path) -> Ports {
        let locks = folder.join("locks");
        private::own_folder(&locks).unwrap();
        Ports {
            locks: Locks {
                folder: Some(locks),
            },
            ..Ports::new(folder)
        }
    }

    #[test]
    fn no_two_claims_get_the_same_port() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (ports(folder.path()), ports(folder.path()));
        let claims: Vec<Port> = (0..50)
            .flat_map(|_| [one.claim(), other.claim()])
            .flatten()
            .collect();
        let numbers: HashSet<u16> = claims.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), 100);
        drop(claims);
        let left = fs::read_dir(folder.path().join("locks")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let ports = ports(folder.path());
        let held = ports.claim().unwrap();
        let number = held.number;
        let _listener = TcpListener::bind(address(number)).unwrap();
        drop(held);
        ports.next.store(number - FIRST, Ordering::Relaxed);
        assert_ne!(ports.claim().unwrap().number, number);
    }

    #[test]
    fn a_file_that_a_crash_left_behind_and_a_name_of_others_stop_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let ports = ports(folder.path());
        let number = ports.claim().unwrap().number;
        fs::write(folder.path().join("locks").join(number.to_string()), "").unwrap();
        let name = UnixAddr::from_abstract_name(format!("penstock-port-{number}")).unwrap();
        let _theirs = UnixListener::bind_addr(&name).unwrap();
        ports.next.store(number - FIRST, Ordering::Relaxed);
        assert_eq!(ports.claim().unwrap().number, number);
    }
}
