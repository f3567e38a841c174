//! The GPUs that are left while they are shared out.

use std::{cmp::Reverse, time::Duration};

use super::{Facts, GroupFacts, Holder, Owner, Promise, WaitsFor, Want, Why, Yield};

/// What is left.
pub(super) struct Room<'f> {
    facts: &'f Facts,
    groups: Vec<GroupFacts>,
    promises: Vec<Promise>,
    owners: Vec<Owner>,
    /// Whether each of the holders was asked to go.
    asked: Vec<bool>,
}

impl<'f> Room<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        let mut groups = facts.groups.clone();
        let mut promises = Vec::new();
        for promise in &facts.promises {
            let wants =
                |want: &Want| want.who == promise.who && want.groups.contains(&promise.group);
            if facts.wants.iter().any(wants) {
                promises.push(*promise);
            } else {
                groups[promise.group].free += promise.free;
                groups[promise.group].coming += promise.coming;
            }
        }
        Self {
            facts,
            groups,
            promises,
            owners: facts.owners.clone(),
            asked: vec![false; facts.holders.len()],
        }
    }

    /// What a deployment may have of a group: what is promised to it, and what is to nobody.
    fn there_is(&self, who: usize, group: usize) -> GroupFacts {
        let mut all = self.groups[group];
        for promise in self.promises_of(who, group) {
            all.free += promise.free;
            all.coming += promise.coming;
        }
        all
    }

    fn promises_of(&self, who: usize, group: usize) -> impl Iterator<Item = &Promise> {
        let promises = self.promises.iter();
        promises.filter(move |promise| (promise.who, promise.group) == (who, group))
    }

    /// Whether anything is promised to it.
    pub(super) fn is_promised(&self, who: usize) -> bool {
        self.promises.iter().any(|promise| promise.who == who)
    }

    /// Whether somebody has been given something of a group, or is to be.
    fn has_taken(&self, group: usize) -> bool {
        let left = self.groups[group];
        let before = self.facts.groups[group];
        let of_group = |promise: &Promise| promise.group == group;
        (left.free, left.coming) != (before.free, before.coming)
            || self.promises.iter().any(of_group)
            || self.facts.promises.iter().any(of_group)
    }

    /// Takes so many, the promised ones and the free ones first.
    fn take(&mut self, who: usize, group: usize, mut gpus: u32) {
        let mut take = |left: &mut u32| {
            let taken = gpus.min(*left);
            gpus -= taken;
            *left -= taken;
        };
        for promise in &mut self.promises {
            if (promise.who, promise.group) == (who, group) {
                take(&mut promise.free);
            }
        }
        take(&mut self.groups[group].free);
        for promise in &mut self.promises {
            if (promise.who, promise.group) == (who, group) {
                take(&mut promise.coming);
            }
        }
        take(&mut self.groups[group].coming);
    }

    /// Free ones, if there are enough; of which group.
    pub(super) fn take_free(&mut self, want: &Want) -> Option<usize> {
        let enough = |group: &&usize| self.there_is(want.who, **group).free >= want.gpus;
        let group = *want.groups.iter().find(enough)?;
        self.take(want.who, group, want.gpus);
        Some(group)
    }

    /// Those that are about to be free, with free ones beside them.
    pub(super) fn take_coming(&mut self, want: &Want) -> bool {
        let enough = |group: &&usize| {
            let there = self.there_is(want.who, **group);
            there.free + there.coming >= want.gpus
        };
        let Some(group) = want.groups.iter().copied().find(|group| enough(&group)) else {
            return false;
        };
        self.take(want.who, group, want.gpus);
        true
    }

    /// Asks workers of others to go, if so there will be enough: idle ones of the best group where that
    /// will do, else of the next; and busy ones only where no group has idle ones.
    pub(super) fn make(&mut self, want: &Want, yields: &mut Vec<Yield>) -> bool {
        let turn = want.turn();
        let only_idle = [true, false];
        for idle in only_idle.into_iter().take(1 + usize::from(turn.is_some())) {
            for &group in &want.groups {
                let turn = turn.filter(|_| !idle);
                let Some(chosen) = self.victims(want, group, turn) else {
                    continue;
                };
                for (holder, why) in chosen {
                    let Holder { who, gpus, .. } = self.facts.holders[holder];
                    self.asked[holder] = true;
                    self.owners[who].spare -= 1;
                    self.groups[group].coming += gpus;
                    yields.push(Yield {
                        holder,
                        to: want.who,
                        why,
                    });
                }
                self.take(want.who, group, want.gpus);
                return true;
            }
        }
        false
    }

    /// Workers of a group that give way to it, if they have enough.
    fn victims(&self, want: &Want, group: usize, turn: Option<Why>) -> Option<Vec<(usize, Why)>> {
        let linger = want.linger()?;
        let holders = self.facts.holders.iter().enumerate();
        let may = holders.filter_map(|(number, holder)| {
            let is_other = holder.group == group && holder.who != want.who;
            if !is_other || self.asked[number] {
                return None;
            }
            let why = self.gives_way(want, holder, linger, turn)?;
            Some((number, why))
        });
        let mut may: Vec<(usize, Why)> = may.collect();
        may.sort_by_cached_key(|(number, why)| self.order(want, *number, *why));
        let there = self.there_is(want.who, group);
        let mut lacks = want.gpus.saturating_sub(there.free + there.coming);
        let mut chosen: Vec<(usize, Why)> = Vec::new();
        for (number, why) in may {
            if lacks == 0 {
                break;
            }
            let holder = &self.facts.holders[number];
            let of_same = |(other, _): &&(usize, Why)| self.facts.holders[*other].who == holder.who;
            let gone = chosen.iter().filter(of_same).count();
            if (gone as u64) < u64::from(self.owners[holder.who].spare) {
                lacks = lacks.saturating_sub(holder.gpus);
                chosen.push((number, why));
            }
        }
        (lacks == 0).then_some(chosen)
    }

    /// Why a worker gives way, if it does.
    fn gives_way(
        &self,
        want: &Want,
        holder: &Holder,
        linger: Duration,
        turn: Option<Why>,
    ) -> Option<Why> {
        let owner = &self.owners[holder.who];
        if owner.spare == 0 {
            return None;
        }
        if let Some(idle) = holder.idle {
            return (idle >= linger).then_some(Why::Idle(idle));
        }
        let turn = turn?;
        let of_use = holder.ready?;
        // What took long to load is worth more than a glance.
        let is_worn = of_use >= owner.start.unwrap_or_default().min(want.bound);
        (owner.priority <= want.priority && is_worn).then_some(turn)
    }

    /// Who gives way first has the least.
    fn order(&self, want: &Want, number: usize, why: Why) -> impl Ord + use<> {
        let holder = &self.facts.holders[number];
        let owner = &self.owners[holder.who];
        let idle = match why {
            Why::Idle(idle) => idle,
            Why::Age(_) | Why::Sum(_) => holder.ready.unwrap_or_default(),
        };
        (
            holder.idle.is_none(),
            owner.priority,
            // Who sleeps there is up sooner than another one is started.
            !holder.under.contains(&want.who),
            owner.waits.sum,
            holder.in_flight,
            Reverse(idle),
            number,
        )
    }

    /// What it waits for that nobody makes room for now. Whoever is overdue keeps what is free already, or a
    /// worker that needs several would never find them together.
    pub(super) fn wait(&mut self, want: &Want) -> WaitsFor {
        let possible = |room: &Self, group: usize| {
            let there = room.there_is(want.who, group);
            let holders = room.facts.holders.iter();
            let others = holders.filter(|holder| {
                let owner = &room.owners[holder.who];
                let yields = holder.idle.is_some() || owner.priority <= want.priority;
                holder.group == group && holder.who != want.who && owner.spare > 0 && yields
            });
            let others: u32 = others.map(|holder| holder.gpus).sum();
            there.free + there.coming + others >= want.gpus
        };
        let Some(&group) = want.groups.iter().find(|group| possible(self, **group)) else {
            let goes_to_others = want.groups.iter().any(|group| self.has_taken(*group));
            return if goes_to_others {
                WaitsFor::Others
            } else {
                WaitsFor::Change
            };
        };
        if want.is_overdue() {
            self.take(want.who, group, want.gpus);
        }
        if want.need == super::Need::Waited {
            WaitsFor::Turn(want.bound)
        } else {
            WaitsFor::Idleness
        }
    }
}
