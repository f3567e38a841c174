//! A core that is told events by hand, and its effects in short words.

use std::{path::Path, sync::Arc, time::Duration};

use penstock_config::{
    Config,
    fleet::{FleetSnapshot, LoadReport, WorkerId, WorkerState},
};

use crate::{
    core::{Answer, Ask, AskId, Core, Effect, Event, Moment},
    remembered::Remembered,
};

/// What wall clocks show at the beginning.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// From the beginning of time to that of control.
const BEGIN: Duration = Duration::from_secs(100_000);

pub(super) struct Play {
    pub(super) core: Core,
    pub(super) now: Moment,
    sequence: u64,
}

/// One service `chat` with a deployment `stable` and these settings.
pub(super) fn chat(settings: &str) -> Arc<Config> {
    config(&format!(
        "[services.chat.deployments.stable]\nprocess = {{ command = [\"serve\"] }}\n{settings}"
    ))
}

pub(super) fn config(services: &str) -> Arc<Config> {
    let text = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{services}");
    let config = penstock_config::parse(&text, Path::new("/penstock.toml"));
    Arc::new(config.unwrap_or_else(|errors| panic!("{errors}")))
}

pub(super) fn begin() -> Moment {
    Moment {
        at: BEGIN,
        wall_ms: BEGIN_MS,
        today_ms: BEGIN_MS,
    }
}

impl Play {
    pub(super) fn new(config: &Arc<Config>) -> (Self, Vec<String>) {
        Self::after(config, Remembered::default())
    }

    pub(super) fn after(config: &Arc<Config>, remembered: Remembered) -> (Self, Vec<String>) {
        let now = begin();
        let (core, effects) = Core::new(config, remembered, now);
        let play = Self {
            core,
            now,
            sequence: 0,
        };
        (play, short(&effects))
    }

    /// A new core of which nothing of an earlier run is left.
    pub(super) fn swept(settings: &str) -> (Self, Vec<String>) {
        let (mut play, _) = Self::new(&chat(settings));
        let effects = play.tell(Event::Swept);
        (play, effects)
    }

    /// Lets time pass, and the alarm ring.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<String> {
        self.pass(time);
        short(&self.core.handle(Event::Turn, self.now))
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.now.at += time;
        self.now.wall_ms += ms;
        self.now.today_ms += ms;
    }

    /// Tells an event, and gives a turn.
    pub(super) fn tell(&mut self, event: Event) -> Vec<String> {
        short(&self.tell_in_full(event))
    }

    pub(super) fn tell_in_full(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = self.core.handle(event, self.now);
        effects.extend(self.core.handle(Event::Turn, self.now));
        effects
    }

    pub(super) fn ask(&mut self, to: u64, ask: Ask) -> Vec<String> {
        self.tell(Event::Asked(AskId(to), ask))
    }

    /// The only gateway says that it obeys the newest snapshot and has nothing in flight.
    pub(super) fn report(&mut self) -> Vec<String> {
        self.sequence += 1;
        let report = LoadReport {
            gateway: 1,
            sequence: self.sequence,
            generation: self.core.generation,
            at: self.now.at - BEGIN,
            deployments: Vec::new(),
            services: Vec::new(),
        };
        self.tell(Event::Report(report))
    }

    /// The identity of the worker that was made so-and-so-manieth.
    pub(super) fn id(&self, number: u64) -> WorkerId {
        let end = format!("-{number:x}");
        let mut ids = self.core.owners.keys();
        let found = ids.find(|id| id.0.ends_with(&end));
        found.cloned().unwrap_or_else(|| WorkerId(end.into()))
    }
}

/// Effects that touch the world, in short words.
pub(super) fn short(effects: &[Effect]) -> Vec<String> {
    effects.iter().filter_map(words).collect()
}

fn words(effect: &Effect) -> Option<String> {
    let number = |id: &WorkerId| id.0.rsplit('-').next().unwrap_or_default().to_owned();
    Some(match effect {
        Effect::Start { worker, .. } => {
            format!("start {} as #{}", number(&worker.id), worker.slot)
        }
        Effect::Prepare(worker) => {
            format!("prepare {} as #{}", number(&worker.id), worker.slot)
        }
        Effect::CallOff(id) => format!("call off {}", number(id)),
        Effect::Stop(id) => format!("stop {}", number(id)),
        Effect::Adopt { worker, .. } => format!("adopt {}", number(&worker.id)),
        Effect::Sweep(kept) => format!("sweep all but {}", kept.len()),
        Effect::Forget(id) => format!("forget {}", number(id)),
        Effect::Hurry => "hurry".to_owned(),
        Effect::Probe { worker, .. } => format!("probe {}", number(worker)),
        Effect::StopProbing(id) => format!("stop probing {}", number(id)),
        Effect::Publish(snapshot) => published(snapshot),
        Effect::Save { number, table, .. } => format!("save {table:?} {number}"),
        Effect::Answer(to, answer) => format!("answer {}: {}", to.0, answered(answer)),
        Effect::Ended => "ended".to_owned(),
        _ => return None,
    })
}

fn published(snapshot: &FleetSnapshot) -> String {
    let mut text = "publish".to_owned();
    for deployment in snapshot
        .services
        .iter()
        .flat_map(|found| &found.deployments)
    {
        let phase = format!("{:?}", deployment.phase);
        let phase = phase.split([' ', '{']).next().unwrap_or_default();
        text += &format!(" {}", phase.to_lowercase());
        for worker in &deployment.workers {
            let sign = match worker.state {
                WorkerState::Ready => "",
                WorkerState::Draining => " drains",
            };
            text += &format!(", #{}{sign}", worker.slot);
        }
    }
    text
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Applied(_) => "applied".to_owned(),
        Answer::Traffic(Err(why)) | Answer::Pause(Err(why)) | Answer::Workers(Err(why)) => {
            format!("{why:?}")
        }
        _ => "done".to_owned(),
    }
}
