//! Which CPUs are near a GPU: those of its NUMA node. Memory follows by itself, for Linux takes it from the node of
//! the CPU that first uses it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

/// How long `nvidia-smi` may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where this machine tells of its GPUs and nodes.
#[derive(Debug, Clone)]
pub struct Numa {
    /// NVIDIA's driver: a folder for each GPU, named by PCI address.
    driver: PathBuf,
    /// PCI devices by address.
    devices: PathBuf,
    /// NUMA nodes.
    nodes: PathBuf,
    smi: PathBuf,
}

/// CPUs near some GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Near {
    /// The nodes of the GPUs, in their order.
    pub(crate) nodes: Vec<u32>,
    /// Their CPUs.
    pub(crate) cpus: BTreeSet<usize>,
}

impl Default for Numa {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Numa {
    /// As it is told by files below this folder, which has `proc` and `sys` in it.
    pub fn below(root: &Path) -> Self {
        Self {
            driver: root.join("proc/driver/nvidia/gpus"),
            devices: root.join("sys/bus/pci/devices"),
            nodes: root.join("sys/devices/system/node"),
            smi: match root == Path::new("/") {
                true => "nvidia-smi".into(),
                false => root.join("nvidia-smi"),
            },
        }
    }

    /// The CPUs near these GPUs, named as `CUDA_VISIBLE_DEVICES` has them.
    ///
    /// # Errors
    ///
    /// Why that is not known, for people.
    pub(crate) async fn near(&self, gpus: &[String]) -> Result<Near, String> {
        let mut near = Near {
            nodes: Vec::new(),
            cpus: BTreeSet::new(),
        };
        let mut asked = None;
        for gpu in gpus {
            let address = match self.address_by_driver(gpu) {
                Some(address) => address,
                None => {
                    if asked.is_none() {
                        asked = Some(self.ask().await?);
                    }
                    let listed = asked.as_deref().unwrap_or_default();
                    let found = listed.iter().find(|listed| listed.is(gpu));
                    let found = found.ok_or_else(|| {
                        format!("neither NVIDIA's driver nor nvidia-smi lists GPU {gpu}")
                    })?;
                    found.address.clone()
                }
            };
            let node = self.node(gpu, &address)?;
            if !near.nodes.contains(&node) {
                near.nodes.push(node);
                near.cpus.extend(self.cpus(node)?);
            }
        }
        near.nodes.sort_unstable();
        match near.cpus.is_empty() {
            true => Err(format!(
                "the nodes of its GPUs ({}) have no CPUs",
                numbers(&near.nodes)
            )),
            false => Ok(near),
        }
    }

    /// The PCI address of a GPU that is named by index, in the order of these addresses, or by UUID.
    fn address_by_driver(&self, gpu: &str) -> Option<String> {
        let entries = fs::read_dir(&self.driver).ok()?;
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut addresses: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        addresses.sort();
        if let Ok(index) = gpu.parse::<usize>() {
            return addresses.get(index).cloned();
        }
        // MIG devices of older drivers are named by their GPU: MIG-GPU-…/1/0.
        let uuid = gpu.strip_prefix("MIG-").unwrap_or(gpu);
        let uuid = uuid.split('/').next().unwrap_or(uuid);
        addresses.into_iter().find(|address| {
            let page = fs::read_to_string(self.driver.join(address).join("information"));
            let page = page.unwrap_or_default();
            let mut lines = page.lines();
            let told = lines.find_map(|line| line.strip_prefix("GPU UUID:"));
            // The beginning of a UUID is enough for CUDA.
            told.is_some_and(|told| uuid.starts_with("GPU-") && told.trim().starts_with(uuid))
        })
    }

    /// What `nvidia-smi` lists.
    async fn ask(&self) -> Result<Vec<Listed>, String> {
        let run = |args: &[&str]| {
            let asked = Command::new(&self.smi)
                .args(args)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .output();
            async move {
                let answered = timeout(ANSWER_MAX, asked).await;
                let output = answered.map_err(|_| "nvidia-smi does not answer".to_owned())?;
                let output = output.map_err(|error| format!("nvidia-smi: {error}"))?;
                Ok::<_, String>(String::from_utf8_lossy(&output.stdout).into_owned())
            }
        };
        let query = ["--query-gpu=index,uuid,pci.bus_id", "--format=csv,noheader"];
        let gpus = run(&query).await?;
        let mut listed: Vec<Listed> = gpus.lines().filter_map(Listed::parse).collect();
        // Only there are the parts of a GPU.
        let parts = run(&["-L"]).await?;
        let mut whole = None;
        for line in parts.lines() {
            let Some((_, uuid)) = line.split_once("UUID: ") else {
                continue;
            };
            let uuid = uuid.trim_end().trim_end_matches(')');
            if uuid.starts_with("GPU-") {
                whole = listed.iter().position(|gpu| gpu.uuid == uuid);
            } else if let Some(whole) = whole {
                let address = listed[whole].address.clone();
                listed.push(Listed {
                    index: String::new(),
                    uuid: uuid.to_owned(),
                    address,
                });
            }
        }
        Ok(listed)
    }

    fn node(&self, gpu: &str, address: &str) -> Result<u32, String> {
        let file = self.devices.join(address).join("numa_node");
        let told = fs::read_to_string(&file);
        let told = told.map_err(|error| format!("{}: {error}", file.display()))?;
        // -1 where the firmware does not say.
        told.trim().parse().map_err(|_| {
            format!("the machine does not say which NUMA node GPU {gpu} ({address}) is at")
        })
    }

