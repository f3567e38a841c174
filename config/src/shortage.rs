//! Errors of the system that say nothing about the other side.

use std::io;

use rustix::io::Errno;

/// Whether an error says that something is used up on this machine: descriptors, ports, memory or
/// processes. Whoever met it while it asked something of a worker has learned nothing about the worker.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::MFILE
                | Errno::NFILE
                | Errno::ADDRNOTAVAIL
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::AGAIN
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_here_is_told_from_what_the_other_side_did() {
        let is_shortage = |errno: Errno| is_shortage(&errno.into());
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::AGAIN,
        ] {
            assert!(is_shortage(errno), "{errno}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
        ] {
            assert!(!is_shortage(errno), "{errno}");
        }
    }
}
