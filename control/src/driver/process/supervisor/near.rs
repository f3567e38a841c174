//! Keeps a worker on the CPUs near its GPUs. What the supervisor may run on, the worker and all that it starts
//! inherit.

use std::collections::BTreeSet;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::output::Output;
use crate::driver::numa::{Near, list};

/// Runs on these CPUs from now on, and tells the worker's log so, or why not: a worker that is slower than it
/// might be is better than none.
pub(super) fn keep_to(wanted: &Result<Near, String>, output: &Output) {
    let kept = wanted
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|near| Ok((near, keep(&near.cpus)?)));
    output.note(&match kept {
        Ok((near, cpus)) => format!(
            "runs on CPUs {}, near its GPUs (NUMA node {})",
            list(&cpus),
            near.node_list()
        ),
        Err(why) => format!("numa = true: runs on all CPUs, because {why}"),
    });
}

/// Those of these CPUs that we may run on.
fn keep(near: &BTreeSet<usize>) -> Result<BTreeSet<usize>, String> {
    let ours = sched_getaffinity(None).map_err(|error| format!("our own CPUs: {error}"))?;
    let known = near.iter().copied().filter(|cpu| *cpu < CpuSet::MAX_CPU);
    let cpus: BTreeSet<usize> = known.filter(|cpu| ours.is_set(*cpu)).collect();
    if cpus.is_empty() {
        return Err(format!(
            "penstock itself may run on none of the CPUs near its GPUs ({})",
            list(near)
        ));
    }
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set).map_err(|error| format!("the kernel refuses: {error}"))?;
    Ok(cpus)
}