    fn cpus(&self, node: u32) -> Result<BTreeSet<usize>, String> {
        let file = self.nodes.join(format!("node{node}/cpulist"));
        let told = fs::read_to_string(&file);
        let told = told.map_err(|error| format!("{}: {error}", file.display()))?;
        parse_list(told.trim()).ok_or_else(|| format!("{}: not a list of CPUs", file.display()))
    }
}

impl Near {
    /// As the kernel and container engines take it: "0-3,8".
    pub(crate) fn cpu_list(&self) -> String {
        list(&self.cpus)
    }

    /// The nodes in the same form.
    pub(crate) fn node_list(&self) -> String {
        numbers(&self.nodes)
    }
}

/// A GPU as `nvidia-smi` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    index: String,
    uuid: String,
    address: String,
}

impl Listed {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',').map(str::trim);
        let (index, uuid, address) = (fields.next()?, fields.next()?, fields.next()?);
        // Its domain has eight digits there, and four in the kernel.
        let (domain, rest) = address.split_once(':')?;
        let domain = u32::from_str_radix(domain, 16).ok()?;
        Some(Self {
            index: index.to_owned(),
            uuid: uuid.to_owned(),
            address: format!("{domain:04x}:{}", rest.to_ascii_lowercase()),
        })
    }

    fn is(&self, gpu: &str) -> bool {
        self.index == gpu || self.uuid == gpu
    }
}

/// The CPUs of a list such as "0-3,8"; `None` for what is none.
fn parse_list(text: &str) -> Option<BTreeSet<usize>> {
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last >= 1 << 16 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// The opposite.
pub(crate) fn list(numbers: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let ranges = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn numbers(nodes: &[u32]) -> String {
    let nodes = nodes.iter().map(ToString::to_string);
    nodes.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A machine with two nodes: GPUs 0 and 1 are at the second one, GPU 2 nobody knows where.
    fn machine() -> (tempfile::TempDir, Numa) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        for (address, uuid, node) in [
            ("0000:01:00.0", "GPU-aaaa-1", "1\n"),
            ("0000:41:00.0", "GPU-bbbb-2", "1\n"),
            ("0000:81:00.0", "GPU-cccc-3", "-1\n"),
        ] {
            let page = format!("Model: \t\t NVIDIA H100\nGPU UUID: \t {uuid}\n");
            write(
                &format!("proc/driver/nvidia/gpus/{address}/information"),
                &page,
            );
            write(&format!("sys/bus/pci/devices/{address}/numa_node"), node);
        }
        write("sys/bus/pci/devices/0000:c1:00.0/numa_node", "0\n");
        write("sys/devices/system/node/node0/cpulist", "0-15,32-47\n");
        write("sys/devices/system/node/node1/cpulist", "16-31,48-63\n");
        let numa = Numa::below(root.path());
        (root, numa)
    }

    async fn near(numa: &Numa, gpus: &[&str]) -> Result<(String, String), String> {
        let gpus: Vec<String> = gpus.iter().map(|gpu| (*gpu).to_owned()).collect();
        let near = numa.near(&gpus).await?;
        Ok((near.node_list(), near.cpu_list()))
    }

    #[tokio::test]
    async fn the_cpus_of_a_gpu_are_those_of_its_node() {
        let (_root, numa) = machine();
        let second = Ok(("1".to_owned(), "16-31,48-63".to_owned()));
        for gpus in [
            &["0"][..],
            &["1", "0"],
            &["GPU-bbbb-2"],
            &["GPU-bbbb"],
            &["MIG-GPU-aaaa-1/3/0"],
        ] {
            assert_eq!(near(&numa, gpus).await, second, "{gpus:?}");
        }
    }

    #[tokio::test]
    async fn where_it_cannot_be_known_the_reason_is_told() {
        let (root, numa) = machine();
        let error = near(&numa, &["0", "2"]).await.unwrap_err();
        assert_eq!(
            error,
            "the machine does not say which NUMA node GPU 2 (0000:81:00.0) is at"
        );
        let error = near(&numa, &["GPU-dddd"]).await.unwrap_err();
        assert!(error.starts_with("nvidia-smi: "), "{error}");
        fs::remove_file(root.path().join("sys/devices/system/node/node1/cpulist")).unwrap();
        let error = near(&numa, &["0"]).await.unwrap_err();
        assert!(error.contains("node1/cpulist: No such file"), "{error}");
    }

    #[tokio::test]
    async fn what_the_driver_does_not_list_nvidia_smi_does() {
        let (root, numa) = machine();
        let script = root.path().join("nvidia-smi");
        let text = "#!/bin/sh
            case $1 in
            -L) printf 'GPU 0: NVIDIA H100 (UUID: GPU-dddd-4)\\n  MIG 1g.10gb Device 0: (UUID: MIG-eeee-5)\\n';;
            *) echo '7, GPU-dddd-4, 00000000:C1:00.0';;
            esac\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let first = Ok(("0".to_owned(), "0-15,32-47".to_owned()));
        for gpu in ["7", "GPU-dddd-4", "MIG-eeee-5"] {
            assert_eq!(near(&numa, &[gpu]).await, first, "{gpu}");
        }
        let both = near(&numa, &["0", "MIG-eeee-5"]).await;
        assert_eq!(both, Ok(("0,1".to_owned(), "0-63".to_owned())));
        let error = near(&numa, &["8"]).await.unwrap_err();
        assert_eq!(error, "neither NVIDIA's driver nor nvidia-smi lists GPU 8");
    }

    #[test]
    fn lists_of_cpus_are_read_and_written() {
        for text in ["", "0", "0-3", "0-1,3,5-8,12"] {
            assert_eq!(list(&parse_list(text).unwrap()), text);
        }
        assert_eq!(list(&parse_list("1,0,2-3,2").unwrap()), "0-3");
        for text in ["a", "3-1", "0-", "0-99999999"] {
            assert_eq!(parse_list(text), None, "{text}");
        }
    }
}
