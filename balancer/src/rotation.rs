//! Takes turns by weight: the sequence behind `round-robin` and `weights`.
//!
//! The whole sequence of turns is worked out when the weights are known, so that taking a turn is
//! one atomic addition and one look into a table, without a lock. It has three properties:
//!
//! - exact: any window as long as the sum of the (reduced) weights holds each entry exactly as often
//!   as its weight says, because the table repeats;
//! - smooth: at no point of the table has an entry had a whole turn more or less than its share. Turn
//!   `j` of an entry with share `s` may fall into the time from `j / s` to `(j + 1) / s`; an order that
//!   keeps to this always exists (Tijdeman 1980, "the chairman assignment problem"), and letting the turn
//!   go first whose time ends first finds it (Horn 1974);
//! - lasting: a new table takes over what the old one owed. Whoever stays neither loses a turn nor gets
//!   an extra one, however often the list changes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Longest table. Weights whose sum (after division by their common divisor) is larger are rounded;
/// a share is then off by at most one turn in `TURNS_MAX`, and an entry keeps at least that turn.
const TURNS_MAX: u64 = 1 << 16;

/// One taker of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Identity across rebuilds.
    pub(crate) key: u64,
    /// Share of the turns; 0 takes none.
    pub(crate) weight: u32,
}

/// A list of weighted entries that take turns.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// Weights as given, to see whether a new list is the same.
    entries: Box<[Entry]>,
    /// Reduced weights; their sum is the length of `cycle`.
    shares: Box<[u32]>,
    /// What the list before this one still owed to each entry, in turns; sums up to 0.
    owed: Box<[f64]>,
    /// The turns that settle `owed`; empty when there was none.
    prelude: Arc<[u32]>,
    /// The turns that repeat for ever after.
    cycle: Arc<[u32]>,
    /// Number of turns taken.
    position: Arc<AtomicU64>,
}

