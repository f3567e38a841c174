//! What a worker has of the program that started it, and who may read what it leaves.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use libtest_mimic::Trial;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use penstock_control::driver::process::raise_open_files;

use crate::support::{Bench, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_worker_inherits_only_what_it_is_to", environment),
        trial("a_worker_has_no_descriptor_of_ours", descriptors),
        trial("a_worker_has_the_limit_of_open_files_from_before", limit),
        trial("logs_are_for_our_user_alone", logs),
        trial("a_link_in_the_place_of_a_log_is_not_followed", link),
        trial("indices_of_gpus_are_counted_by_bus", gpu_order),
        trial("a_worker_runs_on_the_cpus_near_its_gpus", near),
        trial(
            "a_worker_whose_gpus_are_nobody_knows_where_runs_on_all_cpus",
            nowhere,
        ),
    ]
}

/// The names of the variables that a worker has which inherits these.
async fn variables(inherited: &[&str]) -> Vec<String> {
    let bench = Bench::new();
    let mut spec = bench.spec("env > all; echo > done; exec sleep 1000");
    spec.inherit_env = inherited.iter().map(|&name| name.to_owned()).collect();
    spec.env.insert("OWN".to_owned(), "x".to_owned());
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    bench.written("done").await;
    let all = fs::read_to_string(bench.path("all")).unwrap();
    bench.stop(&worker).await;
    // What shells set by themselves.
    let of_shells = ["PWD", "OLDPWD", "SHLVL", "_"];
    let mut names: Vec<String> = all
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .filter(|name| !of_shells.contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

async fn environment() {
    let ours = [
        "OWN",
        "PATH",
        "PENSTOCK_INSTALLATION",
        "PENSTOCK_WORKER",
        "PORT",
    ];
    assert_eq!(variables(&["PATH"]).await, ours);
    let mut more: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let of_shells = ["PWD", "OLDPWD", "SHLVL", "_"];
    more.retain(|name| !of_shells.contains(&name.as_str()));
    assert!(more.iter().any(|name| !ours.contains(&name.as_str())));
    more.extend(ours.map(str::to_owned));
    more.sort();
    more.dedup();
    assert_eq!(variables(&["*"]).await, more);
}

async fn descriptors() {
    let bench = Bench::new();
    // A duplicate is passed on to programs, as whatever a careless parent leaves open.
    let stray = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
    let worker = bench.shell("ls /proc/$$/fd | tr '\\n' ' ' > all; echo > done; exec sleep 1000");
    bench.start(&worker).await;
    bench.written("done").await;
    assert_eq!(fs::read_to_string(bench.path("all")).unwrap(), "0 1 2 ");
    bench.stop(&worker).await;
    drop(stray);
}

async fn limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 777, hard).unwrap();
    raise_open_files().unwrap();
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    let bench = Bench::new();
    let worker = bench.shell("ulimit -S -n > soft; exec sleep 1000");
    bench.start(&worker).await;
    assert_eq!(bench.written("soft").await, "777");
    bench.stop(&worker).await;
}

async fn logs() {
    let bench = Bench::new();
    let worker = bench.shell("echo > done; exec sleep 1000");
    bench.start(&worker).await;
    bench.written("done").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.path("logs")), 0o700);
    assert_eq!(mode(&bench.path("logs/chat")), 0o700);
    assert_eq!(mode(&bench.path("logs/chat/stable-0.log")), 0o600);
    bench.stop(&worker).await;
}

async fn link() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("logs/chat")).unwrap();
    let theirs = bench.path("theirs");
    fs::write(&theirs, "as it was").unwrap();
    symlink(&theirs, bench.path("logs/chat/stable-0.log")).unwrap();
    let error = bench.refused(&bench.shell("exec sleep 1000")).await;
    assert!(
        error
            .to_string()
            .ends_with("it is a symbolic link, and none is followed"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "as it was");
    bench.assert_nothing_left();
}

async fn gpu_order() {
    for (gpus, own, expected) in [
        (&["0", "1"] as &[&str], None, "PCI_BUS_ID"),
        (&["0", "1"], Some("FASTEST_FIRST"), "FASTEST_FIRST"),
        (&["GPU-a", "1"], None, ""),
    ] {
        let bench = Bench::with_gpus(gpus);
        let mut spec = bench.spec("echo \"$CUDA_DEVICE_ORDER\" > order; exec sleep 1000");
        spec.gpus = 2.into();
        if let Some(own) = own {
            spec.env
                .insert("CUDA_DEVICE_ORDER".to_owned(), own.to_owned());
        }
        let worker = bench.worker("w0", 0, spec);
        bench.start(&worker).await;
        assert_eq!(bench.written("order").await, expected);
        bench.stop(&worker).await;
    }
}

/// The CPUs that a worker with GPU 0 may run on, and what its log says; GPU 0 is at the node that `root` has.
async fn allowed(root: &Path) -> (String, String) {
    let mut bench = Bench::with_gpus(&["0"]);
    bench.learns_numa_below(root);
    let script = "grep Cpus_allowed_list /proc/self/status > cpus; echo > done; exec sleep 1000";
    let mut spec = bench.spec(script);
    spec.gpus = 1.into();
    spec.numa = true;
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    bench.written("done").await;
    let cpus = fs::read_to_string(bench.path("cpus")).unwrap();
    bench.stop(&worker).await;
    let files = fs::read_dir(bench.path("logs/chat")).unwrap();
    let log = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let (_, cpus) = cpus.split_once(':').unwrap();
    (cpus.trim().to_owned(), log.collect())
}

fn own_cpus() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

/// A machine whose only GPU is at node 3, which has these CPUs.
fn machine(cpus: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "GPU UUID: GPU-a",
        ),
        ("sys/bus/pci/devices/0000:01:00.0/numa_node", "3"),
        ("sys/devices/system/node/node3/cpulist", cpus),
    ] {
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{text}\n")).unwrap();
    }
    root
}

async fn near() {
    let all = own_cpus();
    let last = all.rsplit([',', '-']).next().unwrap();
    // Also where the node has CPUs that we may not use.
    for cpus in [last.to_owned(), format!("{last},900-901")] {
        let (allowed, log) = allowed(machine(&cpus).path()).await;
        assert_eq!(allowed, last);
        let told = format!("note runs on CPUs {last}, near its GPUs (NUMA node 3)");
        assert!(log.contains(&told), "{log}");
    }
}

async fn nowhere() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = machine("900-901");
    for (root, why) in [
        (root.path(), "nvidia-smi: No such file"),
        (
            elsewhere.path(),
            "penstock itself may run on none of the CPUs near its GPUs (900-901)",
        ),
    ] {
        let (allowed, log) = allowed(root).await;
        assert_eq!(allowed, own_cpus());
        let told = format!("numa = true: runs on all CPUs, because {why}");
        assert!(log.contains(&told), "{log}");
    }
}
