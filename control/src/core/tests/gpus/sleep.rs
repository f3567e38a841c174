//! Workers that sleep, step by step. After a wanted change run with `UPDATE_GOLDEN=1` and read the difference.

use std::time::Duration;

use super::{
    super::play::{Play, config},
    house::House,
    timelines::{check, house},
};
use crate::{
    core::{Ask, AskId, Event, ProbeEvent, WorkersAsk, WorkersRequest, revision::revision},
    remembered::{Remembered, SleepNote, SleepState, WorkerRow},
    secret::SecretKey,
};

const SECOND: Duration = Duration::from_secs(1);

const SLEEPS: &str = "sleep = { engine = \"vllm\" }
    scaling = { min = 0, max = 1, idle_timeout = \"1h\" }";

const ONE: &str = "[gpus]\ndevices = [\"0\"]";

/// Two models that sleep and have one GPU: `a` is asked for first, then `b`, then `a` again.
fn swap(settings: &str) -> House {
    let mut house = house(ONE, &[("a", settings), ("b", settings)]);
    house.arrive("a", SECOND, SECOND);
    house.arrive("b", 30 * SECOND, SECOND);
    house.arrive("a", 60 * SECOND, SECOND);
    house
}

/// All workers by their services, with their states.
fn states(house: &House) -> Vec<String> {
    let services = house.core().status().services.into_iter();
    let told = services.flat_map(|service| {
        let workers = service.deployments.into_iter().flat_map(|one| one.workers);
        let told = workers.map(|worker| format!("{} {}", service.name, worker.state));
        told.collect::<Vec<_>>()
    });
    told.collect()
}

#[test]
fn an_idle_worker_sleeps_rather_than_ends_and_is_woken_rather_than_another_one_started() {
    let mut house = swap(SLEEPS);
    house.arrive("b", 80 * SECOND, SECOND);
    house.run(100 * SECOND);
    assert_eq!((house.all_queued(), house.starts, house.wakes), (0, 2, 2));
    // The last swap took a wake, and no start.
    assert!(house.waits()[3] < 4 * SECOND, "{:?}", house.waits());
    check("sleep", &house);
}

#[test]
fn a_worker_that_cannot_sleep_ends_and_one_that_cannot_wake_is_replaced() {
    let mut house = swap(SLEEPS);
    house.workers().sleep_fails = true;
    house.run(45 * SECOND);
    assert_eq!((house.all_queued(), house.starts), (0, 2));
    house.workers().sleep_fails = false;
    house.run(35 * SECOND);
    house.workers().wake_fails = true;
    house.arrive("b", SECOND, SECOND);
    house.run(40 * SECOND);
    assert_eq!((house.all_queued(), house.wakes), (0, 1));
    check("sleep_fails", &house);
}

#[test]
fn what_is_not_needed_sleeps_for_a_while_and_then_ends() {
    let settings = "sleep = { engine = \"vllm\", for = \"60s\" }
        scaling = { min = 0, max = 1, idle_timeout = \"10s\", down.stable_for = \"1s\" }";
    let mut house = house(ONE, &[("a", settings)]);
    house.arrive("a", SECOND, SECOND);
    house.arrive("a", 40 * SECOND, SECOND);
    house.run(150 * SECOND);
    assert_eq!((house.starts, house.wakes), (1, 1));
    check("sleep_to_zero", &house);
}

#[test]
fn of_too_many_that_sleep_those_end_that_have_slept_longest() {
    let gpus = "[gpus]\ndevices = [\"0\"]\nmax_asleep = 2";
    let names = ["a", "b", "c", "d"];
    let services: Vec<_> = names.iter().map(|name| (*name, SLEEPS)).collect();
    let mut house = house(gpus, &services);
    for (number, name) in names.iter().enumerate() {
        let at = u32::try_from(number).unwrap() * 30 * SECOND;
        house.arrive(name, at + SECOND, SECOND);
    }
    house.run(130 * SECOND);
    assert_eq!(states(&house), ["b asleep", "c asleep", "d ready"]);
    // `a` is gone and must be started, `c` sleeps.
    house.arrive("c", SECOND, SECOND);
    house.arrive("a", 30 * SECOND, SECOND);
    house.run(60 * SECOND);
    assert_eq!((house.starts, house.wakes, house.all_queued()), (5, 1, 0));
    check("sleep_most", &house);
}

#[test]
fn a_new_worker_is_started_where_nobody_sleeps_and_room_is_made_where_one_does() {
    let gpus = "[gpus]\ndevices = [\"0\", \"1\"]";
    let names = ["a", "b", "c", "d"];
    let services: Vec<_> = names.iter().map(|name| (*name, SLEEPS)).collect();
    let mut house = house(gpus, &services);
    // `a` and `b` have a GPU each, then `c` that of `a`, which was idle longest.
    house.arrive("a", SECOND, SECOND);
    house.arrive("b", 20 * SECOND, SECOND);
    house.arrive("c", 40 * SECOND, SECOND);
    // `b` has been idle longer than `c`, but `a` can wake only where `c` is.
    house.arrive("a", 80 * SECOND, SECOND);
    house.run(100 * SECOND);
    assert_eq!((house.starts, house.wakes, house.all_queued()), (3, 1, 0));
    check("sleep_beds", &house);
}

#[test]
fn a_sleeping_worker_of_an_older_revision_of_a_paused_or_of_a_removed_deployment_ends() {
    let file = |command: &str| {
        config(&format!(
            "{ONE}\n[services.a.deployments.stable]
             process = {{ command = [\"{command}\"], gpus = 1 }}\nmax_concurrency = 1
             sleep = {{ engine = \"vllm\" }}
             scaling = {{ min = 0, max = 1, idle_timeout = \"5s\", down.stable_for = \"1s\" }}"
        ))
    };
    let mut house = House::new(&file("serve"), 10 * SECOND, true);
    house.arrive("a", SECOND, SECOND);
    house.run(40 * SECOND);
    assert_eq!(states(&house), ["a asleep"]);
    house.reload(&file("serve2"));
    house.run(10 * SECOND);
    assert_eq!(states(&house), [""; 0], "{}", house.told.join("\n"));
    house.arrive("a", SECOND, SECOND);
    house.run(40 * SECOND);
    assert_eq!(
        (states(&house), house.wakes),
        (vec!["a asleep".to_owned()], 0)
    );
    // By hand too.
    let request = WorkersRequest {
        service: "a".into(),
        deployment: None,
        ask: WorkersAsk::Drain(0),
        by: None,
        reason: None,
    };
    house.tell(Event::Asked(AskId(1), Ask::Workers(request)));
    house.run(10 * SECOND);
    assert_eq!(states(&house), [""; 0], "{}", house.told.join("\n"));
}

#[test]
fn what_a_worker_says_of_its_own_sleep_is_believed() {
    let mut house = house(ONE, &[("a", SLEEPS)]);
    house.arrive("a", SECOND, SECOND);
    house.run(20 * SECOND);
    let (id, number) = house.watched.clone().expect("it is asked");
    house.tell(Event::Sleeps(id.clone(), number + 1, true));
    assert_eq!(house.wakes, 0, "old news");
    house.tell(Event::Sleeps(id, number, true));
    // A request that comes meanwhile waits until it is awake.
    house.arrive("a", Duration::ZERO, SECOND);
    house.run(10 * SECOND);
    assert_eq!((house.starts, house.wakes, house.all_queued()), (1, 1, 0));
    assert!(house.waits()[1] >= SECOND, "{:?}", house.waits());
    check("sleep_by_itself", &house);
}

#[test]
fn of_an_earlier_run_those_that_slept_sleep_on_and_what_was_under_way_goes_on() {
    let service = |name: &str| {
        format!(
            "[services.{name}.deployments.stable]
             process = {{ command = [\"serve\"], gpus = 1 }}
             {SLEEPS}\n"
        )
    };
    let text = [
        ONE.to_owned(),
        "\n".into(),
        service("a"),
        service("b"),
        service("c"),
    ]
    .concat();
    let config = config(&text);
    let services = |name: &str| &config.services[name].deployments["stable"];
    let row = |id: &str, service: &str, sleep: SleepState| WorkerRow {
        id: id.to_owned(),
        service: service.to_owned(),
        deployment: "stable".to_owned(),
        slot: 0,
        revision: revision(services(service), &SecretKey::default()).to_string(),
        saved: "pid 7".to_owned(),
        sleep: SleepNote {
            state: sleep,
            recorded: None,
        }
        .to_text(),
    };
    let remembered = Remembered {
        workers: vec![
            row("a-1", "a", SleepState::Asleep),
            row("b-2", "b", SleepState::Waking),
            row("c-3", "c", SleepState::FallingAsleep),
        ],
        ..Remembered::default()
    };
    let (mut play, _) = Play::after(&config, remembered);
    for number in 1..=3 {
        let id = play.id(number);
        play.tell(Event::Holds(id.clone(), vec!["0".to_owned()]));
        play.tell(Event::Adopted(id, Some(([127, 0, 0, 1], 8000).into())));
    }
    play.tell(Event::Swept);
    let states = |play: &Play| {
        let services = play.core.status().services.into_iter();
        let workers = services
            .flat_map(|one| one.deployments)
            .flat_map(|one| one.workers);
        workers
            .map(|worker| worker.state.into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&play), ["asleep", "waking", "falling_asleep"]);
    let (waking, falling) = (play.id(2), play.id(3));
    play.tell(Event::Slept(falling, Ok(None)));
    play.tell(Event::Woke(waking.clone(), Ok(())));
    play.tell(Event::Probed(ProbeEvent::Ready(waking)));
    assert_eq!(states(&play), ["asleep", "ready", "asleep"]);
    let status = play.core.status();
    let held = status.gpus[0].devices[0].worker.clone();
    assert_eq!(held.as_deref(), Some("b/stable#0"));
}
