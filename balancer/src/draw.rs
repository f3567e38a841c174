//! Random numbers out of the seed that the caller gave.

/// A sequence of random numbers from one seed: SplitMix64 (Steele, Lea and Flood 2014), which takes
/// any seed, has no state but a counter, and costs two multiplications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0, and 32 further random bits. The number is off by less
    /// than `bound / 2³²` from uniform.
    pub(crate) fn below(&mut self, bound: usize) -> (usize, u32) {
        let bits = self.bits();
        (scale((bits >> 32) as u32, bound), bits as u32)
    }

    /// Two different numbers below `bound`, which is at least 2, as uniform as those of
    /// [`below`](Self::below).
    pub(crate) fn two_below(&mut self, bound: usize) -> (usize, usize) {
        let (first, rest) = self.below(bound);
        let second = scale(rest, bound - 1);
        (first, if second >= first { second + 1 } else { second })
    }
}

/// Every input bit changes every output bit with probability one half.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number in [0, 1) from random bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Maps 32 random bits to a number below `bound` by multiplication (Lemire 2019), without a division.
fn scale(bits: u32, bound: usize) -> usize {
    ((u64::from(bits) * bound as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_never_the_same_and_every_pair_occurs() {
        let mut draw = Draw::new(1);
        let mut seen = [[0; 4]; 4];
        for _ in 0..12_000 {
            let (a, b) = draw.two_below(4);
            seen[a][b] += 1;
        }
        for (a, row) in seen.iter().enumerate() {
            for (b, count) in row.iter().enumerate() {
                assert_eq!(a == b, *count == 0);
                assert!(a == b || (800..1_200).contains(count), "{seen:?}");
            }
        }
    }

    #[test]
    fn numbers_are_below_their_bound() {
        let mut draw = Draw::new(7);
        assert!((0..1_000).all(|_| draw.below(3).0 < 3 && draw.below(1).0 == 0));
        assert!((0.0..1.0).contains(&unit(u64::MAX)) && unit(0) == 0.0);
    }
}
