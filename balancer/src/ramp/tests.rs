use super::{stage::TIMES, *};

const NOW: Duration = Duration::from_secs(1_000_000);

fn limits_while_answering(max: Option<u32>, answers: usize) -> Vec<Option<u32>> {
    let (ramp, gate) = Ramp::new(max, true);
    let mut limits = vec![gate.limit()];
    for _ in 0..answers {
        ramp.answered(&gate, NOW);
        limits.push(gate.limit());
    }
    limits
}

#[test]
fn the_limit_doubles_with_every_answer_until_max_concurrency() {
    let limits = limits_while_answering(Some(10), 5);
    assert_eq!(limits, [1, 2, 4, 8, 10, 10].map(Some));
    assert_eq!(
        limits_while_answering(Some(u32::MAX), 40)[30],
        Some((1 << 30) - 2)
    );
}

#[test]
fn a_worker_without_max_concurrency_becomes_unlimited() {
    let limits = limits_while_answering(None, 10);
    assert_eq!((limits[9], limits[10]), (Some(512), None));
}

#[test]
fn without_answers_the_limit_doubles_with_every_step_of_time_from_the_first_request_on() {
    let (ramp, gate) = Ramp::new(Some(10), true);
    assert_eq!(ramp.grow(&gate, NOW), Grown::default(), "nobody came yet");
    assert_eq!(ramp.requested(&gate, || NOW), Some(NOW + STEP));
    assert_eq!(
        ramp.requested(&gate, || NOW),
        None,
        "its clock runs already"
    );
    let early = ramp.grow(&gate, NOW + STEP / 4);
    assert_eq!((early.has_more, early.next), (false, Some(NOW + STEP)));
    let mut at = NOW + STEP;
    let mut limits = Vec::new();
    loop {
        let grown = ramp.grow(&gate, at);
        assert!(grown.has_more);
        limits.push(gate.limit());
        match grown.next {
            Some(next) => at = next,
            None => break,
        }
    }
    assert_eq!(limits, [2, 4, 8, 10].map(Some));
    assert_eq!(at, NOW + 4 * STEP);
    assert_eq!(ramp.grow(&gate, at + STEP), Grown::default(), "it is warm");
}

#[test]
fn an_answer_moves_the_next_step_of_time_on() {
    let (ramp, gate) = Ramp::new(Some(16), true);
    ramp.requested(&gate, || NOW);
    let answered = ramp.answered(&gate, NOW + STEP / 2);
    assert_eq!(
        (answered.has_more, answered.next),
        (true, Some(NOW + STEP / 2 + STEP))
    );
    assert!(!ramp.grow(&gate, NOW + STEP).has_more);
    assert_eq!(gate.limit(), Some(2));
    assert!(ramp.grow(&gate, NOW + STEP / 2 + STEP).has_more);
}

#[test]
fn the_clock_goes_on_where_its_count_begins_again() {
    let before_the_end = Duration::from_millis(7 * TIMES) - STEP / 2;
    let (ramp, gate) = Ramp::new(Some(4), true);
    assert_eq!(
        ramp.requested(&gate, || before_the_end),
        Some(before_the_end + STEP)
    );
    assert!(!ramp.grow(&gate, before_the_end + STEP * 3 / 4).has_more);
    assert!(ramp.grow(&gate, before_the_end + STEP).has_more);
}

#[test]
fn an_answer_says_whether_the_limit_grew() {
    let (ramp, gate) = Ramp::new(Some(2), true);
    let grown = ramp.answered(&gate, NOW);
    assert_eq!((grown.has_more, grown.next), (true, None));
    assert_eq!(gate.limit(), Some(2));
    assert!(!ramp.answered(&gate, NOW).has_more);
    let (warm, gate) = Ramp::new(Some(2), false);
    assert!(!warm.answered(&gate, NOW).has_more);
    assert_eq!(
        warm.requested(&gate, || panic!("the time does not matter")),
        None
    );
    assert_eq!(gate.limit(), Some(2));
}

#[test]
fn a_changed_max_keeps_a_ramp_that_is_under_way() {
    let (ramp, gate) = Ramp::new(Some(100), true);
    ramp.answered(&gate, NOW);
    assert!(!ramp.set_max(&gate, Some(50)));
    assert_eq!(gate.limit(), Some(2));
    ramp.set_max(&gate, Some(1));
    assert_eq!(gate.limit(), Some(1));
    assert!(ramp.set_max(&gate, None));
    assert_eq!(gate.limit(), None, "at its end of 1 the ramp was over");
}

#[test]
fn a_restarted_ramp_stays_at_one_until_an_answer() {
    let (ramp, gate) = Ramp::new(Some(8), false);
    ramp.restart(&gate);
    assert_eq!(gate.limit(), Some(1));
    assert_eq!(ramp.requested(&gate, || NOW), None);
    assert_eq!(ramp.grow(&gate, NOW + 10 * STEP), Grown::default());
    assert_eq!(gate.limit(), Some(1));
    let answered = ramp.answered(&gate, NOW + 20 * STEP);
    assert_eq!(answered.next, Some(NOW + 21 * STEP));
    assert!(ramp.grow(&gate, NOW + 21 * STEP).has_more);
    assert_eq!(gate.limit(), Some(4));
}

#[test]
fn answers_at_the_same_time_leave_the_gate_with_the_limit_of_the_ramp() {
    for _ in 0..200 {
        let (ramp, gate) = Ramp::new(Some(1 << 20), true);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let answered = || ramp.answered(&gate, NOW);
                scope.spawn(move || (0..3).filter(|_| answered().has_more).count());
            }
            scope.spawn(|| ramp.requested(&gate, || NOW));
            scope.spawn(|| ramp.grow(&gate, NOW));
            scope.spawn(|| ramp.set_max(&gate, Some(1 << 21)));
        });
        assert_eq!(gate.limit(), Some(1 << 12));
    }
}
