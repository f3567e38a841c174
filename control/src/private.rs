//! Files and folders that nobody but our user may read.
//!
//! What Penstock keeps tells of prompts, hosts and settings, so files have mode 0600 and folders that
//! it makes 0700. A symbolic link in the place of a file is not followed: in a folder that others may
//! write to, it would lead our writing to a file of theirs.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nix::{errno::Errno, fcntl::OFlag};

/// Not through a symbolic link, and without waiting for the other end of a named pipe.
const CAREFULLY: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK);

/// Opens a regular file. One of ours that others may read is closed to them.
///
/// # Errors
///
/// As [`OpenOptions::open`]; and when it is a symbolic link or no regular file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options
        .mode(0o600)
        .custom_flags(CAREFULLY.bits())
        .open(path);
    let file =
        opened.map_err(
            |error| match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::ELOOP => wrong("it is a symbolic link, and none is followed"),
                Errno::ENXIO => wrong("it is not a regular file"),
                _ => error,
            },
        )?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(wrong("it is not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 && is_ours(&metadata) {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Opens a regular file to read it; it keeps its mode.
///
/// # Errors
///
/// As [`File::open`]; and when it is a symbolic link or no regular file.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(CAREFULLY.bits()).open(path);
    let file = opened?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(wrong("it is not a regular file")),
    }
}

/// Makes a folder, with those it is in, for us alone. One that is there already keeps its mode: it may
/// be shared on purpose.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder that must be ours alone, or closes one of ours to others.
///
/// # Errors
///
/// When it cannot be made, is somebody else's, or is a symbolic link.
pub(crate) fn own_folder(path: &Path) -> io::Result<()> {
    make_folder(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Err(wrong("it is not a folder"));
    }
    if !is_ours(&metadata) {
        return Err(wrong("it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw()
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn files_and_folders_are_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        own_folder(&inner).unwrap();
        let old = inner.join("old");
        fs::write(&old, "x").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
        for name in ["old", "new"] {
            let path = inner.join(name);
            open(&path, OpenOptions::new().create(true).append(true)).unwrap();
            assert_eq!(mode(&path), 0o600, "{name}");
        }
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        own_folder(&inner).unwrap();
        assert_eq!(
            (mode(&inner), mode(inner.parent().unwrap())),
            (0o700, 0o700)
        );
    }

    #[test]
    fn neither_links_nor_pipes_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (
            folder.path().join("file"),
            folder.path().join("link"),
            folder.path().join("pipe"),
        );
        fs::write(&file, "theirs").unwrap();
        symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut append = OpenOptions::new();
        append.create(true).append(true);
        for path in [&link, &pipe, &folder.path().to_owned()] {
            assert!(open(path, &mut append).is_err(), "{}", path.display());
        }
        for path in [&link, &pipe] {
            assert!(open_to_read(path).is_err(), "{}", path.display());
        }
        assert!(own_folder(&link).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
    }
}
