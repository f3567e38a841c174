//! Exact tails of the two distributions behind the tests.
//!
//! At or below its expectation a count is no evidence, and the tail is given as 1; so the sums
//! below only walk away from the mode, where every term is smaller than the one before.

/// Terms smaller than this part of the sum so far change nothing that matters.
const NEGLIGIBLE: f64 = 1e-12;

/// The probability of `hits` or more in `trials` independent trials of probability `p`.
pub(super) fn binomial_tail(hits: u64, trials: u64, p: f64) -> f64 {
    let (k, n) = (hits as f64, trials as f64);
    if k <= n * p {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let first = ln_choose(n, k) + k * p.ln() + (n - k) * (-p).ln_1p();
    let odds = p / (1.0 - p);
    sum(first, k, n, |i| (n - i) / (i + 1.0) * odds)
}

/// The probability that `hits` or more of `all_hits` fall into a random part of `part` out of
/// `all` (hypergeometric): Fisher's exact test.
pub(super) fn fisher_tail(hits: u64, part: u64, all_hits: u64, all: u64) -> f64 {
    let (k, n, hit, total) = (hits as f64, part as f64, all_hits as f64, all as f64);
    if k * total <= hit * n {
        return 1.0;
    }
    let first = ln_choose(hit, k) + ln_choose(total - hit, n - k) - ln_choose(total, n);
    let next = |i: f64| (hit - i) * (n - i) / ((i + 1.0) * (total - hit - n + i + 1.0));
    sum(first, k, hit.min(n), next)
}

/// The sum of terms from `from` to `to`: the first by its logarithm, the others by their ratio to
/// the one before.
fn sum(first: f64, from: f64, to: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let mut term = first.exp();
    let mut sum = term;
    let mut i = from;
    while i < to && term > sum * NEGLIGIBLE {
        term *= ratio(i);
        sum += term;
        i += 1.0;
    }
    sum.min(1.0)
}

fn ln_choose(n: f64, k: f64) -> f64 {
    libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() <= 1e-9 * expected.max(1e-3),
            "{value} is not {expected}"
        );
    }

    /// The same sums, term by term from products.
    fn choose(n: u64, k: u64) -> f64 {
        (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product()
    }

    #[test]
    fn the_binomial_tail_is_the_sum_of_its_terms() {
        for (n, p) in [(10_u64, 0.5_f64), (40, 0.05), (100, 0.01), (7, 0.95)] {
            for k in 0..=n {
                let term =
                    |i: u64| choose(n, i) * p.powf(i as f64) * (1.0 - p).powf((n - i) as f64);
                let expected: f64 = (k..=n).map(term).sum();
                if k as f64 > n as f64 * p {
                    close(binomial_tail(k, n, p), expected);
                } else {
                    close(binomial_tail(k, n, p), 1.0);
                }
            }
        }
    }

    #[test]
    fn fishers_tail_is_the_sum_of_its_terms() {
        for (part, hits, all) in [(8_u64, 5_u64, 20_u64), (10, 3, 40), (30, 25, 60)] {
            for k in 0..=hits.min(part) {
                if part - k > all - hits {
                    continue;
                }
                let term =
                    |i: u64| choose(hits, i) * choose(all - hits, part - i) / choose(all, part);
                let expected: f64 = (k..=hits.min(part)).map(term).sum();
                if k * all > hits * part {
                    close(fisher_tail(k, part, hits, all), expected);
                }
            }
        }
    }

    #[test]
    fn the_tea_tasting_lady_is_as_in_the_book() {
        // Fisher, The Design of Experiments (1935): four of four right by chance, one in seventy.
        close(fisher_tail(4, 4, 4, 8), 1.0 / 70.0);
        close(fisher_tail(3, 4, 4, 8), 17.0 / 70.0);
    }

    #[test]
    fn nothing_fails_where_nothing_may_and_numbers_may_be_huge() {
        close(binomial_tail(1, 50, 0.0), 0.0);
        close(binomial_tail(0, 0, 0.3), 1.0);
        close(fisher_tail(0, 0, 0, 0), 1.0);
        let tail = binomial_tail(1_005_000, 100_000_000, 0.01);
        assert!(
            (1e-8..1e-5).contains(&tail),
            "five standard deviations: {tail}"
        );
        assert!(fisher_tail(20_000, 1_000_000, 1_000_000, 100_000_000) < 1e-12);
    }
}
