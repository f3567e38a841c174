//! Timelines as they are written down beside this file.

use std::{env, fs, path::Path, time::Duration};

use super::world::{Behaviour, GOOD, World};

/// Name, how the canary behaves, and what else is special.
type Case = (&'static str, Behaviour, fn(&mut World));

/// What happens in a rollout, second by second. After a wanted change run with `UPDATE_GOLDEN=1`
/// and read the difference.
#[test]
fn every_rollout_gives_its_timeline() {
    let failing = Behaviour {
        failures: 0.05,
        ..GOOD
    };
    let slow = Behaviour {
        median: Duration::from_millis(160),
        ..GOOD
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rollout/tests");
    let cases: [Case; 6] = [
        ("advances_to_100", GOOD, |_| {}),
        ("fails_five_percent", failing, |_| {}),
        ("takes_twice_as_long", slow, |_| {}),
        ("waits_for_workers", GOOD, |world| {
            (world.facts.ready, world.facts.workers_max) = (0, 8);
            world.facts.current = 1_000;
            world.starts_in = Some(30);
        }),
        ("too_little_traffic", GOOD, |world| world.per_second = 8),
        ("control_restarts_every_100_s", GOOD, |world| {
            world.restarts = true
        }),
    ];
    for (name, canary, prepare) in cases {
        let mut world = World::new(canary, GOOD, 11);
        prepare(&mut world);
        let timeline = world.timeline(Duration::from_secs(1_500));
        let golden = folder.join(name).with_extension("timeline");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &timeline).expect("the timeline can be written");
        }
        let written = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(timeline, written, "{name}");
    }
}
