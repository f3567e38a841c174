//! Which GPUs there are and who has them.

use std::{fs, path::Path, sync::Arc};

use parking_lot::Mutex;
use penstock_config::Gpus;

use crate::driver::StartError;

/// Where NVIDIA's driver lists its GPUs, one folder each, named by PCI address.
const NVIDIA: &str = "/proc/driver/nvidia/gpus";

/// The GPUs of this machine and their holders.
#[derive(Debug)]
pub(crate) struct Inventory {
    devices: Mutex<Vec<Device>>,
}

#[derive(Debug)]
struct Device {
    name: String,
    /// What an earlier version called it.
    uuid: Option<String>,
    holder: Option<String>,
}

impl Device {
    fn new(name: String) -> Self {
        Self {
            name,
            uuid: None,
            holder: None,
        }
    }

    fn is_one_of(&self, names: &[String]) -> bool {
        names.contains(&self.name) || self.uuid.as_ref().is_some_and(|uuid| names.contains(uuid))
    }
}

impl Inventory {
    /// The GPUs that the configuration names, or those that are ours to give: see [`detect`].
    pub(crate) fn new(gpus: &Gpus) -> Self {
        Self::of(match gpus {
            Gpus::Detect => {
                let ours = std::env::var("CUDA_VISIBLE_DEVICES").ok();
                detect(ours.as_deref(), Path::new(NVIDIA))
            }
            Gpus::Devices(names) => names.iter().cloned().map(Device::new).collect(),
        })
    }

    fn of(devices: Vec<Device>) -> Self {
        Self {
            devices: Mutex::new(devices),
        }
    }

    /// Whether there is no GPU at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.lock().is_empty()
    }

    /// `count` GPUs for `holder`, first come, first served.
    ///
    /// # Errors
    ///
    /// [`StartError::NoRoom`] when fewer are free now, [`StartError::Failed`] when there are not
    /// that many.
    pub(crate) fn claim(self: &Arc<Self>, count: u32, holder: &str) -> Result<Lease, StartError> {
        let count = count as usize;
        let mut devices = self.devices.lock();
        if devices.len() < count {
            let there_are = plural(devices.len(), "there is", "there are");
            let message = format!("needs {}, but {there_are} {}", gpus(count), devices.len());
            return Err(StartError::Failed(message));
        }
        let free = devices.iter().filter(|device| device.holder.is_none());
        let free = free.count();
        if free < count {
            return Err(StartError::NoRoom(no_room(&devices, count, free)));
        }
        let free = devices.iter_mut().filter(|device| device.holder.is_none());
        let taken = free.take(count).map(|device| {
            device.holder = Some(holder.to_owned());
            device.name.clone()
        });
        let names = taken.collect();
        Ok(Lease {
            names,
            inventory: Arc::clone(self),
        })
    }

    /// The GPUs that a worker already has. Those the inventory does not know any more, or gave to
    /// somebody else, are not in the lease.
    pub(crate) fn reclaim(self: &Arc<Self>, names: &[String], holder: &str) -> Lease {
        let mut devices = self.devices.lock();
        let free = devices
            .iter_mut()
            .filter(|device| device.holder.is_none() && device.is_one_of(names));
        let taken = free.map(|device| {
            device.holder = Some(holder.to_owned());
            device.name.clone()
        });
        let names = taken.collect();
        Lease {
            names,
            inventory: Arc::clone(self),
        }
    }
}

/// GPUs of one worker; free for others once dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    names: Vec<String>,
    inventory: Arc<Inventory>,
}

impl Lease {
    /// By the index or UUID that `CUDA_VISIBLE_DEVICES` takes.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut devices = self.inventory.devices.lock();
        for device in devices.iter_mut() {
            if self.names.contains(&device.name) {
                device.holder = None;
            }
        }
    }
}

