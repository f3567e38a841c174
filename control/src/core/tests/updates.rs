//! Whatever fails while workers of one revision make place for those of the next: there are never more
//! than may be, no worker is let go that is needed, and once nothing fails any more the update ends well.

use std::time::Duration;

use penstock_config::{
    Update,
    fleet::{LoadReport, WorkerId},
};
use proptest::prelude::*;

use super::play::{begin, config};
use crate::{
    core::{
        Ask, AskId, Core, Effect, Event, Moment, ProbeEvent, StartError, WorkersAsk,
        WorkersRequest,
        deployment::DeploymentState,
        worker::{Life, Worker},
    },
    plan::DrainCause,
    remembered::Remembered,
    revisions::{Origin, Via},
    virtual_world::{Job, Machine},
};

/// How updates go.
const UPDATES: [&str; 8] = [
    r#"{ max_surge = "25%", max_unavailable = "0%" }"#,
    r#"{ max_surge = "10%", max_unavailable = "20%" }"#,
    r#"{ max_surge = "0%", max_unavailable = "20%" }"#,
    r#"{ max_surge = 0, max_unavailable = 1 }"#,
    r#"{ max_surge = 3, max_unavailable = 2 }"#,
    r#"{ max_surge = "100%", max_unavailable = "0%" }"#,
    r#"{ max_surge = "1%", max_unavailable = "1%" }"#,
    r#""recreate""#,
];

/// One thing that happens; numbers choose among what there is to choose from.
#[derive(Debug, Clone)]
enum Happening {
    /// So many milliseconds pass.
    Wait(u16),
    /// A start or stop that is under way comes to its end.
    Outcome(u8),
    /// A start comes to nothing.
    Fails(u8),
    /// A worker dies.
    Dies(u8),
    /// Its probe passes, fails, or says that it is broken.
    Probed(u8, u8),
    /// Every gateway obeys, or none does yet.
    Report(bool),
    /// The file asks for something else.
    Reload(u8),
    /// An operator does something.
    Asks(WorkersAsk),
}

fn happening() -> impl Strategy<Value = Happening> {
    let asks = prop_oneof![
        Just(WorkersAsk::Restart),
        (1_u64..6).prop_map(|number| WorkersAsk::Switch(Some(number))),
        Just(WorkersAsk::Switch(None)),
        (0_u32..12).prop_map(WorkersAsk::Drain),
    ];
    prop_oneof![
        4 => (0_u16..4000).prop_map(Happening::Wait),
        12 => any::<u8>().prop_map(Happening::Outcome),
        2 => any::<u8>().prop_map(Happening::Fails),
        1 => any::<u8>().prop_map(Happening::Dies),
        12 => (any::<u8>(), 0_u8..20).prop_map(|(which, what)| Happening::Probed(which, what)),
        5 => any::<bool>().prop_map(Happening::Report),
        2 => (0_u8..3).prop_map(Happening::Reload),
        1 => asks.prop_map(Happening::Asks),
    ]
}

struct World {
    core: Core,
    now: Moment,
    settings: String,
    desired: usize,
    /// Workers that the devices have room for.
    room: usize,
    machine: Machine,
    /// What the core waits for.
    under_way: Vec<Job>,
    saves: Vec<u64>,
    /// Whether the last event led to a start.
    started: bool,
    sequence: u64,
    generation: u64,
    asks: u64,
}

