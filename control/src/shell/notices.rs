//! Looks out for files that give notice to workers by being there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use penstock_config::units::parse_duration;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use crate::core::{Event, Key};

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(500);

/// Most of a file that is read: it may hold a duration, and nothing else.
const BYTES_MAX: u64 = 64;

/// What stands for the number of a worker in the name of a file.
const SLOT: &str = "{slot}";

/// Files of one deployment.
type Wanted = (Key, Arc<Path>, Duration);

/// Looks out until dropped.
#[derive(Debug)]
pub(super) struct NoticesGuard(JoinHandle<()>);

impl Drop for NoticesGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to look out for files. Those that are there already, and have been for longer than their notice lasts, are
/// of another time.
pub(super) fn watch(wanted: Vec<Wanted>, events: mpsc::UnboundedSender<Event>) -> NoticesGuard {
    NoticesGuard(tokio::spawn(async move {
        let mut seen = Seen::default();
        loop {
            let all = wanted.clone();
            let look = spawn_blocking(move || {
                let found = seen.look(&all);
                (seen, found)
            });
            let Ok((now_seen, found)) = look.await else {
                return;
            };
            seen = now_seen;
            for event in found {
                if events.send(event).is_err() {
                    // Control is ending.
                    return;
                }
            }
            sleep(EVERY).await;
        }
    }))
}

/// Files that were there at the last look, and when they were written.
#[derive(Debug, Default)]
struct Seen(BTreeMap<PathBuf, SystemTime>);

impl Seen {
    /// What is new.
    fn look(&mut self, wanted: &[Wanted]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut there = BTreeSet::new();
        for (key, path, within) in wanted {
            for (file, slot) in files(path) {
                let Ok(written) = fs::metadata(&file).and_then(|about| about.modified()) else {
                    continue;
                };
                there.insert(file.clone());
                if self.0.insert(file.clone(), written) == Some(written) {
                    continue;
                }
                let age = written.elapsed().unwrap_or_default();
                let left = said(&file).unwrap_or(*within);
                let left = left.saturating_sub(age);
                if left.is_zero() {
                    continue;
                }
                events.push(Event::Noticed {
                    key: key.clone(),
                    slot,
                    within: Some(left),
                });
            }
        }
        self.0.retain(|file, _| there.contains(file));
        events
    }
}

/// The files of a deployment, and whose notice each is.
fn files(path: &Path) -> Vec<(PathBuf, Option<u32>)> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let Some((before, after)) = name.split_once(SLOT) else {
        return vec![(path.to_owned(), None)];
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let name = entry.file_name();
        let slot = name.to_str()?.strip_prefix(before)?.strip_suffix(after)?;
        Some((entry.path(), Some(slot.parse().ok()?)))
    });
    files.collect()
}

/// The time that a file names.
fn said(file: &Path) -> Option<Duration> {
    let mut text = String::new();
    let opened = fs::File::open(file).ok()?;
    opened.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    parse_duration(text.trim())
        .ok()
        .filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_notice_once_and_again_when_it_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key {
            service: "a".try_into().unwrap(),
            deployment: "b".try_into().unwrap(),
        };
        let minute = Duration::from_secs(60);
        let all: Wanted = (key.clone(), folder.path().join("all").into(), minute);
        let each: Wanted = (key, folder.path().join("gone-{slot}.txt").into(), minute);
        let wanted = [all, each];
        let mut seen = Seen::default();
        let mut look = || {
            let events = seen.look(&wanted).into_iter();
            let told = events.map(|event| match event {
                Event::Noticed { slot, within, .. } => (slot, within.unwrap()),
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(look(), []);
        fs::write(folder.path().join("gone-7.txt"), "5m\n").unwrap();
        fs::write(folder.path().join("gone-x.txt"), "").unwrap();
        fs::write(folder.path().join("all"), "soon").unwrap();
        let told = look();
        let slots: Vec<_> = told.iter().map(|(slot, _)| *slot).collect();
        assert_eq!(slots, [None, Some(7)]);
        assert!(told[0].1 <= minute && told[0].1 > minute / 2, "{told:?}");
        assert!(told[1].1 > 4 * minute, "{told:?}");
        assert_eq!(look(), []);
        fs::remove_file(folder.path().join("all")).unwrap();
        assert_eq!(look(), []);
        let file = fs::File::create(folder.path().join("all")).unwrap();
        let long_ago = file.metadata().unwrap().modified().unwrap() - 2 * minute;
        file.set_modified(long_ago).unwrap();
        assert_eq!(look(), [], "it is of another time");
    }
}
