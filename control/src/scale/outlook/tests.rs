mod rules;

use std::path::Path;

use super::*;
use crate::scale::{History, HoldCause, Load, Observation, decide};

fn scaling(settings: &str) -> Scaling {
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
        [services.chat.deployments.main]
        process = {{ command = [\"true\"] }}
        max_concurrency = 4
        scaling = {{ {settings} }}"
    );
    let config = penstock_config::parse(&text, Path::new("/test.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let service = config.services.values().next().expect("the service");
    let deployment = service.deployments.values().next().expect("one");
    deployment.scaling.clone()
}

/// A deployment with so many workers that has had these numbers of requests, one a second.
struct Course {
    scaling: Scaling,
    state: ScaleState,
    decision: Decision,
    now: Duration,
    /// Of the requests so many wait.
    queued: u32,
}

impl Course {
    fn new(settings: &str, workers: u32) -> Self {
        let backlog = "{ type = \"backlog\", target = 2 }";
        Self::by_rule(settings, backlog, workers)
    }

    fn by_rule(settings: &str, rule: &str, workers: u32) -> Self {
        let now = Duration::from_secs(1_000);
        Self {
            scaling: scaling(&format!("{settings}, rules = [{rule}]")),
            queued: 0,
            state: ScaleState::new(workers, History::default(), now),
            decision: Decision::fixed(workers, workers, Reason::Steady),
            now,
        }
    }

    fn pass(&mut self, requests: u32, seconds: u32, hold: Option<Hold>) -> String {
        let next = self.next_after(requests, seconds, hold);
        let words: Vec<String> = next.iter().map(ToString::to_string).collect();
        words.join("; ")
    }

    /// A second in which requests wait besides those that come and go, and what is next then.
    fn next_with_queue(&mut self, served: u32) -> Vec<Outlook> {
        self.next_after(served + self.queued, 1, None)
    }

    fn next_after(&mut self, requests: u32, seconds: u32, hold: Option<Hold>) -> Vec<Outlook> {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            let seen = Observation {
                current: requests,
                queued: self.queued,
                load: Load {
                    over: Duration::from_secs(1),
                    // Each takes a second.
                    in_flight_seconds: f64::from(requests - self.queued),
                    arrivals: (requests - self.queued).into(),
                    served: (requests - self.queued).into(),
                    ..Load::default()
                },
                ready: self.state.desired(),
                hold,
                ..Observation::default()
            };
            self.decision = decide(&self.scaling, &seen, &mut self.state, self.now);
        }
        self.state
            .outlook(&self.decision, &self.scaling, hold, self.now)
    }
}

#[test]
fn what_would_change_the_count_is_told_with_the_value_and_the_time() {
    let mut course = Course::new("min = 1, max = 9, down = { stable_for = \"60s\" }", 2);
    let more = "more than 4 by the backlog rule when requests in flight or queued passes 8.0";
    assert_eq!(course.pass(8, 1, None), more);
    let fewer = format!("{more}; to 3 in 51 s, if the load stays as it is");
    assert_eq!(
        course.pass(6, 9, None),
        fewer,
        "the first of them was not lower for a time"
    );
    let shorter = fewer.replace("51", "41");
    assert_eq!(course.pass(2, 10, None), shorter);
    assert!(course.pass(2, 42, None).starts_with("more than 3 by"));
}

#[test]
fn bounds_and_pace_are_named() {
    let up = "up = { percent = 100, period = \"60s\" }";
    let mut course = Course::new(&format!("min = 1, max = 3, {up}"), 1);
    let paced = course.pass(50, 11, None);
    assert_eq!(paced, "more in 50 s, when the up pace allows it");
    assert_eq!(course.pass(50, 51, None), "no more: max is 3");
    let mut course = Course::new("min = 2, max = 3", 2);
    assert!(course.pass(1, 1, None).ends_with("; no fewer: min is 2"));
}

#[test]
fn the_end_of_idleness_and_of_a_hold_are_foretold() {
    let settings = "min = 0, max = 3, idle_timeout = \"100s\"";
    let mut course = Course::new(settings, 1);
    let next = course.pass(0, 30, None);
    assert!(
        next.ends_with("; to 0 in 70 s, if no request comes"),
        "{next}"
    );
    let hold = Hold {
        since: course.now,
        cause: HoldCause::GatewayStarted,
    };
    let next = course.pass(0, 20, Some(hold));
    assert!(
        next.ends_with("; no fewer for at least 40 s more"),
        "{next}"
    );
    assert_eq!(course.pass(0, 60, None), "a worker with the first request");
}
