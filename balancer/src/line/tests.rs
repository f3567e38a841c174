use super::*;

fn at(second: u64) -> Turn {
    Turn {
        arrived: Duration::from_secs(second),
        ..Turn::default()
    }
}

fn of(key: u64) -> Turn {
    Turn {
        key: Some(key),
        ..Turn::default()
    }
}

/// A worker that nobody is at home at.
const WORKER: u64 = 99;

/// Everybody, in the order of being served by `worker`.
fn order<T>(line: &mut Line<T>, worker: u64) -> Vec<T> {
    std::iter::from_fn(|| line.serve(worker)).collect()
}

#[test]
fn without_wishes_first_come_is_first_served() {
    let mut line = Line::new();
    // The time told is not what counts among equals: a clock that is read late is no reason to wait.
    for (what, second) in [3, 1, 2].into_iter().enumerate() {
        line.join(at(second), Home::Anywhere, what);
    }
    assert_eq!(order(&mut line, WORKER), [0, 1, 2]);
    assert!(line.is_empty() && line.lanes.is_empty());
}

#[test]
fn a_class_with_a_delay_is_overtaken_for_that_long_and_no_longer() {
    let mut line = Line::new();
    let batch = |second| Turn {
        delay: Duration::from_secs(30),
        ..at(second)
    };
    line.join(batch(0), Home::Anywhere, "batch at 0");
    assert_eq!(line.first_arrival(), Some(Duration::ZERO));
    line.join(at(29), Home::Anywhere, "interactive at 29");
    line.join(batch(1), Home::Anywhere, "batch at 1");
    line.join(at(31), Home::Anywhere, "interactive at 31");
    line.join(at(30), Home::Anywhere, "interactive at 30");
    assert_eq!(
        order(&mut line, WORKER),
        [
            "interactive at 29",
            "batch at 0",
            "interactive at 31",
            "interactive at 30",
            "batch at 1",
        ]
    );
}

#[test]
fn keys_take_turns_however_many_requests_one_of_them_has() {
    let mut line = Line::new();
    for what in ["a1", "a2", "a3", "a4"] {
        line.join(of(1), Home::Anywhere, what);
    }
    line.join(of(2), Home::Anywhere, "b1");
    line.join(of(2), Home::Anywhere, "b2");
    line.join(at(0), Home::Anywhere, "none");
    assert_eq!(line.serve(WORKER), Some("a1"));
    assert_eq!(line.serve(WORKER), Some("b1"));
    // The round that goes on gets no longer.
    line.join(of(3), Home::Anywhere, "c1");
    assert_eq!(
        order(&mut line, WORKER),
        ["none", "a2", "b2", "c1", "a3", "a4"]
    );
}

#[test]
fn leaving_costs_a_key_no_turn_and_saves_it_none() {
    let mut line = Line::new();
    let tickets: Vec<u64> = ["a1", "a2", "a3"]
        .map(|what| line.join(of(1), Home::Anywhere, what))
        .into();
    line.join(of(2), Home::Anywhere, "b1");
    line.join(of(2), Home::Anywhere, "b2");
    assert_eq!(line.leave(tickets[0]), Some("a1"));
    assert_eq!(line.leave(tickets[0]), None);
    assert_eq!(order(&mut line, WORKER), ["a2", "b1", "a3", "b2"]);
}

#[test]
fn who_comes_back_goes_before_its_class_but_not_before_a_better_one() {
    let mut line = Line::new();
    let batch = |second| Turn {
        delay: Duration::from_secs(30),
        ..at(second)
    };
    let back = |turn| Turn {
        returned: true,
        ..turn
    };
    line.join(batch(10), Home::Anywhere, "batch at 10");
    line.join(at(20), Home::Anywhere, "interactive at 20");
    line.join(back(batch(5)), Home::Anywhere, "back, batch at 5");
    line.join(at(21), Home::Anywhere, "interactive at 21");
    line.join(back(at(19)), Home::Anywhere, "back, interactive at 19");
    assert_eq!(
        order(&mut line, WORKER),
        [
            "back, interactive at 19",
            "interactive at 20",
            "interactive at 21",
            "back, batch at 5",
            "batch at 10",
        ]
    );
}

#[test]
fn a_worker_serves_those_at_home_and_those_at_home_nowhere() {
    let mut line = Line::new();
    line.join(at(0), Home::At(7), "7a");
    line.join(at(1), Home::At(8), "8a");
    line.join(at(2), Home::Anywhere, "anywhere");
    line.join(at(3), Home::At(8), "8b");
    assert_eq!(line.seekers().collect::<Vec<_>>(), [&"anywhere"]);
    assert_eq!(order(&mut line, 8), ["8a", "anywhere", "8b"]);
    assert_eq!(line.first(8), None);
    assert_eq!(order(&mut line, 7), ["7a"]);
}

