//! What happens to single workers with GPUs, step by step.

use std::net::SocketAddr;

use super::super::play::{Play, config};
use crate::{
    core::{Ask, Effect, Event, ProbeEvent, StartError, WorkerExit},
    remembered::{Remembered, WorkerRow},
    revisions::{Origin, Via},
};

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 8000).into()
}

/// A service whose workers need a GPU each, of which there is one.
fn one_gpu(source: &str) -> Play {
    let text = format!(
        "[gpus]\ndevices = [\"0\"]\n[services.chat.deployments.stable]\n{source}\nscaling = {{ min = 1, max = 1 }}"
    );
    Play::new(&config(&text)).0
}

#[test]
fn the_image_is_brought_before_a_gpu_is_taken() {
    let mut play = one_gpu("container = { image = \"serve\", gpus = 1 }");
    let told = play.tell(Event::Swept);
    assert_eq!(told, ["prepare 1 as #0", "publish starting"]);
    let free = |play: &Play| play.core.status().gpus[0].devices[0].worker.is_none();
    assert!(free(&play), "a pull takes long, and others may use it");
    let told = play.tell(Event::Prepared(play.id(1), Ok(())));
    assert_eq!(told, ["start 2 as #0", "publish starting"]);
    assert!(!free(&play));
    // When the worker is gone the image is there still.
    play.tell(Event::Started(play.id(2), Ok(address())));
    let reason = "exit status 1".to_owned();
    let id = play.id(2);
    let told = play.tell(Event::Exited(WorkerExit {
        id: id.clone(),
        reason,
    }));
    assert_eq!(told[0], "stop 2");
    play.tell(Event::Stopped(id));
    let told = play.wait(std::time::Duration::from_secs(60));
    assert_eq!(told[0], "start 3 as #0");
}

#[test]
fn an_image_that_cannot_be_brought_is_a_start_that_failed() {
    let mut play = one_gpu("container = { image = \"serve\", gpus = 1 }");
    play.tell(Event::Swept);
    let error = StartError::Failed("no such image".to_owned());
    let told = play.tell(Event::Prepared(play.id(1), Err(error)));
    assert_eq!(told, ["publish failed"]);
    let status = play.core.service_status("chat").unwrap();
    let reason = status.deployments[0].phase_reason.clone().unwrap();
    assert!(reason.ends_with("no such image"), "{reason}");
}

#[test]
fn what_a_worker_had_that_died_is_free_when_nothing_of_it_is_left() {
    let mut play = one_gpu("process = { command = [\"serve\"], gpus = 1 }");
    assert_eq!(
        play.tell(Event::Swept),
        ["start 1 as #0", "publish starting"]
    );
    let id = play.id(1);
    play.tell(Event::Started(id.clone(), Ok(address())));
    play.tell(Event::Probed(ProbeEvent::Ready(id.clone())));
    play.wait(std::time::Duration::from_secs(60));
    let reason = "killed by SIGKILL".to_owned();
    let told = play.tell(Event::Exited(WorkerExit {
        id: id.clone(),
        reason,
    }));
    // Its end is seen to, and its successor waits for that.
    assert_eq!(told[0], "stop 1");
    assert_eq!(play.core.status().gpus[0].devices[0].state, "gone");
    play.wait(std::time::Duration::from_secs(60));
    let told = play.tell(Event::Stopped(id));
    assert_eq!(told[0], "start 2 as #0");
}

