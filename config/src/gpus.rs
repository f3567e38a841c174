//! The GPUs of this machine, and what a worker asks for.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{GpuGroupName, ServiceName};

/// The GPUs that workers may be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpus {
    /// Where they come from.
    pub source: GpuSource,
    /// A busy worker gives way to another deployment when the oldest request there has waited for so long.
    pub give_way_after: Duration,
    /// Most workers that sleep at a time.
    pub max_asleep: u32,
}

impl Gpus {
    /// The group of those that are in no named group.
    pub const UNNAMED: &'static str = "default";

    /// How long another deployment's requests wait at most by default, before a busy worker gives way.
    pub const GIVE_WAY_AFTER: Duration = Duration::from_secs(600);

    /// So many workers sleep at a time by default.
    pub const MAX_ASLEEP: u32 = 4;

    /// The groups; `None` where the GPUs are detected, which are one group then.
    pub fn groups(&self) -> Option<&[GpuGroup]> {
        match &self.source {
            GpuSource::Detect => None,
            GpuSource::Groups(groups) => Some(groups),
        }
    }
}

/// Where the GPUs come from.
#[derive(Debug, Clone, PartialEq)]
pub enum GpuSource {
    /// Those of our own `CUDA_VISIBLE_DEVICES`, or those that NVIDIA's driver lists: one group.
    Detect,
    /// These groups, the cheapest first. No device is in two of them.
    Groups(Vec<GpuGroup>),
}

/// GPUs of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuGroup {
    /// Its name; [`Gpus::UNNAMED`] for a plain list of devices.
    pub name: GpuGroupName,
    /// What they are, for people.
    pub kind: Option<String>,
    /// As `CUDA_VISIBLE_DEVICES` takes them.
    pub devices: Vec<String>,
    /// The services whose workers alone may have them; empty: all.
    pub reserved_for: Vec<ServiceName>,
    /// What one of them costs.
    pub price_per_hour: Option<f64>,
}

impl GpuGroup {
    /// A group without a name of its own, of these devices.
    pub fn unnamed(devices: Vec<String>) -> Self {
        let name = GpuGroupName::try_from(Gpus::UNNAMED);
        Self {
            name: name.expect("the constant is a name"),
            kind: None,
            devices,
            reserved_for: Vec::new(),
            price_per_hour: None,
        }
    }

    /// Whether workers of this service may have its devices.
    pub fn is_open_to(&self, service: &ServiceName) -> bool {
        self.reserved_for.is_empty() || self.reserved_for.contains(service)
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GpuChoice {
    /// GPUs per worker, 0 to 8, all of one group.
    pub count: u32,
    /// The groups that they may come from, the best first. Empty: any that the service may use.
    pub groups: Vec<GpuGroupName>,
}

impl GpuChoice {
    /// Whether it needs any.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }
}

impl From<u32> for GpuChoice {
    fn from(count: u32) -> Self {
        Self {
            count,
            groups: Vec::new(),
        }
    }
}

impl fmt::Display for GpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.count == 1 { "" } else { "s" };
        write!(f, "{} GPU{s}", self.count)?;
        if !self.groups.is_empty() {
            let groups: Vec<&str> = self.groups.iter().map(GpuGroupName::as_str).collect();
            write!(f, " of {}", groups.join(" or "))?;
        }
        Ok(())
    }
}
