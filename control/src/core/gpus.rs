//! Which GPUs there are, in which groups, and who has them.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::{GpuChoice, GpuGroup, Gpus, ServiceName, fleet::WorkerId};

use super::deployment::Key;

/// GPUs that are named one by one where there is no room; the others are counted.
const NAMED_MAX: usize = 8;

/// A GPU that was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundGpu {
    /// As `CUDA_VISIBLE_DEVICES` takes it.
    pub name: String,
    /// Its other name, if it is known: an earlier version gave it out by that.
    pub uuid: Option<String>,
}

/// All groups and who has what of them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    groups: Vec<Group>,
    /// What workers have besides: of no group, or of one where somebody else is noted as having it. Whoever
    /// reads a list of groups anew must know of them, or they would be given to a second worker.
    strays: Vec<Device>,
    found: Vec<FoundGpu>,
    detect: bool,
    /// GPUs that were given up for a deployment, by the worker that had them.
    promises: BTreeMap<WorkerId, Key>,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) spec: GpuGroup,
    pub(super) devices: Vec<Device>,
}

/// One GPU.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) name: Arc<str>,
    /// Its other name, if it is known: the UUID to an index, the index to a UUID.
    other: Option<String>,
    pub(super) holder: Option<Holding>,
    /// For whom it was given up.
    pub(super) promised: Option<Key>,
}

/// Who has a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) id: WorkerId,
    pub(super) key: Key,
    pub(super) slot: u32,
}

impl Device {
    /// Nobody has it yet.
    fn new(name: &str, found: &[FoundGpu]) -> Self {
        let mut found = found.iter();
        let found = found.find(|gpu| gpu.name == name || gpu.uuid.as_deref() == Some(name));
        let other = found.and_then(|gpu| match gpu.name == name {
            true => gpu.uuid.clone(),
            false => Some(gpu.name.clone()),
        });
        Self {
            name: name.into(),
            other,
            holder: None,
            promised: None,
        }
    }

    /// Whether this worker has it.
    fn is_of(&self, id: &WorkerId) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.id == *id)
    }

    /// Whether they are the same, by whatever name.
    fn is(&self, other: &Self) -> bool {
        let names = |device: &Self| [Some(device.name.to_string()), device.other.clone()];
        let others = names(other);
        let mut own = names(self).into_iter().flatten();
        own.any(|name| others.contains(&Some(name)))
    }
}

impl Ledger {
    /// Takes over the groups of a configuration. Workers keep what they have; what is not configured any
    /// more is nobody's once they are gone.
    pub(super) fn follow(&mut self, gpus: &Gpus) {
        self.detect = gpus.groups().is_none();
        let specs = match gpus.groups() {
            Some(groups) => groups.to_vec(),
            None => self.detected(),
        };
        self.regroup(specs);
    }

    /// Takes in which GPUs there are, for where the configuration names none.
    pub(super) fn take_found(&mut self, found: Vec<FoundGpu>) {
        self.found = found;
        let specs = match self.detect {
            true => self.detected(),
            // The same, but now the other names of its GPUs are known.
            false => self.groups.iter().map(|group| group.spec.clone()).collect(),
        };
        self.regroup(specs);
    }

    fn detected(&self) -> Vec<GpuGroup> {
        let names = self.found.iter().map(|gpu| gpu.name.clone());
        vec![GpuGroup::unnamed(names.collect())]
    }

    fn regroup(&mut self, specs: Vec<GpuGroup>) {
        let groups = self.groups.drain(..).flat_map(|group| group.devices);
        let mut old: Vec<Device> = groups.chain(self.strays.drain(..)).collect();
        for spec in specs {
            let new = spec.devices.iter().map(|name| {
                let new = Device::new(name, &self.found);
                let known = old.iter().position(|device| device.is(&new));
                let known = known.map(|place| old.remove(place));
                let (holder, promised) = known
                    .map(|known| (known.holder, known.promised))
                    .unwrap_or_default();
                Device {
                    holder,
                    promised,
                    ..new
                }
            });
            let devices = new.collect();
            self.groups.push(Group { spec, devices });
        }
        old.retain(|device| device.holder.is_some());
        self.strays = old;
        self.place_strays();
    }

    /// What somebody has besides is noted in its group, where nobody else has it.
    fn place_strays(&mut self) {
        let devices = self.groups.iter_mut().flat_map(|group| &mut group.devices);
        for device in devices.filter(|device| device.holder.is_none()) {
            if let Some(place) = self.strays.iter().position(|stray| stray.is(device)) {
                device.holder = self.strays.remove(place).holder;
                device.promised = None;
            }
        }
    }

