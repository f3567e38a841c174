//! What a worker must not inherit, apart from the environment: see `launch`.

use std::{fs, io, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit of open files that this process was started with, once it is raised.
static OPEN_FILES_BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises our own limit of open files as far as it goes. Workers get the one from before: programs
/// that use `select` or close all descriptors there might be do badly with a high one.
///
/// # Errors
///
/// When the system refuses.
pub fn raise_open_files() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    OPEN_FILES_BEFORE.get_or_init(|| soft);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// The soft limit that workers get; `None` to leave it.
pub(crate) fn open_files_before() -> Option<u64> {
    OPEN_FILES_BEFORE.get().copied()
}

/// Sets our own soft limit, and so that of everything we start.
pub(super) fn limit_open_files(soft: u64) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A limit that cannot be lowered is no reason to start no worker.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
}

/// Closes every descriptor but the standard ones: whatever whoever started this program left open.
/// Must be called before anything is opened.
pub fn close_inherited_descriptors() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    // The list's own descriptor is closed with it, before the rest.
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        let _ = nix::unistd::close(descriptor);
    }
}
