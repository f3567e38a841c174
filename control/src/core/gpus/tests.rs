//! Groups, what is given of them, and to whom.

use super::*;

fn named(name: &str, devices: &[&str]) -> GpuGroup {
    GpuGroup {
        name: name.try_into().unwrap(),
        ..GpuGroup::unnamed(devices.iter().map(|&name| name.to_owned()).collect())
    }
}

fn gpus(groups: Vec<GpuGroup>) -> Gpus {
    Gpus {
        max_asleep: Gpus::MAX_ASLEEP,
        source: penstock_config::GpuSource::Groups(groups),
        give_way_after: Gpus::GIVE_WAY_AFTER,
    }
}

fn ledger(groups: Vec<GpuGroup>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.follow(&gpus(groups));
    ledger
}

fn holder(service: &str, slot: u32) -> Holding {
    let key = Key {
        service: service.try_into().unwrap(),
        deployment: "stable".try_into().unwrap(),
    };
    Holding {
        id: WorkerId(format!("{service}-{slot}").into()),
        key,
        slot,
    }
}

fn choice(count: u32, groups: &[&str]) -> GpuChoice {
    let groups = groups.iter().map(|&name| name.try_into().unwrap());
    GpuChoice {
        count,
        groups: groups.collect(),
    }
}

#[test]
fn what_a_worker_had_is_free_when_it_is_gone() {
    let mut ledger = ledger(vec![GpuGroup::unnamed(vec!["0".into(), "1".into()])]);
    let first = holder("chat", 0);
    assert_eq!(*ledger.give(0, 2, &first, |_| false), ["0", "1"]);
    assert_eq!(*ledger.give(0, 1, &holder("chat", 1), |_| false), [""; 0]);
    assert!(ledger.release(&first.id) && !ledger.release(&first.id));
    assert_eq!(*ledger.give(0, 1, &holder("chat", 1), |_| false), ["0"]);
}

#[test]
fn the_reason_for_no_room_says_who_has_the_gpus() {
    let mut ledger = ledger(vec![GpuGroup::unnamed(vec!["0".into(), "1".into()])]);
    ledger.give(0, 1, &holder("chat", 0), |_| false);
    let wanted = GpuChoice::from(2);
    assert_eq!(
        ledger.no_room(&wanted, &[0]),
        "needs 2 GPUs, 1 of 2 is free: 0 used by chat/stable#0"
    );
    ledger.release(&holder("chat", 0).id);
    assert_eq!(
        ledger.no_room(&wanted, &[0]),
        "needs 2 GPUs, 2 of 2 are free"
    );
    assert_eq!(
        ledger.impossible(&GpuChoice::from(3)),
        "needs 3 GPUs, but there are 2"
    );
}

#[test]
fn groups_come_in_the_order_that_was_asked_for_and_reserved_ones_first_where_none_was() {
    let mut kept = named("kept", &["4", "5"]);
    kept.reserved_for = vec!["chat".try_into().unwrap()];
    let ledger = ledger(vec![named("a", &["0"]), named("b", &["1", "2"]), kept]);
    let usable = |service: &str, wanted| ledger.usable(&service.try_into().unwrap(), &wanted);
    assert_eq!(usable("chat", choice(1, &["b", "a"])), [1, 0]);
    assert_eq!(
        usable("chat", choice(2, &["b", "a"])),
        [1],
        "a has one only"
    );
    assert_eq!(usable("chat", choice(1, &[])), [2, 0, 1]);
    assert_eq!(usable("talk", choice(1, &[])), [0, 1]);
    assert_eq!(usable("talk", choice(3, &[])), [0; 0]);
}

#[test]
fn what_was_given_up_for_somebody_goes_to_nobody_else_while_it_is_wanted() {
    let mut ledger = ledger(vec![named("a", &["0"])]);
    let (old, new, other) = (holder("chat", 0), holder("talk", 0), holder("draw", 0));
    ledger.give(0, 1, &old, |_| false);
    ledger.promise(&old.id, &new.key);
    assert_eq!(ledger.promised_by(&old.id), Some(&new.key));
    ledger.release(&old.id);
    assert_eq!(*ledger.give(0, 1, &other, |_| false), [""; 0]);
    ledger.keep_promises(|key, _| *key == new.key);
    assert_eq!(*ledger.give(0, 1, &other, |_| false), [""; 0]);
    ledger.keep_promises(|_, _| false);
    assert_eq!(*ledger.give(0, 1, &other, |_| false), ["0"]);
}