    /// All that somebody has or may be given.
    fn devices(&self) -> impl Iterator<Item = &Device> {
        let grouped = self.groups.iter().flat_map(|group| &group.devices);
        grouped.chain(&self.strays)
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.devices.is_empty())
    }

    /// The groups that a worker of this service may get what it asks for from, the best first.
    pub(super) fn usable(&self, service: &ServiceName, wanted: &GpuChoice) -> Vec<usize> {
        let fits = |group: &Group| {
            group.spec.is_open_to(service) && group.devices.len() >= wanted.count as usize
        };
        let numbered = || self.groups.iter().enumerate();
        if wanted.groups.is_empty() {
            let fitting = numbered().filter(|(_, group)| fits(group));
            let mut all: Vec<usize> = fitting.map(|(number, _)| number).collect();
            // What is kept for it comes first; else as they are, the cheapest first.
            all.sort_by_key(|number| self.groups[*number].spec.reserved_for.is_empty());
            return all;
        }
        let named = wanted.groups.iter().filter_map(|name| {
            let mut groups = numbered();
            groups.find(|(_, group)| group.spec.name == *name && fits(group))
        });
        named.map(|(number, _)| number).collect()
    }

    /// Why no worker of this service can ever have what it asks for.
    pub(super) fn impossible(&self, wanted: &GpuChoice) -> String {
        let all: usize = self.groups.iter().map(|group| group.devices.len()).sum();
        let there = if all == 1 { "there is" } else { "there are" };
        if all < wanted.count as usize {
            return format!("needs {wanted}, but {there} {all}");
        }
        format!("needs {wanted}, but no group that it may have has so many")
    }

    /// Gives so many free GPUs of a group to a worker; its promised ones first.
    pub(super) fn give(&mut self, group: usize, count: u32, holder: &Holding) -> Arc<[String]> {
        let devices = &mut self.groups[group].devices;
        let mut free: Vec<usize> = (0..devices.len())
            .filter(|place| devices[*place].holder.is_none())
            .filter(|place| {
                let promised = devices[*place].promised.as_ref();
                promised.is_none_or(|to| *to == holder.key)
            })
            .collect();
        free.sort_by_key(|place| devices[*place].promised.is_none());
        free.truncate(count as usize);
        free.sort_unstable();
        let given = free.into_iter().map(|place| {
            let device = &mut devices[place];
            device.holder = Some(holder.clone());
            device.promised = None;
            device.name.to_string()
        });
        given.collect()
    }

    /// A worker of an earlier run has these, be they of a group or not.
    pub(super) fn reclaim(&mut self, names: &[String], holder: &Holding) {
        for name in names {
            let holder = Some(holder.clone());
            let device = Device::new(name, &self.found);
            self.strays.push(Device { holder, ..device });
        }
        self.place_strays();
    }

    /// Nothing is left of a worker.
    pub(super) fn release(&mut self, id: &WorkerId) -> bool {
        let promised = self.promises.remove(id);
        let any = self.holds(id);
        self.strays.retain(|stray| !stray.is_of(id));
        let devices = self.groups.iter_mut().flat_map(|group| &mut group.devices);
        for device in devices.filter(|device| device.is_of(id)) {
            device.holder = None;
            device.promised = promised.clone();
        }
        self.place_strays();
        any
    }

    /// A worker gives what it has up for a deployment.
    pub(super) fn promise(&mut self, id: &WorkerId, to: &Key) {
        self.promises.insert(id.clone(), to.clone());
    }

    /// A worker keeps what it has after all.
    pub(super) fn take_back(&mut self, id: &WorkerId) {
        self.promises.remove(id);
    }

    /// For whom a worker gives up what it has.
    pub(super) fn promised_by(&self, id: &WorkerId) -> Option<&Key> {
        self.promises.get(id)
    }

    /// The deployments for which workers of their own give up what they have.
    pub(super) fn promised_to_own(&self) -> impl Iterator<Item = &Key> {
        let holders = self.devices().filter_map(|device| device.holder.as_ref());
        let own = holders.filter(|holder| self.promised_by(&holder.id) == Some(&holder.key));
        own.map(|holder| &holder.key)
    }

    /// The workers that make room for a deployment.
    pub(super) fn making_room_for(&self, key: &Key) -> Vec<String> {
        let holders = self.devices().filter_map(|device| device.holder.as_ref());
        let making = holders.filter(|holder| self.promised_by(&holder.id) == Some(key));
        let mut names: Vec<String> = making.map(ToString::to_string).collect();
        names.dedup();
        names
    }

    /// Forgets promises to deployments that do not want GPUs of that group any more.
    pub(super) fn keep_promises(&mut self, wants: impl Fn(&Key, usize) -> bool) {
        let Self {
            groups, promises, ..
        } = self;
        promises.retain(|id, to| {
            let mut wanted = groups.iter().enumerate().filter(|(n, _)| wants(to, *n));
            wanted.any(|(_, group)| group.devices.iter().any(|device| device.is_of(id)))
        });
        for (number, group) in groups.iter_mut().enumerate() {
            for device in &mut group.devices {
                device.promised.take_if(|to| !wants(to, number));
            }
        }
    }

    /// The GPUs of a worker.
    pub(super) fn of(&self, id: &WorkerId) -> impl Iterator<Item = &Arc<str>> {
        let own = self.devices().filter(move |device| device.is_of(id));
        own.map(|device| &device.name)
    }

    /// Whether it has any.
    pub(super) fn holds(&self, id: &WorkerId) -> bool {
        self.of(id).next().is_some()
    }

    /// Why there is no room: how many are free, and who has the others.
    pub(super) fn no_room(&self, wanted: &GpuChoice, usable: &[usize]) -> String {
        let devices = || usable.iter().flat_map(|group| &self.groups[*group].devices);
        let (all, free) = (
            devices().count(),
            devices().filter(|device| device.holder.is_none()).count(),
        );
        let held = devices().filter_map(|device| {
            let holder = device.holder.as_ref()?;
            Some(format!("{} used by {holder}", device.name))
        });
        let mut held: Vec<String> = held.collect();
        if held.len() > NAMED_MAX {
            let more = held.len() - NAMED_MAX;
            held.truncate(NAMED_MAX);
            held.push(format!("and {more} more are used"));
        }
        let is = if free == 1 { "is" } else { "are" };
        let mut text = format!("needs {wanted}, {free} of {all} {is} free");
        if !held.is_empty() {
            text += &format!(": {}", held.join(", "));
        }
        text
    }
}

impl std::fmt::Display for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.key, self.slot)
    }
}
