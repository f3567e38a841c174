//! Scripted load through the core of control in virtual time.
//!
//! Every `cases/*.scenario` gives a timeline that must equal `cases/*.timeline`. After a wanted
//! change run with `UPDATE_GOLDEN=1` and read the difference.

mod coverage;
mod found;
mod interleavings;
mod load;
mod peers;
mod random;
mod script;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{coverage::Met, load::LoadMaker, script::Script, world::World};

/// Simulated time passes in steps of this length.
const STEP: Duration = Duration::from_millis(50);

#[test]
fn every_scenario_gives_its_timeline() {
    let mut differing = Vec::new();
    let mut met = Met::default();
    for path in scenarios() {
        let script = Script::parse(&fs::read_to_string(&path).expect("a scenario"));
        let played = play(&script);
        met.join(played.met);
        let (timeline, golden) = (played.timeline, path.with_extension("timeline"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &timeline).expect("the timeline can be written");
        } else if fs::read_to_string(&golden).unwrap_or_default() != timeline {
            differing.push(format!("{}:\n{timeline}", path.display()));
        }
    }
    assert!(
        differing.is_empty(),
        "not as written down:\n{}",
        differing.join("\n")
    );
    assert_eq!(met.missing(), [""; 0], "these come up in no scenario");
}

/// What came of a scenario.
struct Played {
    timeline: String,
    /// The desired count after every step.
    desired: Vec<(Duration, u32)>,
    /// What the decisions said.
    met: Met,
}

impl Played {
    fn of(name: &str) -> Self {
        play(&Script::parse(&text_of(name)))
    }

    /// What happened between these seconds, without the summaries of minutes.
    fn lines(&self, from: u64, to: u64) -> Vec<&str> {
        let within = |line: &&str| {
            let at = line
                .split_whitespace()
                .next()
                .and_then(|at| at.parse().ok());
            at.is_some_and(|at: f64| (from as f64..to as f64).contains(&at)) && !line.contains('—')
        };
        self.timeline.lines().filter(within).collect()
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

fn text_of(name: &str) -> String {
    let path = cases().join(name).with_extension("scenario");
    fs::read_to_string(path).expect("a scenario")
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases")
}

fn scenarios() -> Vec<PathBuf> {
    let entries = fs::read_dir(cases()).expect("the folder of cases");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "scenario"))
        .collect();
    paths.sort();
    paths
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
        met: world.control.met,
    }
}

fn summary(world: &World) -> String {
    let (in_flight, queued) = world.requests();
    format!(
        "{:9.2}  — desired {}, ready {}, in flight {in_flight}, queued {queued} ({})",
        world.elapsed().as_secs_f64(),
        world.control.decision.desired,
        world.control.ready(),
        world.control.decision.reason.label(),
    )
}
