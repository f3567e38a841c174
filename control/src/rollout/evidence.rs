//! What speaks for and against a canary.

use std::fmt;

use penstock_config::fleet::{ClientOutcomes, LatencyHistogram, Outcomes};

/// How well a canary and its siblings answered over the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The deployment on trial.
    pub canary: Outcomes,
    /// All deployments that share the traffic with it.
    pub siblings: Outcomes,
}

impl Evidence {
    /// What has come since `base`.
    pub fn since(&self, base: &Self) -> Self {
        Self {
            canary: since(&self.canary, &base.canary),
            siblings: since(&self.siblings, &base.siblings),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { canary, siblings } = self;
        write!(
            f,
            "{} requests succeeded and {} failed, of the siblings {} and {}",
            canary.succeeded, canary.failed, siblings.succeeded, siblings.failed
        )
    }
}

/// The difference of two sums.
pub(crate) fn since(now: &Outcomes, base: &Outcomes) -> Outcomes {
    let first_byte = less(&now.first_byte, &base.first_byte);
    Outcomes {
        succeeded: now.succeeded.saturating_sub(base.succeeded),
        failed: now.failed.saturating_sub(base.failed),
        first_byte,
        suspects: now
            .suspects
            .iter()
            .map(|now| {
                let base = base.suspects.iter().find(|base| base.client == now.client);
                // One that was forgotten in between begins at nothing again.
                let base = base
                    .filter(|base| base.succeeded <= now.succeeded && base.failed <= now.failed);
                base.map_or_else(|| now.clone(), |base| since_of_client(now, base))
            })
            .collect(),
    }
}

fn since_of_client(now: &ClientOutcomes, base: &ClientOutcomes) -> ClientOutcomes {
    ClientOutcomes {
        client: now.client,
        succeeded: now.succeeded - base.succeeded,
        failed: now.failed - base.failed,
        slow: now.slow.saturating_sub(base.slow),
        first_byte: less(&now.first_byte, &base.first_byte),
    }
}

/// What one histogram counts beyond another.
fn less(whole: &LatencyHistogram, part: &LatencyHistogram) -> LatencyHistogram {
    let mut rest = LatencyHistogram::default();
    let pairs = whole.counts.iter().zip(&part.counts);
    for (count, (whole, part)) in rest.counts.iter_mut().zip(pairs) {
        *count = whole.saturating_sub(*part);
    }
    rest
}

/// The clients that are kept of a sum.
const SUSPECTS_MAX: usize = 32;

/// What the others did, without the client whose requests failed most; `None` when no client stands
/// out, or nobody else asked.
pub(crate) fn without_the_loudest(outcomes: &Outcomes) -> Option<Outcomes> {
    let loudest = outcomes
        .suspects
        .iter()
        .max_by_key(|client| client.failed)?;
    let rest = Outcomes {
        succeeded: outcomes.succeeded.saturating_sub(loudest.succeeded),
        failed: outcomes.failed.saturating_sub(loudest.failed),
        ..outcomes.clone()
    };
    (rest.succeeded + rest.failed > 0).then_some(rest)
}

/// What the others did, without the client that most of those answers went to that are `slow`; `None` when
/// no client stands out, or nobody else was answered.
pub(crate) fn without_the_slowest(
    outcomes: &Outcomes,
    slow: impl Fn(&LatencyHistogram) -> u64,
) -> Option<Outcomes> {
    let clients = outcomes.suspects.iter();
    let slowest = clients.max_by_key(|client| slow(&client.first_byte))?;
    let rest = Outcomes {
        succeeded: outcomes.succeeded.saturating_sub(slowest.succeeded),
        failed: outcomes.failed.saturating_sub(slowest.failed),
        first_byte: less(&outcomes.first_byte, &slowest.first_byte),
        suspects: Vec::new(),
    };
    (rest.succeeded > 0).then_some(rest)
}

/// Adds `more` to a sum.
pub(crate) fn add(sum: &mut Outcomes, more: &Outcomes) {
    sum.succeeded += more.succeeded;
    sum.failed += more.failed;
    add_times(&mut sum.first_byte, &more.first_byte);
    for more in &more.suspects {
        match sum
            .suspects
            .iter_mut()
            .find(|known| known.client == more.client)
        {
            Some(known) => {
                known.succeeded += more.succeeded;
                known.failed += more.failed;
                known.slow += more.slow;
                add_times(&mut known.first_byte, &more.first_byte);
            }
            None => sum.suspects.push(more.clone()),
        }
    }
    if sum.suspects.len() > SUSPECTS_MAX {
        sum.suspects
            .sort_by_key(|client| std::cmp::Reverse(client.failed + client.slow));
        sum.suspects.truncate(SUSPECTS_MAX);
    }
}

fn add_times(sum: &mut LatencyHistogram, more: &LatencyHistogram) {
    for (count, more) in sum.counts.iter_mut().zip(&more.counts) {
        *count += more;
    }
}
