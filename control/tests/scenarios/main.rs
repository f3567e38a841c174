//! Scripted load through `decide` and `plan` in simulated time.
//!
//! Every `cases/*.scenario` gives a timeline that must equal `cases/*.timeline`. After a wanted
//! change run with `UPDATE_GOLDEN=1` and read the difference.

mod interleavings;
mod random;
mod script;
mod world;

use std::{fs, path::Path, time::Duration};

use self::{
    random::Random,
    script::{Event, Script},
    world::{Request, World},
};

/// Simulated time passes in steps of this length.
const STEP: Duration = Duration::from_millis(50);

#[test]
fn every_scenario_gives_its_timeline() {
    let mut differing = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(cases()).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "scenario")
        {
            continue;
        }
        seen += 1;
        let script = Script::parse(&fs::read_to_string(&path).expect("a scenario"));
        let Played { timeline, .. } = play(&script);
        let golden = path.with_extension("timeline");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &timeline).expect("the timeline can be written");
        } else if fs::read_to_string(&golden).unwrap_or_default() != timeline {
            differing.push(format!("{}:\n{timeline}", path.display()));
        }
    }
    assert!(seen > 5, "the cases are not where they should be");
    assert!(
        differing.is_empty(),
        "not as written down:\n{}",
        differing.join("\n")
    );
}

/// What came of a scenario.
struct Played {
    timeline: String,
    /// The desired count after every step.
    desired: Vec<(Duration, u32)>,
}

impl Played {
    fn of(name: &str) -> Self {
        let path = cases().join(name).with_extension("scenario");
        play(&Script::parse(
            &fs::read_to_string(path).expect("a scenario"),
        ))
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = u32> {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let within = self
            .desired
            .iter()
            .filter(move |(at, _)| (from..to).contains(at));
        within.map(|(_, desired)| *desired)
    }
}

#[test]
fn constant_noisy_load_stays_within_one_worker_for_half_an_hour() {
    let played = Played::of("constant_noisy_load");
    let least = played.between(300, 2100).min().expect("time has passed");
    let most = played.between(300, 2100).max().expect("time has passed");
    // 22 requests per second of 2 s on average at 10 per worker.
    assert!(
        least >= 5 && most <= least + 1 && most <= 7,
        "{least} to {most}"
    );
}

#[test]
fn a_step_of_fifty_with_slow_starts_at_most_doubles_and_does_not_shrink_before_the_load_falls() {
    let played = Played::of("step_of_fifty_with_slow_starts");
    let most = played.between(0, 3300).max().expect("time has passed");
    // What clears the queue that grew while they started takes about twice as many.
    assert!((50..=140).contains(&most), "{most}");
    let least = played.between(380, 3000).min().expect("time has passed");
    assert!(least >= 50, "it shrinks before the load falls: {least}");
}

#[test]
fn nor_does_a_noisy_one() {
    let played = Played::of("noisy_step_of_fifty_with_slow_starts");
    let least = played.between(500, 3000).min().expect("time has passed");
    let most = played.between(0, 3300).max().expect("time has passed");
    assert!(least >= 50 && most <= 140, "{least} to {most}");
}

#[test]
fn clients_that_wait_for_their_answers_get_the_workers_they_ask_for() {
    let played = Played::of("fifty_times_the_clients");
    let most = played.between(600, 1800).max().expect("time has passed");
    assert!(most <= 53, "{most}");
    // Each round of starts takes 90 s, and shows how much of the queue is left.
    let least = played.between(700, 1800).min().expect("time has passed");
    assert!(least >= 50, "{least}");
    let last = played.between(1200, 1800).max().expect("time has passed");
    assert!(last <= 51, "{last}");
}

fn cases() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases")
}

/// Plays a scenario, with a summary of every minute in the timeline.
fn play(script: &Script) -> Played {
    let mut world = World::new(script.setup.clone());
    let mut load = LoadMaker::default();
    let mut events = script.events.iter().peekable();
    let mut next_summary = Duration::ZERO;
    let mut desired = Vec::new();
    while world.elapsed() < script.until {
        while let Some((_, event)) = events.next_if(|(at, _)| *at <= world.elapsed()) {
            load.follow(*event, &mut world);
        }
        load.arrivals(script.noise, &mut world);
        world.step(STEP);
        desired.push((world.elapsed(), world.control.decision.desired));
        if world.elapsed() >= next_summary {
            next_summary += Duration::from_secs(60);
            let summary = summary(&world);
            world.timeline.push(summary);
        }
    }
    Played {
        timeline: world.timeline.join("\n") + "\n",
        desired,
    }
}

fn summary(world: &World) -> String {
    format!(
        "{:9.2}  — desired {}, ready {}, in flight {}, queued {} ({})",
        world.elapsed().as_secs_f64(),
        world.control.decision.desired,
        world.control.ready(),
        world.gateway.in_flight(),
        world.gateway.current() - world.gateway.in_flight(),
        world.control.decision.reason.label(),
    )
}

/// Makes requests come.
struct LoadMaker {
    rate: Option<(f64, Duration)>,
    /// Part of a request that has not come yet.
    due: f64,
    clients: u32,
    random: Random,
}

impl Default for LoadMaker {
    fn default() -> Self {
        Self {
            rate: None,
            due: 0.0,
            clients: 0,
            random: Random::new(7),
        }
    }
}

impl LoadMaker {
    fn follow(&mut self, event: Event, world: &mut World) {
        match event {
            Event::Rate {
                per_second,
                service,
            } => self.rate = Some((per_second, service)),
            Event::Clients { count, service } => {
                for _ in self.clients..count {
                    world.arrive(Request {
                        service,
                        again: true,
                    });
                }
                if count < self.clients {
                    world.gateway.send_away(self.clients - count);
                }
                self.clients = count;
            }
            Event::Burst { count, service } => {
                for _ in 0..count {
                    world.arrive(Request {
                        service,
                        again: false,
                    });
                }
            }
            Event::RestartGateway => world.restart_gateway(),
            Event::RestartControl => world.restart_control(),
        }
    }

    fn arrivals(&mut self, noise: f64, world: &mut World) {
        let Some((per_second, service)) = self.rate else {
            return;
        };
        let expected = per_second * STEP.as_secs_f64();
        // Even without noise, and with full noise each step may have none or twice as many.
        self.due += expected * (1.0 + noise * (2.0 * self.random.share() - 1.0));
        while self.due >= 1.0 {
            self.due -= 1.0;
            let stretch = 1.0 + noise * (2.0 * self.random.share() - 1.0);
            world.arrive(Request {
                service: service.mul_f64(stretch),
                again: false,
            });
        }
    }
}
