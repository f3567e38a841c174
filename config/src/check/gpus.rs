//! `[gpus]`, and the GPUs that workers ask for.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::Check;
use crate::{
    GpuChoice, GpuGroup, GpuGroupName, GpuSource, Gpus, Service, ServiceName, key_path::KeyPath,
    raw,
};

pub(super) fn gpus(check: &mut Check<'_>, path: &KeyPath, gpus: raw::Gpus) -> Gpus {
    let groups_path = path.key("groups");
    let is_found = gpus.devices.is_none()
        && gpus.groups.is_empty()
        && !check.touches(&path.key("devices"))
        && !check.touches(&groups_path);
    let source = if is_found {
        GpuSource::Detect
    } else {
        let mut seen = HashMap::new();
        let mut all = Vec::new();
        if let Some(devices) = gpus.devices {
            check_devices(check, &path.key("devices"), &devices, None, &mut seen);
            if gpus.groups.contains_key(Gpus::UNNAMED) {
                let rule = "the name is that of the group that `gpus.devices` make";
                check.error_without_value(&groups_path.key(Gpus::UNNAMED), rule);
            }
            all.push(GpuGroup::unnamed(devices));
        }
        all.extend(named(check, &groups_path, gpus.groups, &mut seen));
        let price = |group: &GpuGroup| group.price_per_hour.unwrap_or(0.0);
        all.sort_by(|a, b| price(a).total_cmp(&price(b)));
        GpuSource::Groups(all)
    };
    Gpus {
        source,
        give_way_after: gpus.give_way_after.0,
        max_asleep: gpus.max_asleep,
    }
}

/// Without a GPU no CPU is nearer than another.
pub(super) fn check_numa(check: &mut Check<'_>, path: &KeyPath, numa: bool, gpus: u32) {
    if numa && gpus == 0 && !check.touches(&path.key("gpus")) {
        let rule = "is only for workers with GPUs: it keeps them on the CPUs near these";
        check.error(&path.key("numa"), rule);
    }
}

fn named(
    check: &mut Check<'_>,
    path: &KeyPath,
    groups: BTreeMap<GpuGroupName, raw::GpuGroup>,
    seen: &mut HashMap<String, Option<GpuGroupName>>,
) -> Vec<GpuGroup> {
    let groups = groups.into_iter().map(|(name, group)| {
        let path = path.key(name.as_str()).key("devices");
        check_devices(check, &path, &group.devices, Some(&name), seen);
        GpuGroup {
            name,
            kind: group.kind,
            devices: group.devices,
            reserved_for: group.reserved_for,
            price_per_hour: group.price_per_hour,
        }
    });
    groups.collect()
}

/// `seen`: the group of each device so far.
fn check_devices(
    check: &mut Check<'_>,
    path: &KeyPath,
    devices: &[String],
    group: Option<&GpuGroupName>,
    seen: &mut HashMap<String, Option<GpuGroupName>>,
) {
    for (index, device) in devices.iter().enumerate() {
        let path = path.index(index);
        let well_formed = !device.is_empty()
            && device
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_/:.".contains(&b));
        if !well_formed {
            check.error(&path, "must be the index or UUID of one GPU");
            continue;
        }
        match seen.insert(device.clone(), group.cloned()) {
            None => {}
            Some(other) if other.as_ref() == group => check.error(&path, "is listed twice"),
            Some(Some(other)) => {
                check.error(
                    &path,
                    format!("is in group {other} already, and a GPU is in one"),
                );
            }
            Some(None) => {
                check.error(
                    &path,
                    "is in gpus.devices already, and a GPU is in one group",
                );
            }
        }
    }
}

/// Rules of the groups that can be checked when the services are known.
pub(super) fn check_reservations(
    check: &mut Check<'_>,
    path: &KeyPath,
    gpus: &Gpus,
    services: &BTreeMap<ServiceName, Arc<Service>>,
) {
    let path = path.key("groups");
    for group in gpus.groups().unwrap_or_default() {
        let path = path.key(group.name.as_str()).key("reserved_for");
        let mut seen = HashSet::new();
        for (index, service) in group.reserved_for.iter().enumerate() {
            let path = path.index(index);
            if !services.contains_key(service) {
                check.error(&path, "must be a service of this configuration");
            } else if !seen.insert(service) {
                check.error(&path, "is listed twice");
            }
        }
    }
}

/// What a worker asks for, which some group must be able to give.
pub(super) fn choice(
    check: &mut Check<'_>,
    path: &KeyPath,
    there: &Gpus,
    service: &ServiceName,
    wanted: raw::GpuChoice,
) -> GpuChoice {
    let choice = match wanted {
        raw::GpuChoice::Count(count) => GpuChoice::from(count),
        raw::GpuChoice::OfGroups(of) => GpuChoice {
            count: of.count,
            groups: of.groups,
        },
    };
    let Some(groups) = there.groups() else {
        if !choice.groups.is_empty() {
            let rule = "must be left out where there are no groups: [gpus.groups.NAME]";
            check.error(&path.key("groups"), rule);
        }
        return choice;
    };
    let find = |name: &GpuGroupName| groups.iter().find(|group| group.name == *name);
    let list = path.key("groups");
    let mut usable: Vec<&GpuGroup> = Vec::new();
    for (index, name) in choice.groups.iter().enumerate() {
        let path = list.index(index);
        let Some(group) = find(name) else {
            check.error(&path, unknown(groups));
            continue;
        };
        if !group.is_open_to(service) {
            let owners: Vec<&str> = group.reserved_for.iter().map(ServiceName::as_str).collect();
            let rule = format!("is reserved for {}", owners.join(", "));
            check.error(&path, rule);
        } else if choice.groups[..index].contains(name) {
            check.error(&path, "is listed twice");
        } else {
            usable.push(group);
        }
    }
    if choice.groups.is_empty() {
        usable = groups
            .iter()
            .filter(|group| group.is_open_to(service))
            .collect();
    } else if check.touches(&list) {
        return choice;
    }
    check_count(check, path, &choice, groups, &usable);
    choice
}

fn check_count(
    check: &mut Check<'_>,
    path: &KeyPath,
    choice: &GpuChoice,
    all: &[GpuGroup],
    usable: &[&GpuGroup],
) {
    let count_path = path.key("count");
    let path = if check.has(&count_path) {
        &count_path
    } else {
        path
    };
    let largest = usable.iter().max_by_key(|group| group.devices.len());
    let most = largest.map_or(0, |group| group.devices.len());
    if choice.count as usize <= most {
        return;
    }
    let is_plain = all.len() == 1 && all[0].name.as_str() == Gpus::UNNAMED;
    let rule = match largest {
        _ if is_plain => format!("must be at most the {most} of gpus.devices"),
        Some(group) if usable.len() == 1 => {
            format!("must be at most the {most} of group {}", group.name)
        }
        Some(group) => format!(
            "must be at most {most}: a worker's GPUs are of one group, and {}, the largest that it may have, \
             has no more",
            group.name
        ),
        None => "must be 0: every group of GPUs is reserved for other services".to_owned(),
    };
    check.error(path, rule);
}

fn unknown(groups: &[GpuGroup]) -> String {
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    match names.as_slice() {
        [Gpus::UNNAMED] | [] => {
            "is no group: there are none, [gpus.groups.NAME] makes one".to_owned()
        }
        names => format!("is no group; there are {}", names.join(", ")),
    }
}
