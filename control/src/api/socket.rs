//! The Unix socket of the admin address.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr},
};
use tokio::net::UnixListener;

/// Its owner and the owner's group may ask.
const MODE: u32 = 0o660;

/// A socket's file, removed when dropped unless another one stands in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// What tells it from others: a file that is made later may have its inode, but not its time too.
    is: Option<Is>,
}

type Is = (u64, u64, i64, i64);

/// What tells the file at this path from others.
fn which(path: &Path) -> Option<Is> {
    let there = fs::symlink_metadata(path).ok()?;
    Some((there.dev(), there.ino(), there.ctime(), there.ctime_nsec()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is.is_some() && which(&self.path) == self.is {
            // Somebody may have removed it just now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`. What an earlier run left there is replaced.
///
/// # Errors
///
/// When somebody listens there, when something else is there, or when no socket can be made there.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => {
            let why = "something that is no socket is there already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Ok(_) if !is_left_behind(path)? => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => {}
    }
    // Under another name until its mode is right: nobody may come in before.
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let new = folder.join(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    let placed = fs::set_permissions(&new, fs::Permissions::from_mode(MODE))
        .and_then(|()| fs::rename(&new, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    let file = SocketFile {
        path: path.to_owned(),
        is: which(path),
    };
    Ok((listener, file))
}

/// Whether nobody has this socket open any more. A listener whose queue is full does not answer, but refuses
/// nobody.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let refused = socket::connect(probe.as_raw_fd(), &UnixAddr::new(path)?);
    Ok(refused == Err(Errno::ECONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_dead_run_left_is_replaced_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, file) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        // As after kill -9.
        std::mem::forget(file);
        assert!(path.exists());
        let (_listener, file) = bind(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_socket_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy.sock");
        let (listener, file) = bind(&path).unwrap();
        let mut full = Vec::new();
        // Until its queue is full: a further one would have to wait.
        for _ in 0..10_000 {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let one = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
            if socket::connect(one.as_raw_fd(), &UnixAddr::new(&path).unwrap()).is_err() {
                break;
            }
            full.push(one);
        }
        assert!(full.len() < 10_000);
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        fs::remove_file(&path).unwrap();
        let (_other, _its) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "the file of the next run is removed");
        let datagrams = folder.path().join("datagrams.sock");
        let _open = std::os::unix::net::UnixDatagram::bind(&datagrams).unwrap();
        assert_eq!(
            bind(&datagrams).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[tokio::test]
    async fn no_other_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert_eq!(
            bind(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(bind(&folder.path().join("none/admin.sock")).is_err());
    }
}
