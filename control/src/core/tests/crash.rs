//! `kill -9` of Penstock between any two events: what the next run finds is what the state file had and what
//! drivers find, and it goes on from there. No two workers are on one GPU or in one place, none is forgotten,
//! nothing that was promised is broken, and in the end all is as it would have been.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use penstock_config::{Config, ProcessCommand, Source};

use super::play::{begin, config};
use crate::{
    core::{
        Answer, Ask, AskId, Effect, Event, Key, NewWorker, StartError, WorkersAsk, WorkersRequest,
    },
    remembered::Remembered,
    revisions::{Origin, Via},
    virtual_world::{Crash, House, Process, Request, Start, Workers},
};

const SECOND: Duration = Duration::from_secs(1);

/// All that can be left of what was under way.
const CRASHES: [Crash; 4] = [
    Crash {
        written: true,
        begun: true,
    },
    Crash {
        written: true,
        begun: false,
    },
    Crash {
        written: false,
        begun: true,
    },
    Crash {
        written: false,
        begun: false,
    },
];

/// Workers that exist after a while and load for a while. What is called `bad` cannot be started.
struct Slow;

impl Workers for Slow {
    fn start(&mut self, worker: &NewWorker) -> Result<Start, StartError> {
        if runs(worker) == "bad" {
            return Err(StartError::Failed("no such program".to_owned()));
        }
        // With the pull of its image, if it has one.
        let pull = match worker.spec.source {
            Source::Container(_) if worker.gpus.is_none() => 10 * SECOND,
            _ => Duration::ZERO,
        };
        Ok(Start {
            exists_after: pull + Duration::from_millis(700),
            ready_after: pull + 4 * SECOND,
        })
    }

    fn stop(&mut self) -> Duration {
        Duration::from_millis(800)
    }

    fn prepare(&mut self, _: &NewWorker) -> Result<Duration, StartError> {
        Ok(10 * SECOND)
    }
}

/// What a worker runs, in one word.
fn runs(worker: &NewWorker) -> &str {
    match &worker.spec.source {
        Source::Process(spec) => match &spec.command {
            ProcessCommand::Exec(command) => &command[0],
            ProcessCommand::Shell(line) => line,
        },
        Source::Container(spec) => &spec.image,
        Source::Static(_) => "static",
    }
}

/// What an operator or a client does at some time.
enum Does {
    Applies(Arc<Config>),
    Asks(WorkersAsk),
    Requests(&'static str),
}

/// A timeline that is cut at any event.
struct Tale {
    /// The file in the beginning.
    file: Arc<Config>,
    /// In the order of time.
    does: Vec<(Duration, Does)>,
    /// Fewest workers that are ready from the beginning of the cuts on.
    fewest: usize,
    /// It is cut between these times.
    cuts: (Duration, Duration),
    /// When all must be well.
    end: Duration,
}

/// One telling of it.
struct Telling<'t> {
    tale: &'t Tale,
    house: House<Slow>,
    file: Arc<Config>,
    /// Events told so far.
    told: usize,
    /// Which of them come between the times of the cuts.
    between: Option<(usize, usize)>,
    cut: Option<(usize, Crash)>,
    /// Asks that were answered well.
    kept: BTreeSet<u64>,
    /// What is wrong.
    wrong: Vec<String>,
}

