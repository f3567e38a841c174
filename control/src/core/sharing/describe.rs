//! Who has which GPU, for people and for the page of metrics.

use std::sync::Arc;

use super::super::{Core, effect::Effect, gpus::Device};
use crate::status::{GpuGroupStatus, GpuStatus};

impl Core {
    /// Who has which.
    pub(in crate::core) fn describe_gpus(&self) -> Vec<GpuGroupStatus> {
        let groups = self.gpus.groups().iter();
        let groups = groups.filter(|group| !group.devices.is_empty());
        groups
            .map(|group| GpuGroupStatus {
                name: group.spec.name.to_string(),
                kind: group.spec.kind.clone(),
                reserved_for: group
                    .spec
                    .reserved_for
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                price_per_hour: group.spec.price_per_hour,
                devices: group
                    .devices
                    .iter()
                    .map(|device| self.describe_gpu(device))
                    .collect(),
            })
            .collect()
    }

    fn describe_gpu(&self, device: &Device) -> GpuStatus {
        let holder = device.holder.as_ref();
        let promised = match holder {
            Some(holder) => self.gpus.promised_by(&holder.id),
            None => device.promised.as_ref(),
        };
        let state = holder.map_or("free", |holder| {
            self.worker(&holder.id)
                .map_or("gone", |(_, worker)| worker.state())
        });
        GpuStatus {
            name: device.name.to_string(),
            state: state.to_owned(),
            worker: holder.map(ToString::to_string),
            promised_to: promised.map(ToString::to_string),
        }
    }

    /// Says who has how many, if that has changed.
    pub(in crate::core) fn tell_groups(&mut self) {
        let told: Vec<(Arc<str>, u32, u32)> = self
            .gpus
            .groups()
            .iter()
            .filter(|group| !group.devices.is_empty())
            .map(|group| {
                let used = group
                    .devices
                    .iter()
                    .filter(|device| device.holder.is_some());
                let used = u32::try_from(used.count()).unwrap_or(u32::MAX);
                let all = u32::try_from(group.devices.len()).unwrap_or(u32::MAX);
                (group.spec.name.as_str().into(), used, all - used)
            })
            .collect();
        if told != self.groups_told {
            self.groups_told.clone_from(&told);
            self.effects.push(Effect::GpuGroups(told));
        }
    }
}
