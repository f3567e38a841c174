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
    let mut first_byte = LatencyHistogram::default();
    let pairs = now.first_byte.counts.iter().zip(&base.first_byte.counts);
    for (count, (now, base)) in first_byte.counts.iter_mut().zip(pairs) {
        *count = now.saturating_sub(*base);
    }
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
                ClientOutcomes {
                    client: now.client,
                    succeeded: now.succeeded - base.map_or(0, |base| base.succeeded),
                    failed: now.failed - base.map_or(0, |base| base.failed),
                }
            })
            .collect(),
    }
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

/// Adds `more` to a sum.
pub(crate) fn add(sum: &mut Outcomes, more: &Outcomes) {
    sum.succeeded += more.succeeded;
    sum.failed += more.failed;
    let counts = sum.first_byte.counts.iter_mut();
    for (count, more) in counts.zip(&more.first_byte.counts) {
        *count += more;
    }
    for more in &more.suspects {
        match sum
            .suspects
            .iter_mut()
            .find(|known| known.client == more.client)
        {
            Some(known) => {
                known.succeeded += more.succeeded;
                known.failed += more.failed;
            }
            None => sum.suspects.push(*more),
        }
    }
    if sum.suspects.len() > SUSPECTS_MAX {
        sum.suspects
            .sort_by_key(|client| std::cmp::Reverse(client.failed));
        sum.suspects.truncate(SUSPECTS_MAX);
    }
}