impl<'t> Telling<'t> {
    fn new(tale: &'t Tale, cut: Option<(usize, Crash)>) -> Self {
        Self {
            house: House::new(&tale.file, Remembered::default(), Slow, begin()),
            file: Arc::clone(&tale.file),
            tale,
            told: 0,
            between: None,
            cut,
            kept: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.house.shell.now().at - begin().at
    }

    /// Tells it to the end.
    fn tell(mut self) -> Self {
        let tale = self.tale;
        for (number, (at, does)) in (0..).zip(&tale.does) {
            self.run_to(*at);
            match does {
                Does::Applies(file) => {
                    self.file = Arc::clone(file);
                    let ask = Ask::Apply(Arc::clone(file), Origin::of(Via::File));
                    self.event(Event::Asked(AskId(number), ask));
                }
                Does::Asks(ask) => {
                    let request = WorkersRequest {
                        service: "a".to_owned(),
                        deployment: None,
                        ask: *ask,
                        by: Some("ann".to_owned()),
                        reason: None,
                    };
                    self.event(Event::Asked(AskId(number), Ask::Workers(request)));
                }
                Does::Requests(service) => {
                    let request = Request {
                        service: 3 * SECOND,
                        again: false,
                    };
                    self.house.arrive(key(service), Duration::ZERO, request);
                }
            }
        }
        self.run_to(tale.end);
        self
    }

    fn event(&mut self, event: Event) {
        self.house.tell(event);
        self.boundary();
    }

    fn run_to(&mut self, end: Duration) {
        while self.house.step(begin().at + end) {
            self.boundary();
        }
    }

    /// Between two events.
    fn boundary(&mut self) {
        self.told += 1;
        let (from, to) = self.tale.cuts;
        if (from..to).contains(&self.elapsed()) {
            self.between.get_or_insert((self.told, 0)).1 = self.told;
        }
        for effect in self.house.said() {
            if let Effect::Answer(AskId(to), Answer::Workers(Ok(_))) = effect {
                self.kept.insert(to);
            }
        }
        if let Some((at, how)) = self.cut
            && at == self.told
        {
            let file = Arc::clone(&self.file);
            self.house.crash(&file, how);
        }
        let ready = self.house.shell.ready().count();
        if self.elapsed() >= self.tale.cuts.0 && ready < self.tale.fewest {
            let at = self.elapsed();
            self.wrong.push(format!("{ready} are ready at {at:?}"));
        }
    }

    /// What must be in the end, whenever it was cut.
    fn check(&mut self) {
        let machine = self.house.shell.machine();
        self.wrong.extend(machine.faults().iter().cloned());
        let core = self.house.shell.core();
        for process in machine.processes() {
            let id = &process.worker.id;
            if !core.owners.contains_key(id) {
                self.wrong.push(format!("nobody knows of {id}"));
            }
        }
        let known: usize = core.owners.len();
        if known != machine.processes().count() {
            self.wrong.push(format!("{known} workers are known"));
        }
        let queued: usize = self
            .house
            .gateway
            .doors()
            .map(|(_, door)| door.current())
            .sum();
        if queued > 0 {
            self.wrong.push(format!("{queued} requests wait in vain"));
        }
    }

    /// What the workers run that are ready, in their order.
    fn ready(&self) -> Vec<String> {
        let ready = self.house.shell.ready();
        let mut all: Vec<String> = ready.map(|process: &Process| about(process)).collect();
        all.sort();
        all
    }
}

fn about(process: &Process) -> String {
    let worker = &process.worker;
    format!("{} {}", worker.service, runs(worker))
}

fn key(service: &str) -> Key {
    Key {
        service: service.try_into().unwrap(),
        deployment: "stable".try_into().unwrap(),
    }
}

/// Tells a tale once whole, and then cut at each event in each way; `check` looks at the end of each.
fn cut_everywhere(tale: &Tale, check: impl Fn(&Telling<'_>) -> Result<(), String>) {
    let mut whole = Telling::new(tale, None).tell();
    whole.check();
    assert_eq!(whole.wrong, [""; 0], "uncut");
    assert_eq!(check(&whole), Ok(()), "uncut");
    let mut failures = Vec::new();
    let (first, last) = whole.between.expect("something happens then");
    for at in first..=last {
        for how in CRASHES {
            let mut telling = Telling::new(tale, Some((at, how))).tell();
            telling.check();
            let mut wrong = std::mem::take(&mut telling.wrong);
            wrong.extend(check(&telling).err());
            if !wrong.is_empty() {
                wrong.truncate(3);
                failures.push(format!("cut at event {at}, {how:?}: {wrong:?}"));
            }
        }
    }
    let all = CRASHES.len() * (last - first + 1);
    let count = failures.len();
    failures.truncate(8);
    assert!(failures.is_empty(), "{count} of {all}: {failures:#?}");
}

fn update(command: &str) -> Arc<Config> {
    config(&format!(
        "[services.a.deployments.stable]
         process = {{ command = [\"{command}\"] }}
         update = {{ max_surge = 1, max_unavailable = 0 }}
         scaling = {{ min = 3, max = 3 }}"
    ))
}

fn expect(telling: &Telling<'_>, expected: &[&str]) -> Result<(), String> {
    let ready = telling.ready();
    if ready == expected {
        return Ok(());
    }
    Err(format!("{ready:?} are ready in the end"))
}

#[test]
fn an_update_goes_on_whenever_it_is_cut() {
    let tale = Tale {
        file: update("one"),
        does: vec![(6 * SECOND, Does::Applies(update("two")))],
        fewest: 3,
        cuts: (6 * SECOND, 30 * SECOND),
        end: 90 * SECOND,
    };
    cut_everywhere(&tale, |telling| expect(telling, &["a two"; 3]));
}

#[test]
fn an_update_that_cannot_be_leaves_what_serves() {
    let tale = Tale {
        file: update("one"),
        does: vec![(6 * SECOND, Does::Applies(update("bad")))],
        fewest: 3,
        cuts: (6 * SECOND, 15 * SECOND),
        end: 60 * SECOND,
    };
    cut_everywhere(&tale, |telling| expect(telling, &["a one"; 3]));
}

#[test]
fn a_switch_that_was_answered_is_kept_whenever_it_is_cut() {
    let tale = Tale {
        file: update("one"),
        does: vec![
            (6 * SECOND, Does::Applies(update("two"))),
            (45 * SECOND, Does::Asks(WorkersAsk::Switch(Some(1)))),
        ],
        fewest: 3,
        cuts: (45 * SECOND, 52 * SECOND),
        end: 110 * SECOND,
    };
    cut_everywhere(&tale, |telling| {
        if telling.kept.contains(&1) {
            expect(telling, &["a one"; 3])
        } else {
            // Whoever asked was told nothing, and asks again.
            let ready = telling.ready();
            let is_either = ready == ["a one"; 3] || ready == ["a two"; 3];
            is_either.then_some(()).ok_or_else(|| format!("{ready:?}"))
        }
    });
}

const ON_DEMAND: &str = "scaling = { min = 0, max = 1, idle_timeout = \"1h\" }";

/// Two services with one GPU between them.
fn shared(source: &str) -> Arc<Config> {
    let service = |name: &str| {
        format!(
            "[services.{name}.deployments.stable]\n{source}\nmax_concurrency = 1\n{ON_DEMAND}\n"
        )
    };
    config(&format!(
        "[gpus]\ndevices = [\"0\"]\n{}{}",
        service("a"),
        service("b")
    ))
}

/// `a` is asked, then `b`, then `a` again.
fn swaps(source: &str) -> Tale {
    Tale {
        file: shared(source),
        does: vec![
            (SECOND, Does::Requests("a")),
            (25 * SECOND, Does::Requests("b")),
            (55 * SECOND, Does::Requests("a")),
        ],
        fewest: 0,
        cuts: (25 * SECOND, 48 * SECOND),
        end: 100 * SECOND,
    }
}

#[test]
fn swaps_of_a_gpu_go_on_whenever_they_are_cut() {
    let tale = swaps("process = { command = [\"serve\"], gpus = 1 }");
    cut_everywhere(&tale, |telling| expect(telling, &["a serve"]));
}

#[test]
fn pulls_before_gpus_are_given_go_on_whenever_they_are_cut() {
    let tale = swaps("container = { image = \"serve\", gpus = 1 }");
    cut_everywhere(&tale, |telling| expect(telling, &["a serve"]));
}

#[test]
fn a_pull_as_part_of_a_start_goes_on_whenever_it_is_cut() {
    let tale = Tale {
        file: config(
            "[services.a.deployments.stable]
             container = { image = \"serve\" }
             scaling = { min = 2, max = 2 }",
        ),
        does: Vec::new(),
        fewest: 0,
        cuts: (Duration::ZERO, 18 * SECOND),
        end: 50 * SECOND,
    };
    cut_everywhere(&tale, |telling| expect(telling, &["a serve"; 2]));
}

#[test]
fn workers_that_sleep_and_wake_do_so_whenever_it_is_cut() {
    let source = "process = { command = [\"serve\"], gpus = 1 }\nsleep = { engine = \"vllm\" }";
    // While one falls asleep and another one starts, and while the two change places.
    for (from, to) in [(25, 34), (55, 62)] {
        let tale = Tale {
            cuts: (from * SECOND, to * SECOND),
            ..swaps(source)
        };
        cut_everywhere(&tale, |telling| expect(telling, &["a serve"]));
    }
}
