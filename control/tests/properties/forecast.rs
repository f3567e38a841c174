//! What holds for every forecast, whatever the load and the clocks do.

use std::time::Duration;

use penstock_config::Scaling;
use penstock_control::scale::{
    Basis, Foresight, History, Hold, HoldCause, Load, Observation, Past, PastDay, ScaleState,
    decide,
};
use proptest::prelude::*;

use crate::settings::{constant, forecast};

/// A stretch of load: how much the wall clock moves besides the time that passes, in minutes; for
/// how many minutes it lasts; how much it is.
#[derive(Debug, Clone)]
struct Stretch {
    jump: i64,
    minutes: u64,
    load: f64,
    hold: bool,
}

prop_compose! {
    fn stretch()(
        jump in prop_oneof![
            20 => Just(0),
            1 => -100_000..100_000_i64,
            1 => prop::sample::select(vec![i64::MIN, i64::MAX, -60, 60]),
        ],
        minutes in 1..300_u64,
        load in prop_oneof![
            Just(0.0),
            0.0..50.0_f64,
            prop::sample::select(vec![1e-300, 1e12, 1e30]),
        ],
        hold in prop::bool::weighted(0.1),
    ) -> Stretch {
        Stretch { jump, minutes, load, hold }
    }
}

/// From one observation to the next: few, so that many days can be tried.
const STEP: Duration = Duration::from_secs(60);

fn seen(stretch: &Stretch, wall_ms: u64, now: Duration) -> Observation {
    let seconds = STEP.as_secs_f64();
    Observation {
        wall_ms,
        current: stretch.load as u32,
        load: Load {
            over: STEP,
            request_seconds: stretch.load * seconds,
            in_flight_seconds: stretch.load * seconds,
            arrivals: stretch.load as u64,
            served: stretch.load as u64,
            ..Load::default()
        },
        ready: 1,
        hold: stretch.hold.then_some(Hold {
            since: now,
            cause: HoldCause::GatewaySilent,
        }),
        ..Observation::default()
    }
}

fn days() -> impl Strategy<Value = Vec<PastDay>> {
    let mean = prop_oneof![
        4 => 0.0..50.0_f32,
        1 => any::<f32>(),
    ];
    let day = (0..60_u64, prop::collection::vec(mean, 288)).prop_map(|(day, means)| PastDay {
        day: 20_000 + day,
        means: means.into_iter().flat_map(f32::to_le_bytes).collect(),
    });
    let odd = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..2000))
        .prop_map(|(day, means)| PastDay { day, means });
    prop::collection::vec(prop_oneof![9 => day, 1 => odd], 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_forecast_is_a_number_of_workers_with_a_reason_and_never_leads_beyond_max(
        rule in forecast(),
        min in 0..3_u32,
        days in days(),
        begin in 20_000..20_070_u64,
        stretches in prop::collection::vec(stretch(), 1..20),
    ) {
        let scaling = Scaling { rules: vec![rule], min, max: 7, ..constant() };
        let mut now = Duration::from_secs(1_000_000);
        let mut wall_ms = begin * 86_400_000;
        let mut state = ScaleState::new(min, History::default(), now);
        if let Some(past) = Past::restore(days, wall_ms) {
            state.remember(past);
        }
        for stretch in &stretches {
            wall_ms = wall_ms.saturating_add_signed(stretch.jump.saturating_mul(60_000));
            for _ in 0..stretch.minutes {
                now += STEP;
                wall_ms = wall_ms.saturating_add(60_000);
                let decision = decide(&scaling, &seen(stretch, wall_ms, now), &mut state, now);
                prop_assert!((min..=7).contains(&decision.desired), "{decision:?}");
                for wish in &decision.wishes {
                    let Basis::Forecast { foresight, .. } = &wish.basis else {
                        panic!("{wish:?}");
                    };
                    prop_assert!(!wish.shrinks);
                    match foresight {
                        Foresight::More { load, came, .. } => {
                            prop_assert!(load.is_finite() && wish.workers > 0, "{wish:?}");
                            prop_assert!((0.55..=1.000_001).contains(came), "{wish:?}");
                        }
                        _ => prop_assert_eq!(wish.workers, 0, "{:?}", wish),
                    }
                    let text = wish.to_string();
                    prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
                }
                let _ = state.unsaved();
            }
        }
    }
}
