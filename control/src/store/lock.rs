//! Only one process may use a state file.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use super::StoreError;
use crate::private;

/// The lock beside a state file, let go when dropped or when the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(state: &Path) -> Result<Self, StoreError> {
        let path = beside(state, ".lock");
        let unusable = |error: std::io::Error| StoreError::Unusable {
            path: state.to_owned(),
            reason: match state.parent().filter(|folder| !folder.exists()) {
                Some(folder) => format!("the folder {} does not exist", folder.display()),
                None => error.to_string(),
            },
        };
        // A lock on the file itself would be in SQLite's way.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = private::open(&path, &mut options).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(state.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

/// The file beside a state file whose name ends with `ending`.
pub(super) fn beside(state: &Path, ending: &str) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
