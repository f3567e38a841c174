//! Which GPUs there are.

use std::{fs, path::Path};

use crate::core::FoundGpu;

/// Where NVIDIA's driver lists its GPUs, one folder each, named by PCI address.
const NVIDIA: &str = "/proc/driver/nvidia/gpus";

/// The GPUs that are ours to give: see [`detect`].
pub(crate) fn detected() -> Vec<FoundGpu> {
    let ours = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    detect(ours.as_deref(), Path::new(NVIDIA))
}

/// The GPUs that Penstock itself may use, by `ours`, its own `CUDA_VISIBLE_DEVICES`; without that, the
/// indices of all that NVIDIA's driver lists in its own files, which needs no `nvidia-smi`: it lists
/// them in the order of their PCI addresses. Indices, because older programs die of UUIDs. Empty
/// without the driver.
fn detect(ours: Option<&str>, folder: &Path) -> Vec<FoundGpu> {
    if let Some(ours) = ours {
        // CUDA takes nothing after the first that is not valid, for which -1 is usual.
        let named = ours.split(',').map(str::trim);
        let valid = named.take_while(|name| !name.is_empty() && !name.starts_with('-'));
        return valid.map(|name| gpu(name.to_owned(), None)).collect();
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let pages = folders
        .iter()
        .filter_map(|gpu| fs::read_to_string(gpu.join("information")).ok());
    let found = |(index, page): (usize, String)| gpu(index.to_string(), uuid(&page));
    pages.enumerate().map(found).collect()
}

fn gpu(name: String, uuid: Option<String>) -> FoundGpu {
    FoundGpu { name, uuid }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(devices: Vec<FoundGpu>) -> Vec<String> {
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
        let uuids: Vec<_> = detect(None, folder.path())
            .into_iter()
            .map(|gpu| gpu.uuid.unwrap())
            .collect();
        assert_eq!(uuids, ["GPU-a", "GPU-b"]);
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
