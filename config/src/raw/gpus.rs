//! `[gpus]`, and the GPUs that workers ask for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{self, PositiveDuration};
use crate::{GpuGroupName, ServiceName, gpus};

/// The GPUs that workers may be given.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gpus {
    /// Indices, UUIDs or MIG devices as CUDA_VISIBLE_DEVICES takes them; [] for none. Default: those
    /// in Penstock's own CUDA_VISIBLE_DEVICES, or the indices of all that NVIDIA's driver lists, unless there
    /// are `groups`. They are the group "default".
    pub(crate) devices: Option<Vec<String>>,
    /// Groups of GPUs of one kind, by name.
    #[schemars(with = "BTreeMap<String, GpuGroup>", extend("propertyNames" = text::name_schema()))]
    pub(crate) groups: BTreeMap<GpuGroupName, GpuGroup>,
    /// A busy worker gives its GPUs to another deployment when the oldest request there has waited for so
    /// long, or for half of the `queue.max_wait` there if that is shorter. Idle workers give theirs at once.
    pub(crate) give_way_after: PositiveDuration,
    /// Most workers that sleep at a time, of all deployments with `sleep`: each holds what it serves in the
    /// machine's memory. Those that have slept longest are ended for others. 0: none sleeps.
    #[schemars(range(max = 1000))]
    pub(crate) max_asleep: u32,
}

impl Default for Gpus {
    fn default() -> Self {
        Self {
            devices: None,
            groups: BTreeMap::new(),
            give_way_after: PositiveDuration(gpus::Gpus::GIVE_WAY_AFTER),
            max_asleep: gpus::Gpus::MAX_ASLEEP,
        }
    }
}

/// GPUs of one kind.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpuGroup {
    /// Indices, UUIDs or MIG devices as CUDA_VISIBLE_DEVICES takes them.
    #[schemars(length(min = 1))]
    pub(crate) devices: Vec<String>,
    /// What they are, for people: "NVIDIA H100 80GB".
    #[serde(default)]
    #[schemars(length(min = 1, max = 128))]
    pub(crate) kind: Option<String>,
    /// Services whose workers alone may have them. Default: all may.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = text::name_schema()))]
    pub(crate) reserved_for: Vec<ServiceName>,
    /// What one of them costs in an hour, in whatever currency.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(crate) price_per_hour: Option<f64>,
}

/// GPUs for each worker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum GpuChoice {
    /// So many, from any group that the service may use, the cheapest first.
    Count(#[schemars(range(max = 8))] u32),
    /// So many of one of these groups.
    OfGroups(GpusOfGroups),
}

/// GPUs of certain groups.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpusOfGroups {
    /// GPUs for each worker, all of one group.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 8))]
    pub(crate) count: u32,
    /// Names of groups, the best first. Default: any that the service may use, the cheapest first.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = text::name_schema()))]
    pub(crate) groups: Vec<GpuGroupName>,
}

impl Default for GpuChoice {
    fn default() -> Self {
        Self::Count(0)
    }
}

fn one() -> u32 {
    1
}

impl GpuChoice {
    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Count(count) => *count,
            Self::OfGroups(of) => of.count,
        }
    }
}
