//! What is promised, whatever there is to share.

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A deployment where one request has waited for so long.
fn want(who: usize, waited: u64) -> Want {
    Want {
        who,
        missing: 1,
        gpus: 1,
        groups: vec![0],
        need: Need::Waited,
        priority: 0,
        waits: Waits {
            count: 1,
            sum: at(waited),
            oldest: at(waited),
        },
        bound: at(600),
        start: Some(at(40)),
    }
}

/// One that has had nothing to do for so long.
fn idle(who: usize, seconds: u64) -> Holder {
    Holder {
        who,
        group: 0,
        gpus: 1,
        idle: Some(at(seconds)),
        ready: Some(at(1000)),
        in_flight: 0,
        under: Vec::new(),
    }
}

fn busy(who: usize) -> Holder {
    Holder {
        idle: None,
        in_flight: 1,
        under: Vec::new(),
        ..idle(who, 0)
    }
}

fn owner(priority: i32, spare: u32) -> Owner {
    Owner {
        priority,
        spare,
        waits: Waits::default(),
        start: Some(at(40)),
    }
}

fn facts(free: u32, wants: Vec<Want>, holders: Vec<Holder>, owners: Vec<Owner>) -> Facts {
    Facts {
        groups: vec![GroupFacts { free, coming: 0 }],
        wants,
        holders,
        owners,
        promises: Vec::new(),
    }
}

fn granted(sharing: &Sharing) -> Vec<usize> {
    sharing.grants.iter().map(|grant| grant.who).collect()
}

fn yielded(sharing: &Sharing) -> Vec<usize> {
    sharing.yields.iter().map(|one| one.holder).collect()
}

#[test]
fn a_free_gpu_goes_to_the_largest_sum_of_waits() {
    let mut many = want(1, 20);
    many.waits.sum = at(100);
    let sharing = share(&facts(1, vec![want(0, 50), many], vec![], vec![]));
    assert_eq!(granted(&sharing), [1]);
    assert_eq!(sharing.denials[0].who, 0);
}

#[test]
fn a_promise_of_a_group_that_is_not_wanted_any_more_holds_nobody_up() {
    let mut facts = facts(0, vec![want(0, 50), want(1, 20)], vec![], vec![]);
    facts.groups.push(GroupFacts::default());
    facts.wants[0].groups = vec![1];
    facts.promises = vec![Promise {
        who: 0,
        group: 0,
        free: 1,
        coming: 0,
    }];
    assert_eq!(granted(&share(&facts)), [1]);
}

#[test]
fn who_has_waited_beyond_the_bound_comes_before_all_sums_and_priorities() {
    let mut many = want(1, 20);
    (many.waits.sum, many.priority) = (at(5000), 7);
    let sharing = share(&facts(1, vec![many, want(0, 600)], vec![], vec![]));
    assert_eq!(granted(&sharing), [0]);
}

#[test]
fn of_idle_workers_the_least_priority_goes_first_and_then_who_has_been_idle_longest() {
    let holders = vec![idle(1, 100), idle(2, 10), idle(2, 30)];
    let owners = vec![owner(0, 0), owner(5, 1), owner(-5, 2)];
    let sharing = share(&facts(0, vec![want(0, 1)], holders, owners));
    assert_eq!(yielded(&sharing), [2]);
    assert_eq!(sharing.yields[0].why, Why::Idle(at(30)));
    assert_eq!(sharing.denials[0].waits_for, WaitsFor::Room);
}

#[test]
fn an_idle_worker_gives_way_to_a_lower_priority_and_a_busy_one_does_not() {
    for (holder, expected) in [(idle(1, 60), vec![0]), (busy(1), vec![])] {
        let sharing = share(&facts(
            0,
            vec![want(0, 900)],
            vec![holder],
            vec![owner(0, 0), owner(1, 1)],
        ));
        assert_eq!(yielded(&sharing), expected);
    }
}

#[test]
fn who_has_only_just_become_idle_may_be_asked_again_at_once() {
    let owners = || vec![owner(0, 0), owner(0, 1)];
    let asked = |seconds| {
        let facts = facts(0, vec![want(0, 1)], vec![idle(1, seconds)], owners());
        yielded(&share(&facts))
    };
    assert_eq!(asked(3), [0_usize; 0]);
    assert_eq!(asked(4), [0], "a tenth of the start that it leads to");
}

#[test]
fn what_min_keeps_gives_way_to_nobody() {
    let holders = vec![idle(1, 600), idle(1, 600)];
    let mut two = want(0, 900);
    two.missing = 2;
    let sharing = share(&facts(
        0,
        vec![two],
        holders,
        vec![owner(0, 0), owner(0, 1)],
    ));
    assert_eq!(yielded(&sharing), [0]);
    assert_eq!(sharing.denials[0].waits_for, WaitsFor::Change);
}

