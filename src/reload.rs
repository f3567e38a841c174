//! Noticing that the configuration file may have changed.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Editors and Kubernetes change several files in a row; this long after the last change all is read.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches the folders of configuration files. Folders, because a file that is replaced by another
/// (as editors and Kubernetes' symbolic links do) takes the watch on itself with it.
pub(crate) struct FileWatch {
    changes: mpsc::Receiver<()>,
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// Names of the file itself, and of certificates, keys and links to them.
    names: Arc<Mutex<BTreeSet<OsString>>>,
    /// Something changed that was not told yet.
    pending: bool,
}

impl FileWatch {
    /// Watches the folder of this file and those it includes files from.
    pub(crate) fn start(file: &Path) -> anyhow::Result<Self> {
        // One place is enough: a change that waits covers those that come meanwhile.
        let (notice, changes) = mpsc::channel(1);
        let names = Arc::<Mutex<BTreeSet<OsString>>>::default();
        let known = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = event.is_ok_and(|event| {
                !event.kind.is_access()
                    && event.paths.iter().any(|path| {
                        may_be_configuration(path, &known.lock().expect("nothing panics with it"))
                    })
            });
            if matters {
                let _ = notice.try_send(());
            }
        })
        .context("cannot watch files")?;
        let mut watch = Self {
            changes,
            watcher,
            folders: BTreeSet::new(),
            names,
            pending: false,
        };
        watch.follow(file)?;
        Ok(watch)
    }

    /// Watches what the file includes and names now.
    pub(crate) fn follow(&mut self, file: &Path) -> anyhow::Result<()> {
        let mut folders = penstock_config::watched_folders(file);
        let files = penstock_config::watched_files(file);
        let parents = files.iter().filter_map(|file| file.parent());
        // A certificate that is not there is an error of the configuration, which may lie anywhere.
        folders.extend(parents.filter(|folder| folder.is_dir()).map(Path::to_owned));
        // By one name each: a watch that is taken back would end the other one's too.
        let one_name = |folder: PathBuf| folder.canonicalize().unwrap_or(folder);
        let folders: BTreeSet<_> = folders.into_iter().map(one_name).collect();
        let names = files.iter().map(PathBuf::as_path).chain([file]);
        *self.names.lock().expect("nothing panics with it") = names
            .filter_map(|file| file.file_name().map(OsStr::to_owned))
            .collect();
        for gone in self.folders.difference(&folders) {
            // A folder that was removed has taken its watch along.
            let _ = self.watcher.unwatch(gone);
        }
        for new in folders.difference(&self.folders) {
            self.watcher
                .watch(new, RecursiveMode::NonRecursive)
                .with_context(|| format!("cannot watch {}", new.display()))?;
        }
        self.folders = folders;
        Ok(())
    }

    /// Returns after something changed and nothing changed any more for a moment. What changed
    /// need not be this configuration. Can be cancelled and called again; no change gets lost.
    pub(crate) async fn changed(&mut self) {
        while !self.pending {
            if self.changes.recv().await.is_none() {
                return std::future::pending().await;
            }
            self.pending = true;
        }
        while tokio::time::timeout(SETTLE, self.changes.recv())
            .await
            .is_ok_and(|change| change.is_some())
        {}
        self.pending = false;
    }
}

/// The file itself, other TOML files, certificates and keys, and the hidden links through which
/// Kubernetes swaps a folder of them. The state file may lie in the same folder and changes all the time.
fn may_be_configuration(path: &Path, names: &BTreeSet<OsString>) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let text = name.to_string_lossy();
    names.contains(name) || text.ends_with(".toml") || text.starts_with("..")
}
