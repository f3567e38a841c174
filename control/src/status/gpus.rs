//! GPUs and who has them.

use serde::{Deserialize, Serialize};

/// A group of GPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuGroupStatus {
    /// Its name; `default` for a plain list, and for GPUs that were found.
    pub name: String,
    /// What they are, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The services whose workers alone may have them; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved_for: Vec<String>,
    /// What one of them costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// The GPUs, as they are in the configuration.
    pub devices: Vec<GpuStatus>,
}

impl GpuGroupStatus {
    /// Leaves out the names of services of which `sees` says no: that a GPU is not free stays. Whether
    /// anything stays: a group that is for others alone does not.
    pub(crate) fn keep_only(&mut self, sees: &impl Fn(&str) -> bool) -> bool {
        let is_reserved = !self.reserved_for.is_empty();
        self.reserved_for.retain(|service| sees(service));
        let is_seen = |place: &String| sees(place.split('/').next().unwrap_or_default());
        for device in &mut self.devices {
            if device
                .worker
                .as_ref()
                .is_some_and(|worker| !is_seen(worker))
            {
                device.worker = None;
                "used".clone_into(&mut device.state);
            }
            device.promised_to = device.promised_to.take().filter(is_seen);
        }
        !(is_reserved && self.reserved_for.is_empty())
    }
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuStatus {
    /// As `CUDA_VISIBLE_DEVICES` takes it.
    pub name: String,
    /// `free`, or the state of the worker that has it: as there, or `gone` while what is left of it is ended.
    pub state: String,
    /// The worker that has it: `SERVICE/DEPLOYMENT#SLOT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The deployment that it was given up for, while that has not got it yet: `SERVICE/DEPLOYMENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised_to: Option<String>,
}