#[test]
fn a_promise_is_kept_only_where_the_group_is_wanted() {
    let mut ledger = ledger(vec![named("a", &["0"]), named("b", &["1"])]);
    let (first, second, new) = (holder("chat", 0), holder("chat", 1), holder("talk", 0));
    ledger.give(0, 1, &first, |_| false);
    ledger.give(1, 1, &second, |_| false);
    ledger.promise(&first.id, &new.key);
    ledger.promise(&second.id, &new.key);
    ledger.keep_promises(|_, group| group == 1);
    assert_eq!(ledger.promised_by(&first.id), None);
    assert_eq!(ledger.promised_by(&second.id), Some(&new.key));
    ledger.release(&second.id);
    ledger.keep_promises(|_, group| group == 0);
    assert_eq!(*ledger.give(1, 1, &holder("draw", 0), |_| false), ["1"]);
}

#[test]
fn a_reload_leaves_workers_what_they_have() {
    let mut ledger = ledger(vec![named("a", &["0", "1"])]);
    let (first, second) = (holder("chat", 0), holder("chat", 1));
    ledger.give(0, 1, &first, |_| false);
    ledger.give(0, 1, &second, |_| false);
    ledger.follow(&gpus(vec![named("b", &["1", "2"])]));
    assert_eq!(ledger.of(&second.id).count(), 1);
    assert!(
        ledger.holds(&first.id),
        "it has one that is of no group any more"
    );
    assert_eq!(*ledger.give(0, 2, &holder("talk", 0), |_| false), ["2"]);
}

#[test]
fn what_leaves_the_file_and_comes_back_is_still_of_the_worker_that_has_it() {
    let mut ledger = ledger(vec![named("a", &["0", "1"])]);
    let (first, second, other) = (holder("chat", 0), holder("chat", 1), holder("talk", 0));
    ledger.give(0, 1, &first, |_| false);
    ledger.give(0, 1, &second, |_| false);
    ledger.follow(&gpus(vec![named("a", &["0"])]));
    ledger.follow(&gpus(vec![named("a", &["0", "1"])]));
    assert_eq!(*ledger.give(0, 1, &other, |_| false), [""; 0]);
    // While it is in no group its worker ends, and nobody has it.
    ledger.follow(&gpus(vec![named("a", &["0"])]));
    assert!(ledger.release(&second.id));
    ledger.follow(&gpus(vec![named("a", &["0", "1"])]));
    assert_eq!(*ledger.give(0, 1, &other, |_| false), ["1"]);
}

#[test]
fn what_an_earlier_run_gave_out_is_kept_although_the_file_does_not_name_it() {
    let mut ledger = ledger(vec![named("a", &["0"])]);
    let (old, new) = (holder("chat", 0), holder("talk", 0));
    ledger.take_found(vec![FoundGpu {
        name: "1".to_owned(),
        uuid: Some("GPU-b".to_owned()),
    }]);
    ledger.reclaim(&["1".to_owned()], &old);
    assert!(ledger.holds(&old.id));
    // By its other name it is the same.
    for name in ["1", "GPU-b"] {
        ledger.follow(&gpus(vec![named("a", &["0"]), named("b", &[name])]));
        assert_eq!(*ledger.give(1, 1, &new, |_| false), [""; 0], "{name}");
    }
    ledger.release(&old.id);
    assert_eq!(*ledger.give(1, 1, &new, |_| false), ["GPU-b"]);
}

#[test]
fn of_two_workers_that_have_the_same_the_second_still_has_it_when_the_first_is_gone() {
    let mut ledger = ledger(vec![named("a", &["0"])]);
    let (first, second) = (holder("chat", 0), holder("talk", 0));
    ledger.reclaim(&["0".to_owned()], &first);
    ledger.reclaim(&["0".to_owned()], &second);
    ledger.promise(&first.id, &holder("draw", 0).key);
    ledger.release(&first.id);
    assert_eq!(*ledger.give(0, 1, &holder("draw", 0), |_| false), [""; 0]);
    ledger.release(&second.id);
    assert_eq!(*ledger.give(0, 1, &holder("draw", 0), |_| false), ["0"]);
}

#[test]
fn detected_gpus_are_one_group_and_known_by_their_other_name() {
    let mut ledger = Ledger::default();
    ledger.follow(&Gpus {
        max_asleep: Gpus::MAX_ASLEEP,
        source: penstock_config::GpuSource::Detect,
        give_way_after: Gpus::GIVE_WAY_AFTER,
    });
    assert!(ledger.is_empty());
    ledger.take_found(vec![FoundGpu {
        name: "0".to_owned(),
        uuid: Some("GPU-a".to_owned()),
    }]);
    let old = holder("chat", 0);
    ledger.reclaim(&["GPU-a".to_owned()], &old);
    assert!(ledger.holds(&old.id));
    assert_eq!(ledger.groups()[0].spec.name.as_str(), Gpus::UNNAMED);
}
