//! Does the canary fail more requests?

use penstock_config::fleet::Outcomes;

use super::{
    Evidence,
    exact::{binomial_tail, fisher_tail},
};

/// In words, if the canary fails more than the share `accepted` of its requests and more than its
/// siblings do, each at this level of significance. Both tests must say so: then the chance to
/// convict one for which either is untrue is at most `level`.
pub fn worse(accepted: f64, evidence: &Evidence, level: f64) -> Option<String> {
    let Evidence { canary, siblings } = evidence;
    let (requests, of_siblings) = (total(canary), total(siblings));
    let above_accepted = binomial_tail(canary.failed, requests, accepted);
    let above_siblings = if of_siblings == 0 {
        // Nobody to compare with: what is accepted decides alone.
        0.0
    } else {
        let failed = canary.failed + siblings.failed;
        fisher_tail(canary.failed, requests, failed, requests + of_siblings)
    };
    (above_accepted.max(above_siblings) <= level).then(|| {
        format!(
            "{} of its {requests} requests failed ({}); {} of its siblings' {of_siblings} did{}, and {} is accepted",
            canary.failed,
            percent(canary.failed, requests),
            siblings.failed,
            if of_siblings == 0 { String::new() } else { format!(" ({})", percent(siblings.failed, of_siblings)) },
            Percent(100.0 * accepted),
        )
    })
}

fn total(outcomes: &Outcomes) -> u64 {
    outcomes.succeeded + outcomes.failed
}

fn percent(part: u64, whole: u64) -> Percent {
    Percent(100.0 * part as f64 / whole.max(1) as f64)
}

/// With one digit, or as many as a small one needs.
struct Percent(f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 >= 1.0 || self.0 == 0.0 {
            write!(f, "{:.1} %", self.0)
        } else {
            write!(f, "{:.3} %", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(failed: u64, requests: u64) -> Outcomes {
        Outcomes {
            succeeded: requests - failed,
            failed,
            ..Outcomes::default()
        }
    }

    fn is_worse(accepted: f64, canary: (u64, u64), siblings: (u64, u64)) -> bool {
        let evidence = Evidence {
            canary: outcomes(canary.0, canary.1),
            siblings: outcomes(siblings.0, siblings.1),
        };
        worse(accepted, &evidence, 0.01).is_some()
    }

    #[test]
    fn a_canary_that_fails_much_more_is_worse() {
        assert!(is_worse(0.01, (12, 100), (5, 10_000)));
        assert!(is_worse(0.0, (5, 100), (0, 10_000)));
    }

    #[test]
    fn what_is_accepted_is_no_fault_even_if_the_siblings_never_fail() {
        assert!(!is_worse(0.05, (50, 1_000), (0, 100_000)));
    }

    #[test]
    fn trouble_that_the_siblings_share_is_no_fault() {
        assert!(!is_worse(0.01, (30, 100), (2_900, 10_000)));
    }

    #[test]
    fn a_few_failures_of_a_few_requests_prove_nothing() {
        assert!(!is_worse(0.01, (2, 20), (5, 10_000)));
    }

    #[test]
    fn without_siblings_what_is_accepted_decides() {
        assert!(is_worse(0.01, (12, 100), (0, 0)));
        assert!(!is_worse(0.01, (1, 100), (0, 0)));
    }
}
