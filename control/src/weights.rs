//! The weights of a service's deployments when an operator has set them: they override the file
//! until they are given back to it, also across restarts. Pure and told the time.
//!
//! An override is about the service as a whole: when it is made it names every deployment, those
//! that the operator did not name with the weight they had. A deployment that is added to the file
//! later takes no share before somebody says so; one that is removed drops out. Changes are
//! remembered, so that the last ones can be taken back one after the other.

mod amount;
mod refused;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use penstock_config::{Service, Split};
use serde::{Deserialize, Serialize};

pub(crate) use self::amount::percent;
pub use self::{
    amount::{Amount, Share, Wanted},
    refused::Refused,
};

/// Changes that can be taken back.
const EARLIER_MAX: usize = 20;

/// The largest weight, as in the file.
const WEIGHT_MAX: u32 = 1_000_000;

/// Weights by deployment.
pub type WeightMap = BTreeMap<String, u32>;

/// What operators did to a service's weights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// What is in force; `None`: the file decides, or a rollout.
    by_hand: Option<ByHand>,
    /// What was in force before each of the last changes, the latest at the end.
    earlier: VecDeque<Option<ByHand>>,
    /// Deployments that a rollback took traffic from, until somebody gives them some again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    taken_back: BTreeSet<String>,
}

/// Weights that an operator has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Of every deployment that the service had.
    pub weights: WeightMap,
    /// Who, when and why.
    #[serde(flatten)]
    pub change: Change,
    /// The file's weights at that time, to see whether they change.
    pub file: WeightMap,
}

/// Who changed something, when and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Who, as far as they said.
    pub by: Option<String>,
    /// Why, as far as they said.
    pub reason: Option<String>,
}

impl Weights {
    /// Gives the named deployments what is wanted for them. With weights all are named, as a rule;
    /// with shares those that are not named share the rest as they did by the weights `in_force`.
    ///
    /// # Errors
    ///
    /// When nothing is named, a name or a weight is no good, or nothing would take traffic any more.
    pub fn set(
        &mut self,
        service: &Service,
        wanted: &Wanted,
        in_force: &WeightMap,
        change: Change,
    ) -> Result<(), Refused> {
        is_by_weights(service)?;
        if wanted.is_empty() {
            return Err(Refused::NothingWanted {
                service: service.name.to_string(),
            });
        }
        check(service, wanted)?;
        let weights = amount::weights(service, wanted, in_force)?;
        self.put(service, weights, change)
    }

    /// Gives all traffic to one deployment.
    ///
    /// # Errors
    ///
    /// When there is no such deployment, or it takes no traffic.
    pub fn promote(
        &mut self,
        service: &Service,
        deployment: &str,
        change: Change,
    ) -> Result<(), Refused> {
        is_by_weights(service)?;
        check(
            service,
            &Wanted::from([(deployment.to_owned(), Amount::Weight(100))]),
        )?;
        let own = service.deployments.get(deployment).map(|found| found.tier);
        let weights = service.deployments.iter().map(|(name, found)| {
            let weight = match (&self.by_hand, Some(found.tier) == own) {
                (_, true) => 100 * u32::from(name.as_str() == deployment),
                // Other tiers share what they get as before.
                (Some(by_hand), false) => by_hand.of(name.as_str()),
                (None, false) => found.weight,
            };
            (name.to_string(), weight)
        });
        let weights = weights.collect();
        self.put(service, weights, change)
    }

    /// Gives the service back to the file; whether anything had been set.
    pub fn reset(&mut self) -> bool {
        let was_set = self.by_hand.is_some();
        if was_set {
            self.replace(None);
        }
        was_set
    }

    /// Takes the last change back.
    ///
    /// # Errors
    ///
    /// When nothing was changed, or nothing is left of what was before.
    pub fn roll_back(&mut self, service: &Service, change: Change) -> Result<(), Refused> {
        while let Some(before) = self.earlier.pop_back() {
            let Some(before) = before else {
                if self.by_hand.take().is_some() {
                    return Ok(());
                }
                continue;
            };
            let weights = of_those_there_are(service, &before.weights);
            if takes_traffic(service, &weights) {
                self.by_hand = Some(ByHand {
                    weights,
                    change,
                    file: file(service),
                });
                return Ok(());
            }
        }
        Err(Refused::NothingBefore {
            service: service.name.to_string(),
        })
    }

    /// What an operator has set.
    pub fn by_hand(&self) -> Option<&ByHand> {
        self.by_hand.as_ref()
    }