#[test]
fn a_worker_of_an_earlier_run_keeps_what_it_has() {
    let row = WorkerRow {
        sleep: String::new(),
        id: "a-8".to_owned(),
        service: "chat".to_owned(),
        deployment: "stable".to_owned(),
        slot: 0,
        revision: "old".to_owned(),
        saved: "pid 7".to_owned(),
    };
    let text = "[gpus]\ndevices = [\"0\"]
                [services.chat.deployments.stable]\nprocess = { command = [\"a\"], gpus = 1 }
                [services.talk.deployments.stable]\nprocess = { command = [\"b\"], gpus = 1 }";
    let remembered = Remembered {
        workers: vec![row],
        ..Remembered::default()
    };
    let (mut play, _) = Play::after(&config(text), remembered);
    let id = play.id(8);
    play.tell(Event::Holds(id.clone(), vec!["0".to_owned()]));
    play.tell(Event::Adopted(id, Some(address())));
    let told = play.tell(Event::Swept);
    assert!(
        !told.iter().any(|what| what.starts_with("start")),
        "{told:?}"
    );
    let status = play.core.status();
    assert_eq!(
        status.gpus[0].devices[0].worker.as_deref(),
        Some("chat/stable#0")
    );
    let talk = &status.services[1].deployments[0];
    let why = talk.no_room.clone().unwrap();
    assert!(why.contains("0 used by chat/stable#0"), "{why}");
}

#[test]
fn a_gpu_that_leaves_the_file_and_comes_back_is_given_to_nobody_while_a_worker_has_it() {
    let file = |devices: &str, b: u32| {
        config(&format!(
            "[gpus]\ndevices = {devices}
             [services.a.deployments.stable]\nprocess = {{ command = [\"a\"], gpus = 1 }}
             scaling = {{ min = 1, max = 1 }}
             [services.b.deployments.stable]\nprocess = {{ command = [\"b\"], gpus = 1 }}
             scaling = {{ min = {b}, max = 2 }}"
        ))
    };
    let (mut play, _) = Play::new(&file("[\"0\", \"1\"]", 1));
    let told = play.tell(Event::Swept);
    assert_eq!(told[..2], ["start 1 as #0", "start 2 as #0"]);
    for number in [1, 2] {
        let id = play.id(number);
        play.tell(Event::Started(id.clone(), Ok(address())));
        play.tell(Event::Probed(ProbeEvent::Ready(id)));
    }
    let apply = |config| Ask::Apply(config, Origin::of(Via::File));
    play.ask(1, apply(file("[\"0\"]", 1)));
    play.ask(2, apply(file("[\"0\", \"1\"]", 2)));
    let told = play.wait(std::time::Duration::from_secs(60));
    assert!(
        !told.iter().any(|what| what.starts_with("start")),
        "{told:?}"
    );
    let status = play.core.status();
    let worker = |device: usize| status.gpus[0].devices[device].worker.as_deref();
    assert_eq!(
        (worker(0), worker(1)),
        (Some("a/stable#0"), Some("b/stable#0"))
    );
}

/// A service whose worker of this many GPUs is ready, and has ended after the update to one with others
/// has stopped. The GPUs of its successor.
fn after_a_stopped_update(before: u32, after: u32) -> (Play, Option<usize>) {
    let file = |program: &str, gpus: u32| {
        config(&format!(
            "[gpus]\ndevices = [\"0\", \"1\"]
             [services.chat.deployments.stable]
             process = {{ command = [\"{program}\"], gpus = {gpus} }}
             scaling = {{ min = 1, max = 1 }}\nupdate = \"recreate\""
        ))
    };
    let (mut play, _) = Play::new(&file("one", before));
    play.tell(Event::Swept);
    let first = play.id(1);
    play.tell(Event::Started(first.clone(), Ok(address())));
    play.tell(Event::Probed(ProbeEvent::Ready(first.clone())));
    play.report();
    let ask = Ask::Apply(file("two", after), Origin::of(Via::File));
    play.ask(1, ask);
    play.report();
    let told = play.tell(Event::Stopped(first));
    assert_eq!(told[0], "start 2 as #0");
    let error = StartError::Failed("no such program".to_owned());
    let mut effects = play.tell_in_full(Event::Started(play.id(2), Err(error)));
    play.pass(std::time::Duration::from_secs(60));
    effects.extend(play.core.handle(Event::Turn, play.now));
    let given = effects.iter().find_map(|effect| match effect {
        Effect::Start { worker, .. } => Some(worker.gpus.as_ref().map_or(0, |gpus| gpus.len())),
        _ => None,
    });
    (play, given)
}

#[test]
fn what_serves_on_after_a_stopped_update_gets_the_gpus_that_it_asked_for() {
    for (before, after) in [(1, 2), (2, 1), (1, 0), (0, 1)] {
        let (play, given) = after_a_stopped_update(before, after);
        assert_eq!(given, Some(before as usize), "{before} → {after}");
        let status = play.core.status();
        let devices = status.gpus[0].devices.iter();
        let used = devices.filter(|device| device.worker.is_some()).count();
        assert_eq!(used, before as usize, "{before} → {after}");
    }
}

#[test]
fn a_container_that_serves_on_is_started_at_once_for_its_image_is_there() {
    let container = |image: &str, gpus: u32| {
        config(&format!(
            "[gpus]\ndevices = [\"0\"]
             [services.chat.deployments.stable]
             container = {{ image = \"{image}\", gpus = {gpus} }}
             scaling = {{ min = 1, max = 1 }}\nupdate = \"recreate\""
        ))
    };
    let (mut play, _) = Play::new(&container("one", 1));
    play.tell(Event::Swept);
    play.tell(Event::Prepared(play.id(1), Ok(())));
    let first = play.id(2);
    play.tell(Event::Started(first.clone(), Ok(address())));
    play.tell(Event::Probed(ProbeEvent::Ready(first.clone())));
    play.report();
    play.ask(1, Ask::Apply(container("two", 0), Origin::of(Via::File)));
    play.report();
    play.tell(Event::Stopped(first));
    let error = StartError::Failed("no such image".to_owned());
    let told = play.tell(Event::Started(play.id(3), Err(error)));
    assert!(told.contains(&"start 4 as #0".to_owned()), "{told:?}");
    assert_eq!(
        play.core.status().gpus[0].devices[0].worker.as_deref(),
        Some("chat/stable#0")
    );
}