#[test]
fn the_loaded_model_goes_on_until_somebody_has_waited_for_too_long() {
    let ask = |waited, sum, of_use| {
        let mut want = want(0, waited);
        want.waits.sum = at(sum);
        let mut holder = busy(1);
        holder.ready = Some(at(of_use));
        let facts = facts(0, vec![want], vec![holder], vec![owner(0, 0), owner(0, 1)]);
        let sharing = share(&facts);
        (
            sharing.yields.first().map(|one| one.why),
            sharing.denials[0].waits_for,
        )
    };
    assert_eq!(ask(599, 599, 1000), (None, WaitsFor::Turn(at(600))));
    assert_eq!(ask(600, 600, 1000).0, Some(Why::Age(at(600))));
    assert_eq!(ask(100, 6000, 1000).0, Some(Why::Sum(at(6000))));
    // It has taken 40 s to load, and has only just begun to be of use.
    assert_eq!(ask(600, 600, 39).0, None);
}

#[test]
fn what_was_given_up_for_somebody_is_kept_for_it() {
    let promise = Promise {
        who: 0,
        group: 0,
        free: 1,
        coming: 0,
    };
    let mut many = want(1, 20);
    many.waits.sum = at(5000);
    let mut facts = facts(0, vec![many, want(0, 1)], vec![], vec![]);
    facts.promises = vec![promise];
    assert_eq!(granted(&share(&facts)), [0]);
    // If it does not want it any more it is anybody's.
    facts.wants.pop();
    assert_eq!(granted(&share(&facts)), [1]);
}

#[test]
fn a_group_that_is_preferred_is_taken_and_the_next_one_before_anybody_must_go() {
    let mut of_two = want(0, 1);
    of_two.groups = vec![1, 0];
    let mut facts = facts(
        1,
        vec![of_two],
        vec![idle(1, 60)],
        vec![owner(0, 0), owner(0, 1)],
    );
    facts.groups.push(GroupFacts { free: 1, coming: 0 });
    facts.holders[0].group = 1;
    assert_eq!(share(&facts).grants[0].group, 1);
    facts.groups[1].free = 0;
    let sharing = share(&facts);
    assert_eq!((sharing.grants[0].group, sharing.yields.len()), (0, 0));
    facts.groups[0].free = 0;
    assert_eq!(yielded(&share(&facts)), [0]);
}

#[test]
fn for_a_worker_with_several_gpus_several_go_or_none() {
    let mut wide = want(0, 1);
    wide.gpus = 3;
    let owners = || vec![owner(0, 0), owner(0, 9)];
    let two = vec![idle(1, 60), idle(1, 50)];
    let sharing = share(&facts(0, vec![wide.clone()], two.clone(), owners()));
    assert_eq!(yielded(&sharing), [0_usize; 0], "it would not help");
    let sharing = share(&facts(1, vec![wide], two, owners()));
    assert_eq!(yielded(&sharing), [0, 1]);
    assert_eq!(granted(&sharing), [0_usize; 0]);
}

#[test]
fn who_is_overdue_and_needs_several_keeps_what_is_free_from_those_who_need_one() {
    let mut wide = want(0, 700);
    wide.gpus = 2;
    let mut holder = busy(2);
    holder.ready = Some(at(1));
    let owners = vec![owner(0, 0), owner(0, 0), owner(0, 1)];
    let facts = facts(1, vec![want(1, 5), wide], vec![holder], owners);
    assert_eq!(granted(&share(&facts)), [0_usize; 0]);
}

#[test]
fn who_has_no_urgent_need_gets_what_nobody_else_wants() {
    let mut spare = want(0, 0);
    spare.need = Need::Spare;
    let owners = || vec![owner(0, 0), owner(0, 1), owner(0, 0)];
    let sharing = share(&facts(0, vec![spare.clone()], vec![idle(1, 999)], owners()));
    assert_eq!(yielded(&sharing), [0_usize; 0]);
    let sharing = share(&facts(2, vec![spare, want(2, 1)], vec![], owners()));
    assert_eq!(granted(&sharing), [2, 0]);
}

fn any_want(who: usize) -> impl Strategy<Value = Want> {
    let need = prop_oneof![
        1 => Just(Need::Spare),
        1 => Just(Need::Load),
        1 => Just(Need::Minimum),
        3 => Just(Need::Waited)
    ];
    let groups = prop::sample::subsequence(vec![0_usize, 1, 2], 1..=3).prop_shuffle();
    (
        need,
        1_u32..4,
        1_u32..5,
        groups,
        -2_i32..3,
        0_u64..1000,
        1_u32..20,
    )
        .prop_map(
            move |(need, missing, gpus, groups, priority, oldest, count)| Want {
                who,
                missing,
                gpus,
                groups,
                need,
                priority,
                waits: Waits {
                    count,
                    sum: at(oldest * u64::from(count) / 2),
                    oldest: at(oldest),
                },
                bound: at(600),
                start: Some(at(40)),
            },
        )
}

