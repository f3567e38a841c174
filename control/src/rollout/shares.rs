//! From a share in percent to weights.

/// Whole weights that give the canary exactly `percent` of the traffic, and its siblings the rest
/// in proportion to their own weights: the canary's, and those of the siblings in their order.
pub fn weights(percent: u32, siblings: &[u32]) -> (u32, Vec<u32>) {
    let percent = u64::from(percent.min(100));
    let sum: u64 = siblings.iter().copied().map(u64::from).sum();
    if sum == 0 {
        // Nobody to share with.
        return (u32::from(percent > 0), vec![0; siblings.len()]);
    }
    let canary = percent * sum;
    let scale = |weight: &u32| u64::from(*weight) * (100 - percent);
    let scaled: Vec<u64> = siblings.iter().map(scale).collect();
    let common = scaled.iter().copied().fold(canary, divisor).max(1);
    // Only a sum of weights beyond forty million may not fit; the share is then not exact.
    let fit = |weight: u64| u32::try_from(weight / common).unwrap_or(u32::MAX);
    (fit(canary), scaled.into_iter().map(fit).collect())
}

/// Greatest common divisor (Euclid).
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_siblings_keep_their_proportion() {
        assert_eq!(weights(5, &[1]), (1, vec![19]));
        assert_eq!(weights(1, &[90, 10]), (10, vec![891, 99]));
        for percent in 1..100 {
            for siblings in [[90, 10], [7, 3], [1, 0]] {
                let (canary, others) = weights(percent, &siblings);
                let all = f64::from(canary) + others.iter().copied().map(f64::from).sum::<f64>();
                assert!((f64::from(canary) * 100.0 / all - f64::from(percent)).abs() < 1e-9);
                assert_eq!(others[0] * siblings[1], others[1] * siblings[0]);
            }
        }
    }

    #[test]
    fn all_and_nothing() {
        assert_eq!(weights(0, &[90, 10]), (0, vec![9, 1]));
        assert_eq!(weights(100, &[90, 10]), (1, vec![0, 0]));
        assert_eq!(weights(0, &[]), (0, vec![]));
    }
}
