use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn probe(initial_delay: u64, period: u64, failures: u32) -> Option<Probe> {
    Some(Probe {
        kind: ProbeKind::Tcp,
        initial_delay: SECOND * u32::try_from(initial_delay).unwrap(),
        timeout: SECOND,
        period: SECOND * u32::try_from(period).unwrap(),
        failures,
    })
}

fn state(startup: Option<Probe>, ready: Option<Probe>, live: Option<Probe>) -> State {
    State::new(&Probes {
        startup,
        ready,
        live,
    })
}

fn failure() -> Result<(), String> {
    Err("refused".to_owned())
}

/// What happened, and when in milliseconds.
type At<T> = (T, u128);

/// Lets simulated time pass until `until`; `answer` is asked for each probe, which takes no time.
/// Gives every probe that began and every change, with their times in milliseconds.
fn run(
    state: &mut State,
    until: Duration,
    mut answer: impl FnMut(Kind, Duration) -> Result<(), String>,
) -> (Vec<At<Kind>>, Vec<At<Change>>) {
    let (mut begun, mut changes) = (Vec::new(), Vec::new());
    changes.extend(state.begin().map(|change| (change, 0)));
    while let Some(now) = state.wake_at().filter(|&at| at <= until) {
        for kind in state.due(now) {
            begun.push((kind, now.as_millis()));
            let change = state.result(kind, answer(kind, now), now);
            changes.extend(change.map(|change| (change, now.as_millis())));
        }
    }
    (begun, changes)
}

#[test]
fn a_worker_that_nothing_asks_is_ready_at_once() {
    assert_eq!(state(None, None, None).begin(), Some(Change::Ready));
    assert_eq!(state(None, None, None).wake_at(), None);
}

#[test]
fn while_a_worker_starts_readiness_is_asked_ten_times_a_second() {
    let mut state = state(None, probe(1, 10, 3), None);
    let loaded = Duration::from_millis(1450);
    let (begun, changes) = run(&mut state, SECOND * 12, |_, now| {
        if now >= loaded { Ok(()) } else { failure() }
    });
    let times: Vec<u128> = begun.iter().map(|&(_, at)| at).collect();
    assert_eq!(times, [1000, 1100, 1200, 1300, 1400, 1500, 11_500]);
    assert_eq!(changes, [(Change::Ready, 1500)]);
}

#[test]
fn while_a_worker_starts_a_command_is_run_once_a_second() {
    let command = Some(Probe {
        kind: ProbeKind::Exec(vec!["check".to_owned()]),
        ..probe(0, 10, 3).unwrap()
    });
    let (begun, _) = run(&mut state(None, command, None), SECOND * 3, |_, _| {
        failure()
    });
    let times: Vec<u128> = begun.iter().map(|&(_, at)| at).collect();
    assert_eq!(times, [0, 1000, 2000, 3000]);
}

#[test]
fn startup_passes_once_before_readiness_and_liveness_begin() {
    let mut state = state(probe(0, 10, 3), probe(1, 10, 3), probe(0, 10, 3));
    let (begun, changes) = run(&mut state, SECOND * 25, |kind, now| {
        let loading = kind == Kind::Startup && now < SECOND * 5;
        if loading { failure() } else { Ok(()) }
    });
    let first = |kind| begun.iter().find(|begun| begun.0 == kind).unwrap().1;
    assert_eq!((first(Kind::Ready), first(Kind::Live)), (5000, 15_000));
    let startups: Vec<_> = begun
        .iter()
        .filter(|begun| begun.0 == Kind::Startup)
        .collect();
    assert_eq!(startups.last(), Some(&&(Kind::Startup, 5000)));
    assert_eq!(changes, [(Change::Ready, 5000)]);
}

#[test]
fn a_worker_that_loads_for_long_is_not_killed_for_it() {
    let mut state = state(None, probe(1, 10, 3), probe(1, 10, 3));
    let (begun, changes) = run(&mut state, SECOND * 600, |_, _| failure());
    assert!(begun.iter().all(|begun| begun.0 == Kind::Ready));
    assert_eq!(changes, []);
}

#[test]
fn readiness_is_lost_after_so_many_failures_in_a_row_and_regained_by_one_success() {
    let mut state = state(None, probe(0, 10, 3), None);
    let failing = |at: Duration| [10, 20, 40, 50, 60, 70].contains(&at.as_secs());
    let (_, changes) = run(&mut state, SECOND * 100, |_, now| {
        if failing(now) { failure() } else { Ok(()) }
    });
    let lost = (Change::NotReady("refused".to_owned()), 60_000);
    assert_eq!(changes, [(Change::Ready, 0), lost, (Change::Ready, 80_000)]);
}

#[test]
fn liveness_fails_once_after_so_many_failures_in_a_row() {
    let mut state = state(None, None, probe(1, 10, 3));
    let (begun, changes) = run(&mut state, SECOND * 100, |_, _| failure());
    let failed = (Change::LivenessFailed("refused".to_owned()), 30_000);
    assert_eq!(changes, [(Change::Ready, 0), failed]);
    assert_eq!(begun.len(), 3);
}

#[test]
fn an_answered_request_counts_as_a_passed_liveness_probe() {
    let mut state = state(None, None, probe(1, 10, 2));
    state.begin();
    assert_eq!(state.due(SECOND * 10), [Kind::Live]);
    assert_eq!(state.result(Kind::Live, failure(), SECOND * 11), None);
    state.traffic(SECOND * 12);
    assert_eq!(
        state.wake_at(),
        Some(SECOND * 22),
        "it need not be asked so soon"
    );
    assert_eq!(state.due(SECOND * 22), [Kind::Live]);
    assert_eq!(state.result(Kind::Live, failure(), SECOND * 23), None);
}

#[test]
fn a_liveness_probe_that_fails_while_requests_are_answered_does_not_count() {
    let mut state = state(None, None, probe(1, 10, 1));
    state.begin();
    assert_eq!(state.due(SECOND * 10), [Kind::Live]);
    state.traffic(SECOND * 11);
    assert_eq!(state.result(Kind::Live, failure(), SECOND * 12), None);
}

#[test]
fn a_probe_that_runs_is_not_begun_again() {
    let mut state = state(None, probe(0, 1, 3), probe(0, 1, 3));
    assert_eq!(state.due(SECOND), [Kind::Ready]);
    assert_eq!(state.due(SECOND * 9), []);
    assert_eq!(state.wake_at(), None);
    state.result(Kind::Ready, Ok(()), SECOND * 9);
    assert_eq!(state.wake_at(), Some(SECOND * 9), "late already");
}

#[test]
fn a_probe_that_could_not_be_made_is_neither_passed_nor_failed() {
    let mut state = state(None, probe(0, 1, 3), probe(0, 1, 2));
    assert_eq!(state.due(Duration::ZERO), [Kind::Ready]);
    assert!(state.result(Kind::Ready, Ok(()), Duration::ZERO).is_some());
    for second in 1..100 {
        let now = SECOND * second;
        for kind in state.due(now) {
            state.not_asked(kind, now);
        }
        assert_eq!(
            state.wake_at(),
            Some(SECOND * (second + 1)),
            "it is tried again"
        );
    }
    // What failed before still counts afterwards, and only that.
    let now = SECOND * 100;
    assert_eq!(state.due(now), [Kind::Ready, Kind::Live]);
    assert_eq!(state.result(Kind::Live, failure(), now), None);
    let now = SECOND * 101;
    state.due(now);
    state.not_asked(Kind::Live, now);
    let now = SECOND * 102;
    state.due(now);
    assert!(state.result(Kind::Live, failure(), now).is_some());
}