#[test]
fn a_worker_that_failed_a_request_serves_those_behind_it() {
    let mut line = Line::new();
    let back = |second| Turn {
        returned: true,
        ..at(second)
    };
    line.join(back(0), Home::NotAt(7), "failed by 7");
    line.join(back(1), Home::NotAt(8), "failed by 8");
    line.join(at(2), Home::Anywhere, "anywhere");
    line.join(at(3), Home::At(7), "at 7");
    assert_eq!(line.seekers().count(), 3);
    assert_eq!(line.serve(7), Some("failed by 8"));
    assert_eq!(order(&mut line, 7), ["anywhere", "at 7"]);
    assert_eq!(order(&mut line, 8), ["failed by 7"]);
}

#[test]
fn who_loses_its_home_keeps_its_place() {
    let mut line = Line::new();
    line.join(at(0), Home::At(7), 0);
    line.join(at(1), Home::At(8), 1);
    line.join(at(2), Home::At(7), 2);
    line.rehome(|what| {
        if *what == 0 {
            Home::Anywhere
        } else {
            Home::At(8)
        }
    });
    assert_eq!(line.first(7), Some(&0));
    assert_eq!(order(&mut line, 8), [0, 1, 2]);
}

#[test]
fn those_who_are_taken_out_leave_the_others_in_their_order() {
    let mut line = Line::new();
    for what in 0..6 {
        line.join(of(what % 2), Home::Anywhere, what);
    }
    assert_eq!(line.take_late(|_, what| what % 3 == 0), [0, 3]);
    assert_eq!(order(&mut line, WORKER), [1, 2, 4, 5]);
}

#[test]
fn clearing_takes_everybody() {
    let mut line = Line::new();
    line.join(at(0), Home::At(7), 0);
    let ticket = line.join(of(1), Home::Anywhere, 1);
    assert_eq!(line.clear().collect::<Vec<_>>(), [0, 1]);
    assert_eq!((line.len(), line.leave(ticket)), (0, None));
    assert_eq!(line.serve(7), None);
}

#[test]
fn a_full_line_makes_room_for_those_who_cannot_wait() {
    let mut line = Line::new();
    let batch = |second| Turn {
        delay: Duration::from_secs(30),
        ..at(second)
    };
    line.join(batch(0), Home::At(7), "batch at 0");
    line.join(batch(10), Home::Anywhere, "batch at 10");
    line.join(at(20), Home::Anywhere, "interactive at 20");
    assert_eq!(line.displace(&batch(20), Home::Anywhere), None);
    assert_eq!(line.displace(&at(40), Home::Anywhere), None);
    assert_eq!(line.displace(&at(39), Home::Anywhere), Some("batch at 10"));
    // The other one is due before it, wherever it waits.
    assert_eq!(line.displace(&at(39), Home::Anywhere), None);
    assert_eq!(line.displace(&at(29), Home::Anywhere), Some("batch at 0"));
    assert_eq!(order(&mut line, WORKER), ["interactive at 20"]);
}

#[test]
fn a_full_line_makes_room_for_keys_that_have_less() {
    let mut line = Line::new();
    for what in ["a1", "a2", "a3"] {
        line.join(of(1), Home::Anywhere, what);
    }
    line.join(of(2), Home::Anywhere, "b1");
    assert_eq!(line.displace(&of(1), Home::Anywhere), None);
    // Two and two are no reason to change anything.
    assert_eq!(line.displace(&of(2), Home::Anywhere), Some("a3"));
    line.join(of(2), Home::Anywhere, "b2");
    assert_eq!(line.displace(&of(2), Home::Anywhere), None);
    assert_eq!(line.displace(&of(3), Home::Anywhere), Some("b2"));
    assert_eq!(order(&mut line, WORKER), ["a1", "b1", "a2"]);
}

#[test]
fn a_full_line_without_wishes_makes_no_room_but_for_one_who_comes_back() {
    let mut line = Line::new();
    line.join(at(0), Home::Anywhere, 0);
    line.join(at(1), Home::Anywhere, 1);
    assert_eq!(line.displace(&at(2), Home::Anywhere), None);
    let back = Turn {
        returned: true,
        ..at(0)
    };
    assert_eq!(line.displace(&back, Home::Anywhere), Some(1));
}

#[test]
fn whoever_comes_back_does_not_give_way_however_many_they_are() {
    let mut line = Line::new();
    for arrived in 0..3 {
        let back = Turn {
            returned: true,
            ..at(arrived)
        };
        line.join(back, Home::Anywhere, arrived);
    }
    assert_eq!(line.displace(&at(9), Home::Anywhere), None);
    assert_eq!(line.displace(&of(1), Home::Anywhere), None);
    line.join(of(2), Home::Anywhere, 3);
    line.join(of(2), Home::Anywhere, 4);
    assert_eq!(line.displace(&of(1), Home::Anywhere), Some(4));
    assert_eq!(line.len(), 4);
}
