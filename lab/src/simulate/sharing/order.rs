//! What is compared with: requests are served in the order in which they came, as llama-swap does.

use std::time::Duration;

use super::{Asked, Machine, Shared};

/// One GPU: until when it is busy, and which model it has.
#[derive(Debug, Clone, Copy, Default)]
struct Gpu {
    until: Duration,
    model: Option<usize>,
}

/// Replays requests in the order of their arrival: the first goes to a GPU that is idle, if one of those has its
/// model to that one, else to the one that has been idle longest, which loads it. Nobody overtakes.
pub fn in_order_of_arrival(asked: &[Asked], machine: Machine) -> Shared {
    let mut gpus = vec![Gpu::default(); machine.gpus];
    let mut shared = Shared::default();
    let mut last = Duration::ZERO;
    for one in asked {
        let came = one.at.max(last);
        let soonest = gpus.iter().map(|gpu| gpu.until.max(came)).min();
        let begins = soonest.unwrap_or(came);
        let idle = |gpu: &&mut Gpu| gpu.until <= begins;
        let has_it = |gpu: &Gpu| gpu.model == Some(one.service);
        let chosen = gpus
            .iter_mut()
            .filter(idle)
            .min_by_key(|gpu| (!has_it(gpu), gpu.until));
        let Some(gpu) = chosen else {
            continue;
        };
        last = begins;
        let mut at = begins;
        if !has_it(gpu) {
            gpu.model = Some(one.service);
            at += machine.start;
            shared.starts += 1;
        }
        shared.waited(at - one.at);
        gpu.until = at + one.takes;
    }
    shared.waits.sort();
    shared
}
