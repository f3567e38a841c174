//! The Unix socket of the admin address.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream as StdStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Its owner and the owner's group may ask.
const MODE: u32 = 0o660;

/// A socket's file, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.0);
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
        Ok(_) => match StdStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        },
    }
    // Under another name until its mode is right: nobody may come in before.
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let new = folder.join(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    let file = SocketFile(new);
    fs::set_permissions(&file.0, fs::Permissions::from_mode(MODE))?;
    fs::rename(&file.0, path)?;
    let mut file = file;
    file.0 = path.to_owned();
    Ok((listener, file))
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