fn file(settings: &str, command: u8) -> String {
    format!(
        "[services.chat.deployments.stable]
         process = {{ command = [\"serve-{command}\"] }}
         start_timeout = \"30s\"
         drain_timeout = \"10s\"
         {settings}"
    )
}

impl World {
    /// So many workers of the first revision, all ready.
    fn new(desired: usize, room: usize, update: &str) -> Self {
        let settings =
            format!("update = {update}\nscaling = {{ min = {desired}, max = {desired} }}");
        let now = begin();
        let first = config(&file(&settings, 0));
        let (core, effects) = Core::new(&first, Remembered::default(), now);
        let mut this = Self {
            core,
            now,
            settings,
            desired,
            room: desired + room,
            machine: Machine::default(),
            under_way: Vec::new(),
            saves: Vec::new(),
            started: false,
            sequence: 0,
            generation: 0,
            asks: 0,
        };
        this.obey(effects);
        this.tell(Event::Swept);
        this.settle();
        this
    }

    fn deployment(&self) -> &DeploymentState {
        &self.core.services["chat"].deployments["stable"]
    }

    fn tell(&mut self, event: Event) {
        self.started = false;
        let effects = self.core.handle(event, self.now);
        self.obey(effects);
        let ready_before = self.all_ready();
        let effects = self.core.handle(Event::Turn, self.now);
        self.obey(effects);
        self.check(&ready_before);
    }

    fn all_ready(&self) -> Vec<WorkerId> {
        let workers = self.deployment().workers.iter();
        let ready = workers.filter(|worker| worker.is_ready());
        ready.map(|worker| worker.id().clone()).collect()
    }

    fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.under_way.extend(self.machine.obey(&effect));
            match effect {
                Effect::Start { revision, .. } => {
                    let mut others = self.machine.processes();
                    let is_alone = others.all(|other| other.revision == revision);
                    assert!(
                        is_alone || !self.recreates(),
                        "another revision is still there"
                    );
                    self.started = true;
                }
                Effect::Save { number, .. } => self.saves.push(number),
                Effect::Publish(snapshot) => self.generation = snapshot.generation,
                _ => {}
            }
        }
    }

    fn recreates(&self) -> bool {
        self.settings.contains("recreate")
    }

    /// What was promised.
    fn check(&self, ready_before: &[WorkerId]) {
        assert_eq!(self.machine.faults(), [""; 0]);
        let deployment = self.deployment();
        let update = deployment.spec.update;
        let here = |worker: &&Worker| worker.is_kept() && worker.broken.is_none();
        // What is broken or drained by hand is replaced at once.
        let replaced = |worker: &Worker| {
            let drained = &deployment.course.drained;
            worker.broken.is_some() || drained.contains_key(&*worker.id().0)
        };
        let leaving =
            |worker: &&Worker| !here(worker) && !replaced(worker) && !deployment.is_current(worker);
        let workers = || deployment.workers.iter();
        let count = workers().filter(here).count() + workers().filter(leaving).count();
        let most = update.most(self.desired);
        // What runs becomes old, and is too many, when the file goes back and forth.
        if self.started {
            assert!(count <= most, "{count} workers, and at most {most} may be");
        }
        let cause = |worker: &Worker| match worker.life {
            Life::Draining { cause, .. } => Some(cause),
            _ => None,
        };
        let just_drained = workers().filter(|worker| ready_before.contains(worker.id()));
        let causes: Vec<_> = just_drained.filter_map(cause).collect();
        let ready = workers().filter(|worker| worker.is_ready()).count();
        let fewest = update.fewest(self.desired);
        if causes.contains(&DrainCause::Outdated) {
            assert!(ready >= fewest, "{ready} are ready, and {fewest} must be");
        }
        if causes.contains(&DrainCause::GivesWay) {
            let fewest = fewest.min(self.desired - 1);
            assert!(
                ready >= fewest,
                "{ready} are ready, {fewest} must be: {causes:?}"
            );
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Wait(ms) => self.wait((*ms).into()),
            Happening::Outcome(which) => {
                if let Some(place) = usize::from(*which).checked_rem(self.under_way.len()) {
                    let what = self.under_way.remove(place);
                    self.come(what);
                }
            }
            Happening::Fails(which) => {
                let starts = self.under_way.iter();
                let starts = starts.filter(|what| matches!(what, Job::Start(_)));
                let starts: Vec<_> = starts.cloned().collect();
                if let Some(Job::Start(id)) = nth(&starts, *which).cloned() {
                    let job = Job::Start(id);
                    self.under_way.retain(|what| *what != job);
                    let error = StartError::Failed("no such program".to_owned());
                    let event = self.machine.fail(&job, error);
                    event.into_iter().for_each(|event| self.tell(event));
                }
            }
            Happening::Dies(which) => {
                if let Some(id) = nth(&self.running(), *which) {
                    let event = self.machine.die(id, "killed by SIGKILL");
                    event.into_iter().for_each(|event| self.tell(event));
                }
            }
            Happening::Probed(which, what) => {
                if let Some(id) = nth(&self.running(), *which).cloned() {
                    let reason = "HTTP status 500".to_owned();
                    self.tell(Event::Probed(match what {
                        0 => ProbeEvent::NotReady(id, reason),
                        1 => ProbeEvent::LivenessFailed(id, reason),
                        _ => ProbeEvent::Ready(id),
                    }));
                }
            }
            Happening::Report(obeys) => self.report(*obeys),
            Happening::Reload(command) => self.reload(*command),
            Happening::Asks(ask) => self.ask(*ask),
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now.at += Duration::from_millis(ms);
        self.now.wall_ms += ms;
        self.now.today_ms += ms;
        self.tell(Event::Turn);
    }

    fn reload(&mut self, command: u8) {
        let config = config(&file(&self.settings, command));
        self.asks += 1;
        let ask = Ask::Apply(config, Origin::of(Via::File));
        self.tell(Event::Asked(AskId(self.asks), ask));
    }

    fn ask(&mut self, ask: WorkersAsk) {
        self.asks += 1;
        let request = WorkersRequest {
            service: "chat".to_owned(),
            deployment: Some("stable".to_owned()),
            ask,
            by: None,
            reason: None,
        };
        self.tell(Event::Asked(AskId(self.asks), Ask::Workers(request)));
    }

    fn report(&mut self, obeys: bool) {
        self.sequence += 1;
        self.tell(Event::Report(LoadReport {
            gateway: 1,
            sequence: self.sequence,
            generation: self.generation - u64::from(!obeys).min(self.generation),
            at: self.now.at - begin().at,
            deployments: Vec::new(),
            services: Vec::new(),
        }));
    }

    fn come(&mut self, job: Job) {
        let is_start = matches!(job, Job::Start(_));
        let events = if is_start && self.running().len() >= self.room {
            let full = StartError::NoRoom("no GPU free".to_owned());
            Vec::from_iter(self.machine.fail(&job, full))
        } else {
            self.machine.done(job)
        };
        events.into_iter().for_each(|event| self.tell(event));
    }

    fn running(&self) -> Vec<WorkerId> {
        let running = self.machine.running();
        running.map(|process| process.worker.id.clone()).collect()
    }

    /// Everything works for a while.
    fn settle(&mut self) {
        // Longer than the longest back-off after failures.
        for _ in 0..45 {
            while let Some(what) = self.under_way.pop() {
                self.come(what);
            }
            for id in self.running() {
                self.tell(Event::Probed(ProbeEvent::Ready(id)));
            }
            for number in std::mem::take(&mut self.saves) {
                self.tell(Event::Saved(number, Ok(())));
            }
            self.report(true);
            self.wait(8000);
        }
    }

    /// What has stopped is tried again, and then everything works. What was under way may fail until then.
    fn end_well(&mut self) {
        self.settle();
        let update = self.deployment().course.update.as_ref();
        if update.is_some_and(|update| update.stopped.is_some()) {
            let to = self.deployment().number_in_force();
            self.ask(WorkersAsk::Switch(to));
        }
        self.settle();
        let deployment = self.deployment();
        let all_new = deployment
            .workers
            .iter()
            .all(|worker| worker.is_ready() && worker.revision == deployment.revision);
        assert!(all_new, "{:?}", deployment.course.update);
        assert_eq!(deployment.workers.len(), self.desired);
        assert_eq!(self.running().len(), self.desired);
        assert_eq!(deployment.course.update, None);
    }
}

fn nth<T>(all: &[T], which: u8) -> Option<&T> {
    all.get(usize::from(which).checked_rem(all.len())?)
}

#[test]
fn of_ten_workers_never_fewer_than_eight_are_ready_and_there_are_never_more_than_eleven() {
    let mut world = World::new(10, 10, UPDATES[1]);
    let update = world.deployment().spec.update;
    assert_eq!((update.most(10), update.fewest(10)), (11, 8));
    assert_ne!(update, Update::default());
    world.reload(1);
    let (mut fewest, mut most) = (usize::MAX, 0);
    for _ in 0..400 {
        // One thing after the other: what is under way stays so while others come.
        if !world.under_way.is_empty() {
            let what = world.under_way.remove(0);
            world.come(what);
        }
        let (ready, all) = (world.all_ready().len(), world.machine.processes().count());
        (fewest, most) = (fewest.min(ready), most.max(all));
        for id in world.running() {
            world.tell(Event::Probed(ProbeEvent::Ready(id)));
        }
        world.report(true);
        world.wait(100);
    }
    assert_eq!((fewest, most), (8, 11), "as far as allowed, and no further");
    world.end_well();
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn updates_keep_what_was_promised_and_end_well(
        desired in 1_usize..12,
        room in 0_usize..4,
        update in 0..UPDATES.len(),
        happenings in prop::collection::vec(happening(), 0..250),
    ) {
        let mut world = World::new(desired, room, UPDATES[update]);
        world.reload(1);
        for happening in &happenings {
            world.happen(happening);
        }
        world.end_well();
    }
}
