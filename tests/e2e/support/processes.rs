//! Processes that a test is responsible for, found by a mark in their environment. A worker's
//! children carry it too, whatever group or session they moved to.

use std::{collections::BTreeSet, fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The environment variable that marks them. Workers inherit those that begin like this by default.
pub(crate) const MARK: &str = "LC_PENSTOCK_TEST_MARK";

/// Process ids of all living processes with this mark.
pub(crate) fn marked(mark: &str) -> BTreeSet<i32> {
    let wanted = format!("{MARK}={mark}");
    let pids = fs::read_dir("/proc").expect("Linux").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            // Unreadable: it has ended, or it is not ours. A zombie's is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes())
        })
        .collect()
}

/// Whether this is the process that Penstock puts above a worker.
pub(crate) fn is_supervisor(pid: i32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).nth(1) == Some(b"supervise")
}

/// Ends all processes with this mark and asserts that none is left.
pub(crate) fn kill_marked(mark: &str) {
    for _ in 0..1000 {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let left = marked(mark);
    assert!(
        left.is_empty() || std::thread::panicking(),
        "processes left: {left:?}"
    );
}

/// Memory of a process in KiB: the value of this line of `/proc/PID/status`, such as `VmHWM` for
/// the most it ever had.
pub(crate) fn memory_kib(pid: i32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let value = status
        .lines()
        .find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    value
        .and_then(|v| v.split_whitespace().next()?.parse().ok())
        .expect("a value in kB")
}
