//! How things are, for the API and `penstock status`.

use std::borrow::Cow;

use penstock_config::Config;
use serde::{Deserialize, Serialize};

pub use self::certificates::CertificateStatus;
pub use self::class_and_mirror::{ClassStatus, MirrorStatus};
pub(crate) use self::class_and_mirror::{classes, mirror};
pub use self::gpus::{GpuGroupStatus, GpuStatus};
pub use self::insight::{Percentiles, RecentStatus, RequestStatus, RequestsStatus};
pub use self::pause::{DeploymentPause, PauseStatus, PausedStatus};
pub use self::revisions::{
    DeploymentRevisions, OverrideStatus, RevisionStatus, RevisionsStatus, UpdateStatus,
};
pub(crate) use self::settings::describe as describe_settings;
pub(crate) use self::tiers_and_cost::overflow;
pub use self::tiers_and_cost::{CostStatus, OverflowStatus};
pub use self::tokens::TokenStatus;
pub use self::traffic::{
    ByHandStatus, DeploymentWeight, RolloutStatus, WeightsChange, WeightsStatus,
};
use crate::{remembered::JournalEntry, secret::SecretKey};

mod certificates;
mod class_and_mirror;
mod gpus;
mod insight;
mod pause;
mod revisions;
mod settings;
mod tiers_and_cost;
mod tokens;
mod traffic;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Generation of the newest snapshot.
    pub generation: u64,
    /// The lowest generation that a live gateway obeys; absent when none reports.
    pub gateway_generation: Option<u64>,
    /// Why what operators do is not remembered at the moment, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_failure: Option<String>,
    /// About the configuration.
    pub config: ConfigStatus,
    /// The GPUs by group, the cheapest first, and who has them.
    #[serde(default)]
    pub gpus: Vec<GpuGroupStatus>,
    /// Every service by name.
    pub services: Vec<ServiceStatus>,
}

impl Status {
    /// Leaves out what is about services of which `sees` says no.
    pub(crate) fn keep_only(&mut self, sees: impl Fn(&str) -> bool) {
        self.services.retain(|service| sees(&service.name));
        self.gpus.retain_mut(|group| group.keep_only(&sees));
        // Errors and certificates of the configuration are about all services.
        self.config.last_error = None;
        self.config.certificates.clear();
    }
}

/// About the configuration in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Equal for equal configurations of one build and one installation of penstock.
    pub hash: String,
    /// When it was loaded: milliseconds since 1970.
    pub loaded_at_ms: u64,
    /// Why the last attempt to load another one failed.
    pub last_error: Option<String>,
    /// The certificates of its listeners.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
}

impl ConfigStatus {
    pub(crate) fn loaded(config: &Config, key: &SecretKey, at_ms: u64) -> Self {
        // Under a key: there are secrets in the configuration, and who sees the hash could try out what
        // they may be.
        let mut hash = key.digest(&format!("{config:?}"));
        hash.truncate(16);
        Self {
            hash,
            loaded_at_ms: at_ms,
            last_error: None,
            certificates: certificates::certificates(config),
        }
    }

    /// As it is at this time.
    pub(crate) fn at(&self, wall_ms: u64) -> Self {
        let certificates = self.certificates.iter();
        Self {
            certificates: certificates.map(|one| one.at(wall_ms)).collect(),
            ..self.clone()
        }
    }
}

/// One service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Host names that lead to it.
    pub hosts: Vec<String>,
    /// Whether it is no longer configured and only finishes what it has.
    pub removed: bool,
    /// What it is set to do with its traffic, in words.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Weights that were set by hand and override the file.
    pub by_hand: Option<ByHandStatus>,
    /// The pause of all of it.
    #[serde(default)]
    pub paused: Option<PausedStatus>,
    /// Its classes of requests by name, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassStatus>,
    /// Where copies of its requests go, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorStatus>,
    /// Tokens of its models, where answers told any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenStatus>,
    /// What its workers cost, where prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// Its deployments by name.
    pub deployments: Vec<DeploymentStatus>,
}