    /// Whether there is a change to take back.
    pub fn can_roll_back(&self) -> bool {
        self.earlier.iter().any(|before| *before != self.by_hand)
    }

    /// Keeps in mind from whom a rollback took traffic.
    pub fn took_back(&mut self, names: impl IntoIterator<Item = String>) {
        self.taken_back.extend(names);
    }

    /// Somebody gave it traffic, knowing what they do.
    pub fn gave(&mut self, name: &str) {
        self.taken_back.remove(name);
    }

    /// The deployments that a rollback took traffic from and that nobody has given any since.
    pub fn taken_back(&self) -> impl Iterator<Item = &str> {
        self.taken_back.iter().map(String::as_str)
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over other settings: what is not there any more drops out of the override. In words
    /// what became of it.
    pub fn follow(&mut self, service: &Service) -> Vec<Followed> {
        self.taken_back
            .retain(|name| service.deployments.contains_key(name.as_str()));
        let Some(by_hand) = &mut self.by_hand else {
            return Vec::new();
        };
        let kept = of_those_there_are(service, &by_hand.weights);
        let gone = by_hand
            .weights
            .keys()
            .filter(|name| !kept.contains_key(*name));
        let mut followed: Vec<Followed> = gone.cloned().map(Followed::Dropped).collect();
        by_hand.weights = kept;
        if !takes_traffic(service, &by_hand.weights) {
            self.by_hand = None;
            followed.push(Followed::NothingLeft);
        }
        followed
    }

    fn put(
        &mut self,
        service: &Service,
        weights: WeightMap,
        change: Change,
    ) -> Result<(), Refused> {
        if !takes_traffic(service, &weights) {
            return Err(Refused::NoneLeft {
                service: service.name.to_string(),
            });
        }
        if self
            .by_hand
            .as_ref()
            .is_some_and(|known| known.weights == weights)
        {
            return Ok(());
        }
        self.replace(Some(ByHand {
            weights,
            change,
            file: file(service),
        }));
        Ok(())
    }

    fn replace(&mut self, new: Option<ByHand>) {
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier
            .push_back(std::mem::replace(&mut self.by_hand, new));
    }
}

impl ByHand {
    /// The weight of a deployment; 0 for one that was not there when the weights were set.
    pub fn of(&self, deployment: &str) -> u32 {
        self.weights.get(deployment).copied().unwrap_or(0)
    }

    /// Whether the file has other weights now than when these were set.
    pub fn file_changed(&self, service: &Service) -> bool {
        self.file != file(service)
    }
}

/// What a change of the file did to an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// This deployment is not there any more.
    Dropped(String),
    /// None that is left takes traffic, so the file decides again.
    NothingLeft,
}

/// The file's weights.
pub fn file(service: &Service) -> WeightMap {
    let deployments = service.deployments.iter();
    deployments
        .map(|(name, deployment)| (name.to_string(), deployment.weight))
        .collect()
}

/// Where weights have no effect they are not changed.
fn is_by_weights(service: &Service) -> Result<(), Refused> {
    match service.split {
        Split::Workers => Err(Refused::NotByWeights {
            service: service.name.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Rules for what an operator asks for.
fn check(service: &Service, wanted: &Wanted) -> Result<(), Refused> {
    for (name, amount) in wanted {
        let Some(deployment) = service.deployments.get(name.as_str()) else {
            return Err(Refused::NoDeployment {
                service: service.name.to_string(),
                deployment: name.clone(),
                there_are: service
                    .deployments
                    .keys()
                    .map(ToString::to_string)
                    .collect(),
            });
        };
        if let Amount::Weight(weight) = *amount
            && weight > WEIGHT_MAX
        {
            return Err(Refused::TooLarge {
                deployment: name.clone(),
                weight,
                most: WEIGHT_MAX,
            });
        }
        if !amount.is_zero() && !deployment.takes_traffic {
            return Err(Refused::TakesNoTraffic {
                deployment: name.clone(),
            });
        }
    }
    Ok(())
}

fn of_those_there_are(service: &Service, weights: &WeightMap) -> WeightMap {
    let here = weights
        .iter()
        .filter(|(name, _)| service.deployments.contains_key(name.as_str()));
    here.map(|(name, weight)| (name.clone(), *weight)).collect()
}

fn takes_traffic(service: &Service, weights: &WeightMap) -> bool {
    amount::total(service, weights) > 0
}
