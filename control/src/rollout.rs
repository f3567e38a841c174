//! A canary that watches itself: raises a deployment's share of the traffic step by step, and takes
//! it all back when the deployment does worse than its siblings. Pure and told the time.
//!
//! # What is judged
//!
//! The gateways count how well each deployment answers; no outside metric store is asked. What
//! counts in a step are the requests that ended in it, of the canary and of its siblings at the
//! same time, so that trouble that both share convicts nobody.
//!
//! - **Errors** ([`errors`]). The claim to be refuted is "the canary fails no more requests than
//!   `max_error_rate` allows, or no more than its siblings do". Both halves must be refuted: the
//!   first by an exact one-sided binomial test, the second by Fisher's exact one-sided test, which
//!   also takes into account that the siblings' rate is only known from so many requests. Without
//!   requests of siblings (the step of 100 %) those that they had in the step before are taken.
//!   A client can make requests fail. So the same must be true without the client whose requests
//!   failed most, if there are others; and what came to the deployment's own host does not count.
//! - **Latency** ([`latency`]), with `max_p95_ratio`. The claim is "at most 5 % of the canary's
//!   requests wait longer for the first byte than `max_p95_ratio` times the siblings' 95th
//!   percentile". That percentile is taken at the upper end of its confidence interval (an order
//!   statistic, no distribution is assumed), then the canary's slow requests are counted and tested
//!   by the binomial test. As with errors, the same must be true without the client that most of the slow
//!   answers went to, if there are others: its prompts may be what takes long. The histograms' buckets are an eighth of an octave wide; they are read in
//!   favour of the canary, so one that is slower by less than about a quarter above the ratio may pass.
//!
//! # How often
//!
//! Whoever looks at every request with a test made for one look convicts the innocent sooner or
//! later. So there are few looks ([`Looks`]): the first when the canary has had `min_requests`, the
//! next ones each time it has had a quarter more than at the last, and one when the interval ends.
//! What a rollout may spend on errors of this kind, `1 - confidence`, is divided evenly among its
//! steps and criteria, and within a step look `k` gets the part `1 / (k (k + 1))`, which adds up to
//! the whole however many looks there will be. By Bonferroni's inequality a canary as good as its
//! siblings is then rolled back with a probability of at most `1 - confidence` in the whole
//! rollout. The tests assume that requests fail independently of each other.
//!
//! A step whose evidence would convict if this were the only look, but does not under the stricter
//! rule, is not taken either: the rollout holds until more requests have cleared the doubt.

pub mod errors;
pub(crate) mod evidence;
mod exact;
mod hold;
pub mod latency;
mod looks;
mod run;
mod shares;
#[cfg(test)]
mod tests;

use std::time::Duration;

use penstock_config::Rollout;

pub use self::{
    evidence::Evidence,
    hold::Hold,
    looks::Looks,
    run::{Event, Facts, Memory, Run, Stage},
    shares::weights,
};

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Goes on, for this reason.
    Hold(Hold),
    /// Has lasted long enough and nothing speaks against the canary.
    Advance,
    /// The canary does worse; how, in words.
    RollBack(String),
}

/// Judges a step that has lasted for `elapsed`, by what has happened in it.
pub fn judge(
    rollout: &Rollout,
    evidence: &Evidence,
    elapsed: Duration,
    looks: &mut Looks,
) -> Verdict {
    let over = elapsed >= rollout.interval;
    let had = evidence.canary.succeeded + evidence.canary.failed;
    if had < u64::from(rollout.min_requests) {
        return Verdict::Hold(if over {
            Hold::TooFewRequests {
                had,
                needed: rollout.min_requests,
            }
        } else {
            Hold::Interval
        });
    }
    let doubt = 1.0 - rollout.confidence;
    if let Some(part) = looks.due(had, over) {
        let level = doubt * part / rollout.steps.len().max(1) as f64;
        if let Some(worse) = finding(rollout, evidence, level) {
            return Verdict::RollBack(worse);
        }
    }
    if !over {
        return Verdict::Hold(Hold::Interval);
    }
    let worse = finding(rollout, evidence, doubt).or_else(|| lonely(rollout, evidence, doubt));
    match worse {
        Some(worse) => Verdict::Hold(Hold::InDoubt(worse)),
        None => Verdict::Advance,
    }
}

/// What speaks against the canary by the word of one client, as long as the others have not asked
/// enough to contradict it.
fn lonely(rollout: &Rollout, evidence: &Evidence, level: f64) -> Option<String> {
    let by_errors = || {
        let rest = evidence::without_the_loudest(&evidence.canary)?;
        let worse = errors::worse(rollout.max_error_rate, evidence, level)?;
        Some((worse, rest.succeeded + rest.failed))
    };
    let by_latency = || latency::worse_for_one(rollout.max_p95_ratio?, evidence, level);
    let is_unclear = |(_, asked): &(String, u64)| *asked < u64::from(rollout.min_requests);
    let found = by_errors().filter(is_unclear);
    let (worse, asked) = found.or_else(|| by_latency().filter(is_unclear))?;
    Some(format!(
        "{worse}; but nearly all of one client, and the others have had {asked} requests only"
    ))
}

/// What speaks against the canary at this level of significance, shared by the criteria.
fn finding(rollout: &Rollout, evidence: &Evidence, level: f64) -> Option<String> {
    let criteria = 1 + u32::from(rollout.max_p95_ratio.is_some());
    let level = level / f64::from(criteria);
    let worse = errors::worse(rollout.max_error_rate, evidence, level);
    // Where several clients ask, one alone convicts nobody.
    let worse = worse.filter(|_| {
        evidence::without_the_loudest(&evidence.canary).is_none_or(|canary| {
            let siblings = evidence.siblings.clone();
            let rest = Evidence { canary, siblings };
            errors::worse(rollout.max_error_rate, &rest, level).is_some()
        })
    });
    worse.or_else(|| latency::worse(rollout.max_p95_ratio?, evidence, level))
}
