//! Many deployments and few GPUs: no GPU is idle while somebody waits who may use it, nobody starves, and
//! nothing is swapped to and fro.

use std::{sync::Arc, time::Duration};

use penstock_config::Config;
use proptest::prelude::*;

use super::{super::play::config, house::House};

const SECOND: Duration = Duration::from_secs(1);

/// From the end of one worker's last request to the start of the next: it may be asked again at once, a
/// report is up to a second old, the gateway obeys, and what is left of it must go.
const HAND_OVER: Duration = Duration::from_secs(5);

/// `count` deployments that are started on demand, and so many GPUs.
fn crowd(count: usize, gpus: usize, give_way_after: u64) -> Arc<Config> {
    let devices: Vec<String> = (0..gpus).map(|number| format!("\"{number}\"")).collect();
    let mut text = format!(
        "[gpus]\ndevices = [{}]\ngive_way_after = \"{give_way_after}s\"\n",
        devices.join(", ")
    );
    for number in 0..count {
        text += &format!(
            "[services.s{number}]\nqueue = {{ max_wait = \"1h\" }}
             [services.s{number}.deployments.stable]
             process = {{ command = [\"serve\"], gpus = 1 }}
             max_concurrency = 1
             scaling = {{ min = 0, max = 1, idle_timeout = \"10m\" }}\n"
        );
    }
    config(&text)
}

#[test]
fn a_thousand_deployments_share_64_gpus_and_none_is_idle_while_somebody_waits() {
    const ALL: usize = 64;
    let mut house = House::new(&crowd(1000, ALL, 120), 2 * SECOND, false);
    // Each asks once, at its own time of a minute.
    let mut luck = 7_u64;
    for number in 0..1000_u64 {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = Duration::from_millis((luck >> 33) % 60_000);
        house.arrive(&format!("s{number}"), at, 2 * SECOND);
    }
    let mut idle = Duration::ZERO;
    for _ in 0..400 {
        house.run(SECOND);
        let free = house.free(ALL);
        idle = if free > 0 && house.without_worker() > 0 {
            idle + SECOND
        } else {
            Duration::ZERO
        };
        assert!(
            idle <= HAND_OVER,
            "{free} GPUs were free for {idle:?} while somebody waited"
        );
        if house.waits().len() == 1000 {
            break;
        }
    }
    assert_eq!(
        (house.all_queued(), house.waits().len()),
        (0, 1000),
        "everybody was served"
    );
    // Not one model was loaded for nothing.
    assert!(house.starts <= 1000, "{} starts", house.starts);
    let longest = house.waits().iter().max().unwrap();
    // Each GPU has sixteen turns, of a load, a request and a hand-over.
    assert!(*longest < 16 * (4 * SECOND + HAND_OVER), "{longest:?}");
}

/// Requests: of which service, after how many milliseconds since the one before, taking so many.
fn requests() -> impl Strategy<Value = Vec<(usize, u64, u64)>> {
    prop::collection::vec((0_usize..5, 0_u64..8000, 100_u64..6000), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8 + 1, ..ProptestConfig::default() })]

    #[test]
    fn everybody_is_served_in_bounded_time_without_swapping_to_and_fro(
        requests in requests(),
        gpus in 1_usize..4,
        bound in 20_u64..200,
    ) {
        let mut house = House::new(&crowd(5, gpus, bound), 10 * SECOND, false);
        let mut at = Duration::from_secs(2);
        let (mut busy, count) = (Duration::ZERO, requests.len());
        for (service, pause, takes) in requests {
            at += Duration::from_millis(pause);
            let takes = Duration::from_millis(takes);
            busy += takes;
            house.arrive(&format!("s{service}"), at, takes);
        }
        // All that has to be done one after the other, each with a load of its own.
        let swap = 10 * SECOND + HAND_OVER + 2 * SECOND;
        let enough = at + busy + swap * u32::try_from(count).unwrap() + 10 * SECOND;
        let mut left = enough;
        let mut longest = Duration::ZERO;
        while left > Duration::ZERO && (house.waits().len() < count) {
            house.run(SECOND);
            left = left.saturating_sub(SECOND);
            longest = longest.max(house.longest_wait());
        }
        prop_assert_eq!(house.waits().len(), count, "somebody starves");
        // Nobody is loaded more often than there are requests, and where requests of one model come together
        // they are served together.
        prop_assert!(house.starts <= count, "{} starts for {count} requests", house.starts);
        // Every other model may have its turn before, and finish what it has.
        let turns = 5_u32;
        let most = Duration::from_secs(bound) * turns + (swap + 6 * SECOND) * turns * 2 + busy;
        prop_assert!(longest <= most, "{longest:?} of {most:?}");
    }
}
