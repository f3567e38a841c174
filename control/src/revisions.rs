//! Revisions of a deployment's workers, and what operators ask of them: each change of what starts a
//! worker is a numbered revision that never changes again. Pure and told the time.
//!
//! Revisions come from the file alone, so the newest is always what the file says. An operator may switch
//! to an older one that is kept; that holds until they switch again, or until the file says something new.
//! What a revision runs is kept sealed, because commands and environments hold secrets; for people there
//! is the difference to the revision before, which names what changed and tells no secret.

mod difference;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::{ContainerSpec, Deployment, ProcessSpec, Source};
use serde::{Deserialize, Serialize};

use crate::{secret::SecretKey, weights::Change};

/// Revisions kept of a deployment, besides those that are in use.
pub const REVISIONS_MAX: usize = 20;

/// Restarts are told from one another by what stands after this in the text of a worker's revision.
const RESTART_MARK: char = '~';

/// How a configuration came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It was read when Penstock started.
    Start,
    /// The file changed.
    File,
    /// Penstock was asked to read it, by a signal.
    Signal,
    /// Penstock was asked to read it, over the admin API.
    Api,
}

/// Who brought a configuration, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// How.
    pub via: Via,
    /// Who, as far as they say.
    pub by: Option<String>,
    /// Why, as far as they say.
    pub reason: Option<String>,
}

impl Origin {
    /// Nobody says who or why.
    pub fn of(via: Via) -> Self {
        Self {
            via,
            by: None,
            reason: None,
        }
    }
}

/// One revision.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts from 1.
    pub number: u64,
    /// What tells what it runs from what others run.
    pub digest: String,
    /// How it came.
    pub via: Via,
    /// When, by whom and why.
    #[serde(flatten)]
    pub change: Change,
    /// What is not as in the revision before, without secrets.
    pub difference: Vec<String>,
    /// What it runs.
    sealed: String,
}

/// A revision that an operator switched to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// Which.
    pub number: u64,
    /// When, by whom and why.
    #[serde(flatten)]
    pub change: Change,
}

/// A count of workers that an operator set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// How many.
    pub workers: u32,
    /// When, by whom and why.
    #[serde(flatten)]
    pub change: Change,
}

/// An update that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updating {
    /// The revision that served before, if it is known.
    pub from: Option<u64>,
    /// Whether it replaces workers by others that run the same.
    #[serde(default)]
    pub is_restart: bool,
    /// When it began: milliseconds since 1970.
    pub began_ms: u64,
    /// Why it stopped, if it did.
    pub stopped: Option<Stopped>,
}

/// Why and when an update stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// In words.
    pub why: String,
}

/// All that is remembered of the revisions of one deployment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// Oldest first; the last one is what the file says.
    revisions: Vec<Arc<Revision>>,
    /// The one in force, where that is not the file's.
    pub switched: Option<Switched>,
    /// How many workers there are to be, whatever the rules say.
    pub scaled: Option<Scaled>,
    /// How often the workers were restarted.
    restarts: u64,
    /// Workers that were told to end, by identity.
    pub drained: BTreeMap<String, Change>,
    /// The update that is under way or has stopped.
    pub update: Option<Updating>,
}

/// What a revision runs, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Runs {
    Process(ProcessSpec),
    Container(ContainerSpec),
}

impl Runs {
    fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Process(spec) => Some(Self::Process(spec.clone())),
            Source::Container(spec) => Some(Self::Container(spec.clone())),
            Source::Static(_) => None,
        }
    }
}

impl From<Runs> for Source {
    fn from(runs: Runs) -> Self {
        match runs {
            Runs::Process(spec) => Self::Process(spec),
            Runs::Container(spec) => Self::Container(spec),
        }
    }
}

impl Course {
    /// All that are kept, oldest first.
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.revisions.iter().map(|revision| &**revision)
    }

    /// What the file says.
    pub fn of_file(&self) -> Option<&Revision> {
        self.revisions.last().map(|revision| &**revision)
    }

    /// The one with this number.
    pub fn get(&self, number: u64) -> Option<&Revision> {
        self.revisions().find(|revision| revision.number == number)
    }

    /// The one that is in force.
    pub fn in_force(&self) -> Option<&Revision> {
        let switched = self.switched.as_ref();
        let switched = switched.and_then(|switched| self.get(switched.number));
        switched.or_else(|| self.of_file())
    }

    /// What the file says is taken in; the new revision, if it is one. What an operator switched to
    /// gives way to it.
    pub fn follow(
        &mut self,
        spec: &Deployment,
        digest: &str,
        key: &SecretKey,
        origin: &Origin,
        at_ms: u64,
    ) -> Option<&Revision> {
        let before = self.of_file();
        if before.is_some_and(|before| before.digest == digest) {
            return None;
        }
        let runs = Runs::of(&spec.source)?;
        let difference = match before {
            None => Vec::new(),
            Some(before) => match before.open(key) {
                Some(source) => difference::between(&source, &spec.source),
                None => vec!["what revision it follows cannot be read".to_owned()],
            },
        };
        let number = before.map_or(1, |before| before.number + 1);
        let text = serde_json::to_string(&runs).expect("names and numbers are JSON");
        self.switched = None;
        self.revisions.push(Arc::new(Revision {
            number,
            digest: digest.to_owned(),
            via: origin.via,
            change: Change {
                at_ms,
                by: origin.by.clone(),
                reason: origin.reason.clone(),
            },
            difference,
            sealed: key.seal(&text),
        }));
        self.forget_old();
        self.of_file()
    }

    /// The oldest go when there are too many, but none that is in force or that an update comes from.
    fn forget_old(&mut self) {
        let in_use = |number| {
            let from = self.update.as_ref().and_then(|update| update.from);
            let in_force = self.in_force().map(|revision| revision.number);
            from == Some(number) || in_force == Some(number)
        };
        let mut surplus = self.revisions.len().saturating_sub(REVISIONS_MAX);
        let all = self.revisions.iter();
        let kept: Vec<_> = all
            .filter(|revision| {
                let goes = surplus > 0 && !in_use(revision.number);
                surplus -= usize::from(goes);
                !goes
            })
            .cloned()
            .collect();
        self.revisions = kept;
    }

    /// From now on workers are others than those that run, although they run the same.
    pub fn restart(&mut self) {
        self.restarts += 1;
    }

    /// The text by which workers of this digest are known.
    pub fn text(&self, digest: &str) -> Arc<str> {
        match self.restarts {
            0 => digest.into(),
            restarts => format!("{digest}{RESTART_MARK}{restarts}").into(),
        }
    }

    /// The number of what a worker with this text runs, if it is kept. The newest of several that run the
    /// same, but that in force before all.
    pub fn number_of(&self, text: &str) -> Option<u64> {
        let digest = digest_of(text);
        let in_force = self.in_force().into_iter();
        let mut found = in_force.chain(self.revisions().rev());
        found
            .find(|revision| revision.digest == digest)
            .map(|revision| revision.number)
    }
}

impl Revision {
    /// What it runs; `None` when that cannot be read, as after the key of the installation was lost, or
    /// when another version of Penstock wrote it.
    pub fn open(&self, key: &SecretKey) -> Option<Source> {
        let text = key.open(&self.sealed)?;
        let runs: Runs = serde_json::from_str(&text).ok()?;
        Some(runs.into())
    }
}

/// The digest in the text of a worker's revision.
pub(crate) fn digest_of(text: &str) -> &str {
    text.split(RESTART_MARK).next().unwrap_or(text)
}
