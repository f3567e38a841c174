//! Workers that are taken away, step by step. After a wanted change run with `UPDATE_GOLDEN=1` and read the
//! difference.

use std::time::Duration;

use super::{
    house::House,
    timelines::{check, house},
};
use crate::core::{Ask, AskId, Event, Key, WorkersAsk, WorkersRequest};

const SECOND: Duration = Duration::from_secs(1);

const ONE: &str = "scaling = { min = 1, max = 1 }";

fn preempt(house: &mut House, slot: u32, within: Duration) {
    let request = WorkersRequest {
        service: "a".into(),
        deployment: None,
        ask: WorkersAsk::Preempt(slot, Some(within)),
        by: Some("the cloud".into()),
        reason: None,
    };
    house.tell(Event::Asked(AskId(1), Ask::Workers(request)));
}

/// Requests of 3 s, one after the other, for a minute.
fn busy(house: &mut House) {
    for number in 0..20 {
        house.arrive("a", number * 3 * SECOND, 3 * SECOND);
    }
}

#[test]
fn it_serves_until_its_successor_is_ready_if_that_leaves_time_for_the_last_request() {
    let mut house = house("[gpus]\ndevices = [\"0\", \"1\"]", &[("a", ONE)]);
    house.run(15 * SECOND);
    busy(&mut house);
    house.run(10 * SECOND);
    preempt(&mut house, 0, 60 * SECOND);
    house.run(60 * SECOND);
    // Nobody waited for the start of the successor, which takes 10 s.
    let longest = house.waits().iter().max().copied();
    assert!(longest < Some(5 * SECOND), "{:?}", house.waits());
    assert_eq!((house.starts, house.waits().len()), (2, 20));
    check("preempt", &house);
}

#[test]
fn it_drains_in_time_where_there_is_no_room_for_its_successor() {
    let mut house = house("[gpus]\ndevices = [\"0\"]", &[("a", ONE)]);
    house.run(15 * SECOND);
    busy(&mut house);
    house.run(10 * SECOND);
    preempt(&mut house, 0, 20 * SECOND);
    house.run(90 * SECOND);
    assert_eq!((house.starts, house.waits().len()), (2, 20));
    check("preempt_no_room", &house);
}

#[test]
fn it_drains_at_once_while_nobody_knows_how_long_requests_take_and_the_shorter_notice_counts() {
    let mut house = house("[gpus]\ndevices = [\"0\", \"1\"]", &[("a", ONE)]);
    house.run(15 * SECOND);
    // Longer than anything that was answered, as far as anybody knows.
    house.arrive("a", Duration::ZERO, 40 * SECOND);
    house.arrive("a", SECOND, SECOND);
    house.run(10 * SECOND);
    let key = Key {
        service: "a".try_into().unwrap(),
        deployment: "stable".try_into().unwrap(),
    };
    house.tell(Event::Noticed {
        key,
        slot: None,
        within: None,
    });
    preempt(&mut house, 0, SECOND);
    house.run(60 * SECOND);
    assert_eq!(house.starts, 2);
    check("preempt_at_once", &house);
}