impl Rotation {
    /// Takes turns among `entries`, and goes on from where `previous` stands.
    pub(crate) fn new(entries: Vec<Entry>, previous: Option<&Self>) -> Self {
        if let Some(same) = previous.filter(|previous| *previous.entries == *entries) {
            return same.share();
        }
        let shares = reduced(&entries);
        let owed = previous.map_or_else(
            || vec![0.0; shares.len()],
            |previous| previous.owed_to(&entries, &shares),
        );
        let cycle = spread(&shares, &vec![0.0; shares.len()]);
        let prelude = if owed.iter().all(|turns| *turns == 0.0) {
            Vec::new()
        } else {
            spread(&shares, &owed)
        };
        Self {
            entries: entries.into(),
            shares: shares.into(),
            owed: owed.into(),
            prelude: prelude.into(),
            cycle: cycle.into(),
            position: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The same rotation under another owner: both go on counting together.
    fn share(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            shares: self.shares.clone(),
            owed: self.owed.clone(),
            prelude: Arc::clone(&self.prelude),
            cycle: Arc::clone(&self.cycle),
            position: Arc::clone(&self.position),
        }
    }

    /// The next entry in turn that `accept`s. Turns of those that refuse are passed over, so that the
    /// others keep their shares among each other. `None` when all refused, or there are no turns.
    pub(crate) fn next(&self, mut accept: impl FnMut(usize) -> bool) -> Option<usize> {
        if self.cycle.is_empty() {
            return None;
        }
        let first = self.position.fetch_add(1, Relaxed);
        // Twice around for equal weights. Very unequal ones would make a full walk long, so what is
        // left is then asked in the order of the list.
        let reach = (2 * self.shares.len() as u64).min(self.cycle.len() as u64);
        for passed in 0..reach {
            let index = self.turn(first + passed);
            if accept(index) {
                if passed > 0 {
                    self.position.fetch_add(passed, Relaxed);
                }
                return Some(index);
            }
        }
        // Before the cycle some may have a turn late, and others several.
        let in_cycle = first >= self.prelude.len() as u64;
        let asked_all = in_cycle && reach == self.cycle.len() as u64;
        let mut rest = if asked_all {
            0..0
        } else {
            0..self.shares.len()
        };
        rest.find(|index| self.shares[*index] > 0 && accept(*index))
    }

    fn turn(&self, position: u64) -> usize {
        let settled = self.prelude.len() as u64;
        let index = if position < settled {
            self.prelude[position as usize]
        } else {
            self.cycle[((position - settled) % self.cycle.len() as u64) as usize]
        };
        index as usize
    }

    /// What `entries` must get from this rotation's debts, so that the sum is 0 again although some
    /// debtors or creditors may have left.
    fn owed_to(&self, entries: &[Entry], shares: &[u32]) -> Vec<f64> {
        let debts = self.debts();
        let by_key: BTreeMap<u64, f64> = self
            .entries
            .iter()
            .zip(&debts)
            .map(|(entry, debt)| (entry.key, *debt))
            .collect();
        let mut owed: Vec<f64> = entries
            .iter()
            .map(|entry| match entry.weight {
                0 => 0.0,
                _ => by_key.get(&entry.key).copied().unwrap_or(0.0),
            })
            .collect();
        let surplus: f64 = owed.iter().sum();
        let turns = f64::from(shares.iter().sum::<u32>().max(1));
        for (debt, share) in owed.iter_mut().zip(shares) {
            *debt = (*debt - surplus * f64::from(*share) / turns).clamp(-1.0, 1.0);
        }
        owed
    }

    /// Turns that each entry is short of its share (or, below 0, ahead of it) at this moment.
    fn debts(&self) -> Vec<f64> {
        let position = self.position.load(Relaxed);
        let settled = self.prelude.len() as u64;
        let (mut debts, taken) = if position < settled {
            (self.owed.to_vec(), &self.prelude[..position as usize])
        } else if self.cycle.is_empty() {
            return vec![0.0; self.entries.len()];
        } else {
            let since = (position - settled) % self.cycle.len() as u64;
            (vec![0.0; self.entries.len()], &self.cycle[..since as usize])
        };
        let passed = taken.len() as f64 / self.cycle.len() as f64;
        for (debt, share) in debts.iter_mut().zip(&self.shares) {
            *debt += passed * f64::from(*share);
        }
        for index in taken {
            debts[*index as usize] -= 1.0;
        }
        debts
    }
}

/// Weights divided by their greatest common divisor, and rounded if the table would still be too long.
fn reduced(entries: &[Entry]) -> Vec<u32> {
    let divisor = entries.iter().fold(0, |d, entry| gcd(d, entry.weight));
    let sum: u64 = entries
        .iter()
        .map(|entry| u64::from(entry.weight / divisor.max(1)))
        .sum();
    // A list longer than the table is no reason to leave anybody out.
    let most = TURNS_MAX.max(entries.len() as u64);
    let share = |weight: u32| {
        let exact = u64::from(weight / divisor.max(1));
        let rounded = if sum <= most {
            exact
        } else {
            ((exact * most + sum / 2) / sum).max(u64::from(exact > 0))
        };
        u32::try_from(rounded).expect("a share is not above a weight")
    };
    entries.iter().map(|entry| share(entry.weight)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One table of as many turns as the sum of `shares`, beginning with entry `i` being `owed[i]` turns
/// behind. With nothing owed entry `i` occurs exactly `shares[i]` times.
fn spread(shares: &[u32], owed: &[f64]) -> Vec<u32> {
    let turns: u64 = shares.iter().copied().map(u64::from).sum();
    // The time, in turns of the table, at which an entry's fair share reaches `count` turns.
    let time = |index: u32, count: f64| {
        let index = index as usize;
        (count - owed[index]) * turns as f64 / f64::from(shares[index])
    };
    let begin = |index: u32, taken: u32| time(index, f64::from(taken)).floor().max(0.0) as u64;
    let end = |index: u32, taken: u32| time(index, f64::from(taken) + 1.0).ceil().max(0.0) as u64;

    let mut taken = vec![0; shares.len()];
    let mut early: BinaryHeap<Reverse<(u64, u32)>> = (0..shares.len() as u32)
        .filter(|index| shares[*index as usize] > 0)
        .map(|index| Reverse((begin(index, 0), index)))
        .collect();
    let mut due: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::with_capacity(early.len());
    let mut table = Vec::with_capacity(turns as usize);
    for now in 0..turns {
        // Somebody's time has always begun; should rounding of `owed` say otherwise, the next begins now.
        while let Some(Reverse((begins, index))) = early.peek().copied() {
            if begins > now && !due.is_empty() {
                break;
            }
            early.pop();
            due.push(Reverse((end(index, taken[index as usize]), index)));
        }
        let Some(Reverse((_, index))) = due.pop() else {
            break;
        };
        table.push(index);
        taken[index as usize] += 1;
        early.push(Reverse((begin(index, taken[index as usize]), index)));
    }
    table
}

#[cfg(test)]
mod tests;
