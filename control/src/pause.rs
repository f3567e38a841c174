//! Services and deployments that an operator has stopped, for a while or until further notice. Pure
//! and told the time.
//!
//! A pause of a service holds for all its deployments, also for those that come later; a pause of a
//! deployment for that one. Both may stand at the same time, and each is resumed, or ends, by itself:
//! a deployment works again when neither is left.

mod expiry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use penstock_config::{DeploymentName, Service};
use serde::{Deserialize, Serialize};

pub use self::expiry::Expiry;
pub(crate) use self::expiry::at;
use crate::weights::{Change, Refused};

/// What is paused of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pauses {
    whole: Option<Pause>,
    deployments: BTreeMap<String, Pause>,
}

/// One pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began: milliseconds since 1970. Another reason or expiry does not begin it anew.
    pub since_ms: u64,
    /// When it ends by itself: milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Who asked for it as it is now, when and why.
    #[serde(flatten)]
    pub change: Change,
}

/// A pause that has ended, and what it was of: a deployment, or the whole service.
pub type Ended = (Option<String>, Pause);

impl Pauses {
    /// Pauses the service, or one deployment. Gives the pause that this one replaces.
    ///
    /// # Errors
    ///
    /// When there is no such deployment.
    pub fn pause(
        &mut self,
        service: &Service,
        of: Option<&str>,
        until_ms: Option<u64>,
        change: Change,
    ) -> Result<Option<Pause>, Refused> {
        check(service, of)?;
        let known = self.own(of);
        let pause = Pause {
            since_ms: known.map_or(change.at_ms, |known| known.since_ms),
            until_ms,
            change,
        };
        Ok(match of {
            None => self.whole.replace(pause),
            Some(name) => self.deployments.insert(name.to_owned(), pause),
        })
    }

    /// Takes back the pause of the service, or that of one deployment. Gives it if there was one.
    ///
    /// # Errors
    ///
    /// When there is no such deployment.
    pub fn resume(
        &mut self,
        service: &Service,
        of: Option<&str>,
    ) -> Result<Option<Pause>, Refused> {
        check(service, of)?;
        Ok(match of {
            None => self.whole.take(),
            Some(name) => self.deployments.remove(name),
        })
    }

    /// The pause of the whole service, or that of one deployment itself.
    pub fn own(&self, of: Option<&str>) -> Option<&Pause> {
        match of {
            None => self.whole.as_ref(),
            Some(name) => self.deployments.get(name),
        }
    }

    /// What keeps a deployment from working: of its own pause and that of its service the one that
    /// lasts longer.
    pub fn of(&self, deployment: &str) -> Option<&Pause> {
        let own = self.own(Some(deployment));
        let both = self.whole.iter().chain(own);
        // The first of equals, hence the other way round.
        both.rev().max_by_key(|pause| pause.lasts())
    }

    /// Takes out what has ended by `wall_ms`.
    pub fn take_ended(&mut self, wall_ms: u64) -> Vec<Ended> {
        let is_over = |pause: &Pause| pause.until_ms.is_some_and(|until| until <= wall_ms);
        let whole = self.whole.take_if(|pause| is_over(pause));
        let mut ended: Vec<Ended> = whole.map(|pause| (None, pause)).into_iter().collect();
        self.deployments.retain(|name, pause| {
            let over = is_over(pause);
            if over {
                ended.push((Some(name.clone()), pause.clone()));
            }
            !over
        });
        ended
    }

    /// When the next one ends by itself: milliseconds since 1970.
    pub fn next_end_ms(&self) -> Option<u64> {
        let all = self.whole.iter().chain(self.deployments.values());
        all.filter_map(|pause| pause.until_ms).min()
    }

    /// Forgets the pauses of deployments that are not configured any more; their names.
    pub fn follow(&mut self, service: &Service) -> Vec<String> {
        let mut gone = Vec::new();
        self.deployments.retain(|name, _| {
            let here = service.deployments.contains_key(name.as_str());
            if !here {
                gone.push(name.clone());
            }
            here
        });
        gone
    }

    /// Whether nothing is paused.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Pause {
    /// Why, for clients: in the operator's words if there are any.
    pub fn reason(&self) -> &str {
        let reason = self.change.reason.as_deref();
        reason.unwrap_or("paused by the operator")
    }

    /// Until when, by whom and why, for operators: follows on "paused".
    pub fn about(&self) -> String {
        let mut text = String::new();
        if let Some(until) = self.until_ms {
            text += &format!(" until {}", expiry::time(until));
        }
        if let Some(by) = &self.change.by {
            text += &format!(" by {by}");
        }
        if let Some(reason) = &self.change.reason {
            text += &format!(": {reason}");
        }
        text
    }

    /// For comparing: without an end it lasts longest.
    fn lasts(&self) -> u64 {
        self.until_ms.unwrap_or(u64::MAX)
    }
}

/// Whether there is what is asked about.
pub(crate) fn check(service: &Service, of: Option<&str>) -> Result<(), Refused> {
    let names = || service.deployments.keys().map(DeploymentName::as_str);
    match of {
        Some(wanted) if !names().any(|name| name == wanted) => Err(Refused::NoDeployment {
            service: service.name.to_string(),
            deployment: wanted.to_owned(),
            there_are: names().map(str::to_owned).collect(),
        }),
        _ => Ok(()),
    }
}