/// One deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// Its name.
    pub name: String,
    /// Host name that leads straight to it; none where these are turned off, or when it was removed.
    pub host: Option<String>,
    /// Whether that host asks for a key of its own (`deployment_hosts`).
    #[serde(default)]
    pub host_needs_key: bool,
    /// Share of the service's traffic in force.
    pub weight: u32,
    /// What the file says about it.
    pub file_weight: u32,
    /// Its tier: requests go to the lowest one that can serve them soon.
    #[serde(default)]
    pub tier: u8,
    /// What it took from lower tiers and gave to higher ones, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<OverflowStatus>,
    /// What its workers cost, where their price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// How far its rollout has come, if it has one.
    pub rollout: Option<RolloutStatus>,
    /// Whether it is no longer configured and only finishes what it has.
    pub removed: bool,
    /// `cold`, `starting`, `warm` or `paused`; where something is wrong `degraded` (it serves), `waiting`
    /// (for room, such as a free GPU) or `failed`.
    pub phase: Cow<'static, str>,
    /// What is wrong, the worst of `troubles`; or why it is paused.
    pub phase_reason: Option<String>,
    /// Everything that is wrong, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// The number of the revision that its workers are to run; absent where they are given by address.
    #[serde(default)]
    pub revision: Option<u64>,
    /// The revision that an operator switched to, where that overrides the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<OverrideStatus>,
    /// The number of workers that an operator set, where that overrides the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<OverrideStatus>,
    /// The update that is under way or has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStatus>,
    /// Its own pause; that of its service stands with the service.
    #[serde(default)]
    pub paused: Option<PausedStatus>,
    /// Why no worker can be started now although one is wanted.
    pub no_room: Option<String>,
    /// Workers that ended without being asked to, since control began.
    #[serde(default)]
    pub restarts: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<ExitStatus>,
    /// Workers there should be.
    pub desired: u32,
    /// Bounds of `desired`.
    pub min: u32,
    /// Bounds of `desired`.
    pub max: u32,
    /// Requests on workers, by the newest reports.
    pub in_flight: u32,
    /// Requests waiting for a worker, by the newest reports.
    pub queued: u32,
    /// Tokens of its models, where answers told any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenStatus>,
    /// Label of the reason of the last decision.
    pub reason: Cow<'static, str>,
    /// The reason in words.
    pub reason_text: String,
    /// What the rules would do, where `scaling.mode` is `"advise"`.
    #[serde(default)]
    pub advice: Option<AdviceStatus>,
    /// What each rule asks for.
    pub wishes: Vec<String>,
    /// What limits it.
    pub clamps: Vec<String>,
    /// How long a cold start takes by experience, in seconds.
    pub start_estimate: Option<f64>,
    /// How long waking a worker that sleeps takes by experience, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_estimate: Option<f64>,
    /// What its requests did of late, from their heads on; only where one service is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<RecentStatus>,
    /// Its workers by slot.
    pub workers: Vec<WorkerStatus>,
}

/// A worker that ended without being asked to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// How long ago.
    pub seconds_ago: f64,
    /// Which worker, and how it ended.
    pub reason: String,
}

/// What the rules would do if they were followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceStatus {
    /// Workers there would be.
    pub workers: u32,
    /// Label of the reason.
    pub reason: Cow<'static, str>,
    /// The reason in words.
    pub reason_text: String,
}

/// One worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its identity.
    pub id: String,
    /// Its number within the deployment.
    pub slot: u32,
    /// `starting`, `ready`, `not_ready`, `draining`, `stopping`, `falling_asleep`, `asleep` or `waking`.
    pub state: Cow<'static, str>,
    /// Where it listens.
    pub address: Option<String>,
    /// Requests it has.
    pub in_flight: u32,
    /// Its GPUs, as `CUDA_VISIBLE_DEVICES` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// Seconds since its start, or since it was taken over from an earlier run.
    pub age: f64,
    /// The number of the revision that it runs, if that is known.
    #[serde(default)]
    pub revision: Option<u64>,
    /// Whether it runs something else than is configured now.
    pub outdated: bool,
    /// Whether a gateway sends it no requests for a while because of how it answered.
    #[serde(default)]
    pub ejected: bool,
    /// In how many seconds it is taken away, if it has been given notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_away_in: Option<f64>,
    /// How far its start is, where that takes a while: while an image is pulled.
    #[serde(default)]
    pub progress: Option<String>,
    /// What its probes last complained of.
    pub probe_failure: Option<String>,
    /// Why its own metrics could not be read the last time, where a rule asks for them.
    #[serde(default)]
    pub metrics_failure: Option<String>,
    /// What its requests did of late, each from when it got the request on; only where one service
    /// is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<RecentStatus>,
}

/// One service with its last journal entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceDetail {
    /// How it is.
    #[serde(flatten)]
    pub service: ServiceStatus,
    /// Its open requests.
    #[serde(default)]
    pub requests: RequestsStatus,
    /// What was decided and what happened last, newest first.
    pub journal: Vec<JournalEntry>,
}
