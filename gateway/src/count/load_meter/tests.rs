use proptest::prelude::*;

use super::*;

#[test]
fn an_idle_meter_reads_zero() {
    let sums = LoadMeter::new(2).read(Duration::from_secs(9));
    assert_eq!(
        sums,
        LoadSums {
            current: 0,
            integral: 0.0,
            arrivals: 0,
            completions: 0
        }
    );
}

#[test]
fn a_request_between_two_readings_still_counts() {
    let meter = LoadMeter::new(1);
    meter.read(Duration::from_secs(1));
    meter.start(0, Duration::from_millis(1200));
    meter.end(0, Duration::from_millis(1700));
    let sums = meter.read(Duration::from_secs(2));
    assert_eq!(
        sums,
        LoadSums {
            current: 0,
            integral: 0.5,
            arrivals: 1,
            completions: 1
        }
    );
}

#[test]
fn a_request_that_ends_on_another_thread_counts_once() {
    let meter = LoadMeter::new(2);
    meter.start(0, Duration::from_secs(1));
    assert_eq!(meter.read(Duration::from_secs(2)).current, 1);
    meter.end(1, Duration::from_secs(3));
    let sums = meter.read(Duration::from_secs(9));
    assert_eq!(
        sums,
        LoadSums {
            current: 0,
            integral: 2.0,
            arrivals: 1,
            completions: 1
        }
    );
}

#[test]
fn the_integral_never_falls_even_when_an_end_is_written_down_late() {
    let meter = LoadMeter::new(1);
    meter.start(0, Duration::ZERO);
    let first = meter.read(Duration::from_millis(1000));
    meter.end(0, Duration::from_millis(900));
    let second = meter.read(Duration::from_millis(1001));
    assert!(second.integral >= first.integral);
    let early = LoadMeter::new(1);
    early.start(0, Duration::from_secs(2));
    assert!(early.read(Duration::from_secs(1)).integral >= 0.0);
}

#[test]
fn readings_among_writing_threads_are_consistent() {
    // All at one instant: whatever is open, the integral must be zero. A reading that mixes a count
    // with the time of another event is off by the whole instant.
    const INSTANT: Duration = Duration::from_secs(3600);
    const ROUNDS: u64 = 20_000;
    let meter = LoadMeter::new(2);
    std::thread::scope(|scope| {
        // The third thread shares the first one's shard.
        let writers: Vec<_> = (0..3)
            .map(|thread| {
                let meter = &meter;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        meter.start(thread, INSTANT);
                        meter.end(thread, INSTANT);
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            let sums = meter.read(INSTANT);
            assert_eq!(sums.integral, 0.0);
            assert!(sums.current <= 3, "{sums:?}");
        }
    });
    let sums = meter.read(INSTANT);
    assert_eq!(
        (sums.arrivals, sums.completions, sums.current),
        (3 * ROUNDS, 3 * ROUNDS, 0)
    );
}

/// After a pause: a start, an end (of any open request), or a reading.
#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    End(usize),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_usize).prop_map(Step::Start),
        (0..4_usize).prop_map(Step::End),
        Just(Step::Read),
    ]
}

proptest! {
    #[test]
    fn the_sums_equal_those_of_a_model_that_integrates_step_by_step(
        steps in prop::collection::vec((0_u64..5_000_000, step()), 0..60),
    ) {
        let meter = LoadMeter::new(3);
        let (mut now, mut integral) = (0, 0_u64);
        let (mut arrivals, mut completions) = (0, 0);
        for (pause, step) in steps {
            now += pause;
            integral += pause * (arrivals - completions);
            let at = Duration::from_micros(now);
            match step {
                Step::Start(thread) => {
                    meter.start(thread, at);
                    arrivals += 1;
                }
                Step::End(thread) if completions < arrivals => {
                    meter.end(thread, at);
                    completions += 1;
                }
                Step::End(_) | Step::Read => {}
            }
            let expected = LoadSums {
                current: u32::try_from(arrivals - completions).unwrap(),
                integral: Duration::from_micros(integral).as_secs_f64(),
                arrivals,
                completions,
            };
            prop_assert_eq!(meter.read(at), expected);
        }
    }
}