fn any_holder() -> impl Strategy<Value = Holder> {
    let idle = prop::option::of((0_u64..200).prop_map(at));
    let ready = prop::option::of((0_u64..200).prop_map(at));
    (4_usize..8, 0_usize..3, 1_u32..4, idle, ready).prop_map(|(who, group, gpus, idle, ready)| {
        Holder {
            who,
            group,
            gpus,
            idle,
            ready,
            in_flight: u32::from(idle.is_none()),
            under: Vec::new(),
        }
    })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let groups = prop::collection::vec((0_u32..5, 0_u32..3), 3);
    let wants = (
        any_want(0),
        any_want(1),
        any_want(2),
        any_want(3),
        0_usize..5,
    );
    let owners = prop::collection::vec((-2_i32..3, 0_u32..4), 8);
    let promises = prop::collection::vec((0_usize..4, 0_usize..3, 0_u32..3, 0_u32..3), 0..3);
    let holders = prop::collection::vec(any_holder(), 0..12);
    (groups, wants, owners, promises, holders).prop_map(
        |(groups, wants, owners, promises, holders)| {
            let (a, b, c, d, count) = wants;
            Facts {
                groups: groups
                    .into_iter()
                    .map(|(free, coming)| GroupFacts { free, coming })
                    .collect(),
                wants: [a, b, c, d].into_iter().take(count).collect(),
                holders,
                owners: owners
                    .into_iter()
                    .map(|(priority, spare)| owner(priority, spare))
                    .collect(),
                promises: promises
                    .into_iter()
                    .map(|(who, group, free, coming)| Promise {
                        who,
                        group,
                        free,
                        coming,
                    })
                    .collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_given_twice_and_nobody_goes_who_may_stay(facts in any_facts()) {
        let sharing = share(&facts);
        for (group, there) in facts.groups.iter().enumerate() {
            let promised: u32 = facts.promises.iter().filter(|p| p.group == group).map(|p| p.free).sum();
            let given: u32 = sharing.grants.iter().filter(|grant| grant.group == group).map(|grant| {
                facts.wants.iter().find(|want| want.who == grant.who).unwrap().gpus
            }).sum();
            prop_assert!(given <= there.free + promised, "{given} of {there:?}");
        }
        for want in &facts.wants {
            let given = sharing.grants.iter().filter(|grant| grant.who == want.who).count() as u32;
            let denied = sharing.denials.iter().find(|denial| denial.who == want.who);
            prop_assert_eq!(given + denied.map_or(0, |denial| denial.workers), want.missing);
            let in_groups = sharing.grants.iter().filter(|grant| grant.who == want.who);
            prop_assert!(in_groups.into_iter().all(|grant| want.groups.contains(&grant.group)));
        }
        let mut gone = [0_u32; 8];
        for one in &sharing.yields {
            let holder = &facts.holders[one.holder];
            let owner = &facts.owners[holder.who];
            let want = facts.wants.iter().find(|want| want.who == one.to).unwrap();
            gone[holder.who] += 1;
            prop_assert!(want.need > Need::Spare);
            prop_assert!(want.groups.contains(&holder.group));
            match holder.idle {
                Some(idle) => prop_assert!(idle >= LINGER_MIN),
                None => {
                    prop_assert!(owner.priority <= want.priority && want.need == Need::Waited);
                    prop_assert!(want.waits.oldest >= want.bound || want.waits.sum >= want.bound * SUM);
                }
            }
        }
        for (who, gone) in gone.into_iter().enumerate() {
            prop_assert!(gone <= facts.owners[who].spare);
        }
    }

    #[test]
    fn nobody_is_left_waiting_while_there_is_enough_free_that_it_may_have(facts in any_facts()) {
        let sharing = share(&facts);
        // What is kept together until the rest comes is not idle for nothing.
        let gathers = facts.wants.iter().any(|want| want.is_overdue() && want.gpus > 1);
        let is_coming = facts.groups.iter().any(|group| group.coming > 0);
        if gathers || is_coming || !sharing.yields.is_empty() || !facts.promises.is_empty() {
            return Ok(());
        }
        for denial in &sharing.denials {
            let want = facts.wants.iter().find(|want| want.who == denial.who).unwrap();
            for &group in &want.groups {
                let given: u32 = sharing.grants.iter().filter(|grant| grant.group == group).map(|grant| {
                    facts.wants.iter().find(|want| want.who == grant.who).unwrap().gpus
                }).sum();
                let left = facts.groups[group].free - given;
                prop_assert!(left < want.gpus, "{left} left of group {group}");
            }
        }
    }

    #[test]
    fn the_same_facts_give_the_same_result(facts in any_facts()) {
        prop_assert_eq!(share(&facts), share(&facts));
    }
}
