//! Weighted rendezvous among many workers in logarithmic time.
//!
//! [`rendezvous`](crate::rendezvous) asks every worker for its arrival time. Here the arrivals are
//! produced in order instead, so that only the first few are ever looked at (the idea of DartMinHash,
//! Christiani 2020). Think of a board: a column per slot, as high as the weight of the worker there.
//! A key throws darts at the whole board, at random times; the first dart that hits a worker decides.
//! Each worker is hit at an exponential time with its weight as the rate, independent of all others,
//! so everything that holds for rendezvous holds here: shares are exact in expectation, and a change
//! of one worker moves only keys to it or from it.
//!
//! How far the board reaches must not matter for those who stay, or growth would move keys. So it is
//! cut into blocks whose sides double ([0,1), [1,2), [2,4), [4,8), …, in slots and in weight), and each
//! block has its own darts, which do not depend on what other blocks there are. For `n` workers of
//! weight `w` that is about `log n · log w` blocks, most of which are done with one random number
//! because their first dart comes too late. An almost empty board costs more darts, at worst about as
//! many as it has slots: a thousand when of a thousand workers one is left, and that in the last slot.

use crate::draw::{Draw, mix, unit};

/// Most columns of a board; further workers than this are put where there is room.
const SLOTS_MAX: usize = 1 << 16;

const VACANT: u32 = u32::MAX;

/// Workers by slot, ready to be hit.
#[derive(Debug)]
pub(crate) struct Darts {
    /// The index of the worker in each slot, or `VACANT`.
    slots: Box<[u32]>,
    /// The weight in each slot; 0 where vacant.
    heights: Box<[u32]>,
    /// Every block with a worker in it, the one with the most to hit first: an early hit makes the
    /// rest short. The order does not change who wins.
    blocks: Box<[Block]>,
}

/// A part of the board. All sides are powers of two.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Makes its darts its own.
    salt: u64,
    first_slot: u32,
    slots: u32,
    first_weight: u32,
    weights: u32,
    /// Of its area, how much belongs to workers.
    taken: u64,
}

/// A worker: slot and weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Small number that is its own while it exists.
    pub(crate) slot: u32,
    /// Its share; at least 1.
    pub(crate) weight: u32,
}

impl Darts {
    /// A board with these workers. Of two with the same slot the second gets a free one.
    pub(crate) fn new(targets: &[Target]) -> Self {
        let slots = settle(targets);
        let heights: Vec<u32> = slots
            .iter()
            .map(|index| targets.get(*index as usize).map_or(0, |t| t.weight.max(1)))
            .collect();
        let mut blocks = blocks(&heights);
        blocks.sort_by_key(|block| std::cmp::Reverse(block.taken));
        Self {
            slots: slots.into(),
            heights: heights.into(),
            blocks: blocks.into(),
        }
    }

    /// The slot this hash belongs to if those in `except` were vacant; `None` if no other is taken.
    /// Meant for a handful of exceptions, none of them twice.
    pub(crate) fn winner(&self, hash: u64, except: &[u32]) -> Option<u32> {
        let mut best = f64::INFINITY;
        let mut winner = None;
        for block in &self.blocks {
            // Without anything left to hit the darts would never end.
            if !except.is_empty() && self.left(block, except) == 0 {
                continue;
            }
            let area = f64::from(block.slots) * f64::from(block.weights);
            let mut draw = Draw::new(hash ^ block.salt);
            let mut time = 0.0;
            loop {
                let late = unit(draw.bits());
                // −ln(1 − x) is at least x: most blocks end here, before the logarithm.
                if time + late / area >= best {
                    break;
                }
                time -= (1.0 - late).ln() / area;
                if time >= best {
                    break;
                }
                let place = draw.bits();
                let slot = block.first_slot + ((place >> 32) as u32 & (block.slots - 1));
                let weight = block.first_weight + (place as u32 & (block.weights - 1));
                if self.height(slot) > weight && !except.contains(&slot) {
                    (best, winner) = (time, Some(slot));
                    break;
                }
            }
        }
        winner
    }

    /// The worker in a slot, as its index into the targets.
    pub(crate) fn worker(&self, slot: u32) -> Option<usize> {
        let index = *self.slots.get(slot as usize)?;
        (index != VACANT).then_some(index as usize)
    }

    /// The weight in a slot; 0 where there is none.
    fn height(&self, slot: u32) -> u32 {
        self.heights.get(slot as usize).copied().unwrap_or(0)
    }

    /// How much of a block belongs to workers that are no exception.
    fn left(&self, block: &Block, except: &[u32]) -> u64 {
        let slots = block.first_slot..block.first_slot + block.slots;
        let excepted = except.iter().filter(|slot| slots.contains(slot));
        let excepted: u64 = excepted.map(|slot| block.height(self.height(*slot))).sum();
        block.taken - excepted
    }
}

impl Block {
    /// How much of the column of a worker with this weight is in the block.
    fn height(&self, weight: u32) -> u64 {
        u64::from(weight.saturating_sub(self.first_weight).min(self.weights))
    }
}

/// Gives every target a column: its own slot if that is free and not too far out.
fn settle(targets: &[Target]) -> Vec<u32> {
    let most = SLOTS_MAX.max(targets.len());
    let fits = |target: &Target| (target.slot as usize) < most;
    let columns = targets
        .iter()
        .filter(|target| fits(target))
        .map(|target| target.slot as usize + 1)
        .max();
    let mut slots = vec![VACANT; columns.unwrap_or(0)];
    let mut homeless = Vec::new();
    for (target, index) in targets.iter().zip(0_u32..) {
        match slots.get_mut(target.slot as usize) {
            Some(slot) if *slot == VACANT => *slot = index,
            _ => homeless.push(index),
        }
    }
    let mut free = 0;
    for index in homeless {
        while slots.get(free).is_some_and(|slot| *slot != VACANT) {
            free += 1;
        }
        if free == slots.len() {
            slots.push(VACANT);
        }
        slots[free] = index;
    }
    slots
}

/// The blocks that have a worker in them.
fn blocks(heights: &[u32]) -> Vec<Block> {
    let tallest = heights.iter().copied().max().unwrap_or(0);
    let mut blocks = Vec::new();
    for (first_slot, slots) in doubling(heights.len() as u32) {
        for (first_weight, weights) in doubling(tallest) {
            let mut block = Block {
                salt: mix((u64::from(first_slot) << 32) ^ u64::from(first_weight) ^ SALT),
                first_slot,
                slots,
                first_weight,
                weights,
                taken: 0,
            };
            let columns = heights
                .iter()
                .skip(first_slot as usize)
                .take(slots as usize);
            block.taken = columns.map(|weight| block.height(*weight)).sum();
            if block.taken > 0 {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// Keeps block (0, 0) from having a salt of 0.
const SALT: u64 = 0xd6e8_feb8_6659_fd93;

/// `[0,1) [1,2) [2,4) [4,8) …` as (first, length), until `end` is covered.
fn doubling(end: u32) -> impl Iterator<Item = (u32, u32)> {
    std::iter::once((0, 1))
        .chain((0..32).map(|power| (1 << power, 1 << power)))
        .take_while(move |(first, _)| *first < end)
}

#[cfg(test)]
mod tests;
