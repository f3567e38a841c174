//! Weighted random choice in constant time.

use crate::draw::Draw;

/// Draws indexes with probabilities in proportion to their weights, by an alias table (Walker 1977, built
/// as Vose 1991 does): each of `n` equally likely fields belongs to one index up to a threshold and to a
/// second one above it.
#[derive(Debug)]
pub(crate) struct Lottery {
    entries: usize,
    /// `None` when all weights are equal.
    fields: Option<Box<[Field]>>,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    /// The field's own index wins below this, in units of 2⁻³².
    threshold: u64,
    /// Who wins otherwise.
    other: u32,
}

impl Lottery {
    /// A lottery between as many entries as there are weights, at least one of which is not 0.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self {
            entries: weights.len(),
            fields: (!equal).then(|| fields(weights)),
        }
    }

    /// One index; `None` when there are no entries.
    pub(crate) fn draw(&self, draw: &mut Draw) -> Option<usize> {
        if self.entries == 0 {
            return None;
        }
        let (index, fraction) = draw.below(self.entries);
        Some(self.winner(index, fraction))
    }

    /// Two different indexes; `None` when there are fewer than two entries. With unequal weights the
    /// second is drawn until it differs, but not for ever: a giant may then come with its neighbour.
    pub(crate) fn draw_two(&self, draw: &mut Draw) -> Option<(usize, usize)> {
        if self.entries < 2 {
            return None;
        }
        if self.fields.is_none() {
            return Some(draw.two_below(self.entries));
        }
        let first = self.draw(draw)?;
        let other = (0..4)
            .filter_map(|_| self.draw(draw))
            .find(|index| *index != first);
        Some((first, other.unwrap_or((first + 1) % self.entries)))
    }

    fn winner(&self, index: usize, fraction: u32) -> usize {
        match &self.fields {
            Some(fields) if u64::from(fraction) >= fields[index].threshold => {
                fields[index].other as usize
            }
            _ => index,
        }
    }
}

/// Fills fields that are too small with parts of entries that are too large for their own field.
fn fields(weights: &[u32]) -> Box<[Field]> {
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    let count = weights.len() as u64;
    // What each entry still has to place; a field holds `sum`.
    let mut left: Vec<u128> = weights
        .iter()
        .map(|weight| u128::from(*weight) * u128::from(count))
        .collect();
    let whole = u128::from(sum);
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|index| left[*index] < whole);
    let mut fields: Vec<Field> = (0..weights.len() as u32)
        .map(|index| Field {
            threshold: 1 << 32,
            other: index,
        })
        .collect();
    while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
        fields[poor] = Field {
            threshold: ((left[poor] << 32) / whole) as u64,
            other: rich as u32,
        };
        left[rich] -= whole - left[poor];
        if left[rich] < whole {
            large.pop();
            small.push(rich);
        }
    }
    fields.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], draws: u32) -> Vec<f64> {
        let lottery = Lottery::new(weights);
        let mut draw = Draw::new(1);
        let mut had = vec![0_u32; weights.len()];
        for _ in 0..draws {
            had[lottery.draw(&mut draw).unwrap()] += 1;
        }
        had.iter()
            .map(|had| f64::from(*had) / f64::from(draws))
            .collect()
    }

    #[test]
    fn everyone_wins_in_proportion_to_its_weight() {
        for weights in [vec![1, 1, 1], vec![5, 1, 0, 4], vec![1, u32::MAX], vec![7]] {
            let sum: f64 = weights.iter().copied().map(f64::from).sum();
            for (share, weight) in shares(&weights, 200_000).iter().zip(&weights) {
                assert!((share - f64::from(*weight) / sum).abs() < 0.005);
            }
        }
    }

    #[test]
    fn two_winners_are_never_the_same() {
        for weights in [vec![1, 1], vec![1, u32::MAX, 1], vec![3, 2, 1]] {
            let lottery = Lottery::new(&weights);
            let mut draw = Draw::new(2);
            for _ in 0..1_000 {
                let (a, b) = lottery.draw_two(&mut draw).unwrap();
                assert!(a != b && a < weights.len() && b < weights.len());
            }
        }
        assert_eq!(Lottery::new(&[1]).draw_two(&mut Draw::new(3)), None);
        assert_eq!(Lottery::new(&[]).draw(&mut Draw::new(3)), None);
    }
}
