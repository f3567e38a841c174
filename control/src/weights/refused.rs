//! Why weights stay as they are.

use crate::explain::Unknown;

/// Why a change of weights, of a rollout, of a pause or of workers was not made. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// No such service.
    #[error(transparent)]
    NoService(#[from] Unknown),
    /// No deployment is named, so that nothing would change but who decides.
    #[error("no deployment is named: which of {service} is to have which weight?")]
    NothingWanted {
        /// The service.
        service: String,
    },
    /// No such deployment.
    #[error("{service} has no deployment {deployment}; there are: {}", there_are.join(", "))]
    NoDeployment {
        /// The service.
        service: String,
        /// What was asked for.
        deployment: String,
        /// Its deployments.
        there_are: Vec<String>,
    },
    /// The deployment is kept out of the split.
    #[error(
        "{deployment} is kept out of the split (takes_traffic = false); only its own URL leads there"
    )]
    TakesNoTraffic {
        /// The deployment.
        deployment: String,
    },
    /// A weight is out of range.
    #[error("weight {weight} of {deployment}: must be at most {most}")]
    TooLarge {
        /// The deployment.
        deployment: String,
        /// What was asked for.
        weight: u32,
        /// The largest weight.
        most: u32,
    },
    /// A bare number where not all deployments are named: it could be meant in percent.
    #[error(
        "{deployment}={number} could mean two things: {number} % of the traffic is {deployment}={number}%; as a weight beside the others' it is {percent:.2} % of it, and then all are to be named: {all}"
    )]
    WeightOrShare {
        /// The deployment.
        deployment: String,
        /// What was asked for.
        number: u32,
        /// What the number would come to as a weight.
        percent: f64,
        /// The weights that would then hold, as on the command line.
        all: String,
    },
    /// Percents beside bare numbers.
    #[error("give either shares (stable=90% canary=10%) or weights (stable=9 canary=1), not both")]
    SharesAndWeights,
    /// Shares of more than there is, or of all deployments but not of all the traffic.
    #[error(
        "the shares add up to {sum} %{}", if *all_named { ", and no deployment is left for the rest: must be 100 %" } else { ": must be at most 100 %" }
    )]
    SharesDoNotAddUp {
        /// In percent.
        sum: f64,
        /// Whether every deployment that takes traffic has one.
        all_named: bool,
    },
    /// None of the deployments that are left has traffic now, so there is no proportion to keep.
    #[error("none of {} has traffic now: say which of them gets how much of the rest", others.join(", "))]
    WhoGetsTheRest {
        /// Those that are not named.
        others: Vec<String>,
    },
    /// What was taken back would get more of the traffic again.
    #[error("{deployment} would get {after:.2} % of the traffic instead of {before:.2} %, although {why}; nothing has changed. {}", remedy(*has_rollout, service, deployment))]
    RaisesTakenBack {
        /// The service.
        service: String,
        /// The deployment.
        deployment: String,
        /// Its share now, in percent.
        before: f64,
        /// Its share then, in percent.
        after: f64,
        /// Why it was taken back.
        why: String,
        /// Whether it has a rollout, which could begin again.
        has_rollout: bool,
    },
    /// All weights would be 0.
    #[error("no deployment of {service} would take traffic: at least one weight must be above 0")]
    NoneLeft {
        /// The service.
        service: String,
    },
    /// The split does not look at weights.
    #[error(
        "{service} is split by its ready workers (split = \"workers\"), where weights have no effect"
    )]
    NotByWeights {
        /// The service.
        service: String,
    },
    /// Nothing to take back.
    #[error("there is no change of {service}'s weights to take back")]
    NothingBefore {
        /// The service.
        service: String,
    },
    /// No deployment with a rollout.
    #[error("no deployment of {service} has a rollout")]
    NoRollout {
        /// The service.
        service: String,
    },
    /// Another deployment has the rollout.
    #[error("{deployment} has no rollout; {rolling} has")]
    OtherRollout {
        /// What was asked for.
        deployment: String,
        /// The one with the rollout.
        rolling: String,
    },
    /// The rollout is not where it would have to be.
    #[error("the rollout of {deployment} {state}")]
    WrongStage {
        /// The deployment.
        deployment: String,
        /// Where it is.
        state: &'static str,
    },
    /// A pause would end at no good time.
    #[error("expires: {0}")]
    Expires(String),
    /// There is nothing of workers to change where these are given by address.
    #[error("the workers of {target} are given by address: Penstock neither starts nor ends them")]
    GivenWorkers {
        /// The service or deployment.
        target: String,
    },
    /// Several deployments could be meant.
    #[error("{service} has several deployments: name one of {}", there_are.iter().map(|name| format!("{service}/{name}")).collect::<Vec<_>>().join(", "))]
    WhichDeployment {
        /// The service.
        service: String,
        /// Its deployments.
        there_are: Vec<String>,
    },
    /// No such revision is kept.
    #[error(
        "{deployment} has no revision {number}; there are: {}",
        listed(there_are)
    )]
    NoRevision {
        /// The deployment.
        deployment: String,
        /// What was asked for.
        number: u64,
        /// Those that are kept.
        there_are: Vec<u64>,
    },
    /// What a revision runs cannot be read any more.
    #[error(
        "what revision {number} of {deployment} runs cannot be read any more: the key beside the state file is another one now, or another version of Penstock wrote it; write it into the file again"
    )]
    RevisionLost {
        /// The deployment.
        deployment: String,
        /// What was asked for.
        number: u64,
    },
    /// No workers at all are not a count to be set.
    #[error(
        "0 workers are not for `scale`: penstock pause {deployment} stops it and answers its requests; with min = 0 it goes to zero by itself"
    )]
    ScaleToNothing {
        /// The deployment.
        deployment: String,
    },
    /// More workers than the file allows.
    #[error(
        "{workers} workers of {deployment}: at most {max} are allowed (scaling.max in the file)"
    )]
    AboveMax {
        /// The deployment.
        deployment: String,
        /// What was asked for.
        workers: u32,
        /// The largest count.
        max: u32,
    },
    /// No such worker.
    #[error("{deployment} has no worker {slot}; {}", if there_are.is_empty() { "it has none".to_owned() } else { format!("there are: {}", listed(there_are)) })]
    NoWorker {
        /// The deployment.
        deployment: String,
        /// Its number.
        slot: u32,
        /// The numbers of those that are there.
        there_are: Vec<u32>,
    },
    /// Weights set by hand stand above the rollout.
    #[error(
        "the weights of {service} are set by hand, and the rollout rests until they are given back: penstock weights {service} --reset"
    )]
    SetByHand {
        /// The service.
        service: String,
    },
}

impl Refused {
    /// Whether something that was named does not exist.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::NoService(_)
                | Self::NoRollout { .. }
                | Self::NoRevision { .. }
                | Self::NoWorker { .. }
        )
    }

    /// Whether the same could be done at another time; otherwise it must be asked differently.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::NotByWeights { .. }
                | Self::NothingBefore { .. }
                | Self::WrongStage { .. }
                | Self::SetByHand { .. }
                | Self::GivenWorkers { .. }
                | Self::RevisionLost { .. }
                | Self::RaisesTakenBack { .. }
        )
    }
}

/// Numbers for people.
fn listed(numbers: &[impl ToString]) -> String {
    let each: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    each.join(", ")
}

/// What whoever wants it all the same can do.
fn remedy(has_rollout: bool, service: &str, deployment: &str) -> String {
    let force = "--force (in the API \"force\": true) does it all the same";
    if has_rollout {
        format!("{force}; penstock rollout {service} {deployment} --restart begins its steps again")
    } else {
        force.to_owned()
    }
}