/// The GPUs that Penstock itself may use, by `ours`, its own `CUDA_VISIBLE_DEVICES`; without that, the
/// indices of all that NVIDIA's driver lists in its own files, which needs no `nvidia-smi`: it lists
/// them in the order of their PCI addresses. Indices, because older programs die of UUIDs. Empty
/// without the driver.
fn detect(ours: Option<&str>, folder: &Path) -> Vec<Device> {
    if let Some(ours) = ours {
        // CUDA takes nothing after the first that is not valid, for which -1 is usual.
        let named = ours.split(',').map(str::trim);
        let valid = named.take_while(|name| !name.is_empty() && !name.starts_with('-'));
        return valid.map(|name| Device::new(name.to_owned())).collect();
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let pages = folders
        .iter()
        .filter_map(|gpu| fs::read_to_string(gpu.join("information")).ok());
    let device = |(index, page): (usize, String)| Device {
        uuid: uuid(&page),
        ..Device::new(index.to_string())
    };
    pages.enumerate().map(device).collect()
}

/// Whether all of them are indices, and not UUIDs or parts of a GPU.
pub(crate) fn are_indices(names: &[String]) -> bool {
    !names.is_empty()
        && names
            .iter()
            .all(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

/// The value of the line `GPU UUID: …`; the driver shows `GPU-????…` to those who may not know.
fn uuid(information: &str) -> Option<String> {
    let mut lines = information.lines();
    let value = lines
        .find_map(|line| line.strip_prefix("GPU UUID:"))?
        .trim();
    (value.starts_with("GPU-") && !value.contains('?')).then(|| value.to_owned())
}

fn no_room(devices: &[Device], count: usize, free: usize) -> String {
    let held = devices.iter().filter_map(|device| {
        let holder = device.holder.as_ref()?;
        Some(format!("{} used by {holder}", device.name))
    });
    let held = held.collect::<Vec<_>>().join(", ");
    let is = plural(free, "is", "are");
    format!(
        "needs {}, {free} of {} {is} free: {held}",
        gpus(count),
        devices.len()
    )
}

fn gpus(count: usize) -> String {
    format!("{count} {}", plural(count, "GPU", "GPUs"))
}

fn plural(count: usize, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(count: usize) -> Arc<Inventory> {
        let devices = (0..count).map(|i| Device::new(i.to_string()));
        Arc::new(Inventory::of(devices.collect()))
    }

    #[test]
    fn a_lease_gives_its_gpus_back_when_dropped() {
        let inventory = inventory(2);
        let lease = inventory.claim(2, "chat/stable#0").unwrap();
        assert_eq!(lease.names(), ["0", "1"]);
        assert!(inventory.claim(1, "chat/stable#1").is_err());
        drop(lease);
        assert_eq!(inventory.claim(1, "chat/stable#1").unwrap().names(), ["0"]);
    }

    #[test]
    fn the_reason_for_no_room_says_who_has_the_gpus() {
        let inventory = inventory(2);
        let _lease = inventory.claim(1, "chat/stable#0").unwrap();
        let error = inventory.claim(2, "chat/stable#1").unwrap_err();
        let reason = "needs 2 GPUs, 1 of 2 is free: 0 used by chat/stable#0";
        assert_eq!(error, StartError::NoRoom(reason.to_owned()));
    }

    #[test]
    fn more_gpus_than_there_are_can_never_be_given() {
        let error = inventory(1).claim(2, "chat/stable#0").unwrap_err();
        let reason = "needs 2 GPUs, but there is 1".to_owned();
        assert_eq!(error, StartError::Failed(reason));
    }

    #[test]
    fn reclaimed_gpus_are_not_given_to_others() {
        let inventory = inventory(2);
        let lease = inventory.reclaim(&["1".to_owned(), "7".to_owned()], "chat/stable#0");
        assert_eq!(lease.names(), ["1"]);
        assert_eq!(inventory.claim(1, "chat/stable#1").unwrap().names(), ["0"]);
    }

    fn names(devices: Vec<Device>) -> Vec<String> {
        devices.into_iter().map(|device| device.name).collect()
    }

    #[test]
    fn gpus_are_detected_by_index_in_the_order_of_their_pci_addresses() {
        let folder = tempfile::tempdir().unwrap();
        for (address, uuid) in [("0000:41:00.0", "GPU-b"), ("0000:01:00.0", "GPU-a")] {
            let gpu = folder.path().join(address);
            fs::create_dir(&gpu).unwrap();
            let page = format!("Model: \t\t NVIDIA H100\nIRQ:   \t\t 16\nGPU UUID: \t {uuid}\n");
            fs::write(gpu.join("information"), page).unwrap();
        }
        assert_eq!(names(detect(None, folder.path())), ["0", "1"]);
        assert!(detect(None, &folder.path().join("absent")).is_empty());
        // What an earlier version gave out by UUID is known.
        let inventory = Arc::new(Inventory::of(detect(None, folder.path())));
        let lease = inventory.reclaim(&["GPU-b".to_owned()], "chat/stable#0");
        assert_eq!(lease.names(), ["1"]);
    }

    #[test]
    fn only_gpus_that_are_ours_are_given_out() {
        let folder = Path::new("/absent");
        for (ours, expected) in [
            ("2,3", &["2", "3"] as &[&str]),
            (" GPU-a , MIG-b", &["GPU-a", "MIG-b"]),
            ("1,-1,0", &["1"]),
            ("", &[]),
        ] {
            assert_eq!(names(detect(Some(ours), folder)), expected, "{ours:?}");
        }
    }

    #[test]
    fn indices_are_told_from_other_names() {
        let are = |names: &[&str]| {
            are_indices(
                &names
                    .iter()
                    .map(|&name| name.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(are(&["0", "12"]));
        assert!(!are(&["0", "GPU-a"]) && !are(&["MIG-1"]) && !are(&[]));
    }
}
