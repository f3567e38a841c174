//! What happens to a worker, step by step: nothing is left out of what the core says, and nothing else
//! is in it.

use std::{net::SocketAddr, time::Duration};

use super::play::{Play, chat, config};
use crate::{
    core::{
        Ask, Event, NotSaved, PauseAsk, PauseRequest, ProbeEvent, ProbeFailure, StartError,
        WorkerExit,
    },
    remembered::{DesiredRow, Remembered, StateFailure, WorkerRow},
};

const SECOND: Duration = Duration::from_secs(1);

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 8000).into()
}

/// A core whose only worker is ready.
fn ready(settings: &str) -> Play {
    let (mut play, _) = Play::swept(settings);
    let id = play.id(1);
    play.tell(Event::Started(id.clone(), Ok(address())));
    play.tell(Event::Probed(ProbeEvent::Ready(id)));
    play
}

fn pause(ask: PauseAsk) -> Ask {
    Ask::Pause(PauseRequest {
        service: "chat".to_owned(),
        deployment: None,
        ask,
        by: None,
        reason: None,
    })
}

#[test]
fn a_worker_is_started_probed_published_drained_stopped_and_gone() {
    let (mut play, first) = Play::new(&chat(""));
    assert_eq!(
        first,
        ["sweep all but 0", "save Revisions 1", "publish starting"],
        "earlier runs may hold its place"
    );
    assert_eq!(
        play.tell(Event::Swept),
        ["start 1 as #0", "publish starting"]
    );
    let id = play.id(1);
    assert_eq!(
        play.tell(Event::Started(id.clone(), Ok(address()))),
        ["probe 1"]
    );
    let told = play.tell(Event::Probed(ProbeEvent::Ready(id.clone())));
    assert_eq!(told, ["publish warm, #0"]);
    play.report();
    assert_eq!(
        play.ask(1, pause(PauseAsk::Pause(None))),
        ["save Pauses 2", "publish paused, #0 drains"],
        "who asked waits for the state file"
    );
    assert_eq!(play.tell(Event::Saved(2, Ok(()))), ["answer 1: done"]);
    let told = play.report();
    assert_eq!(
        told,
        ["stop probing 1", "stop 1", "publish paused, #0 drains"]
    );
    assert_eq!(play.tell(Event::Stopped(id)), ["publish paused"]);
    assert_eq!(play.wait(SECOND), [""; 0], "nothing is left to do");
}

#[test]
fn a_worker_that_is_not_wanted_any_more_is_called_off_and_stopped_if_it_exists_by_then() {
    for exists in [false, true] {
        let (mut play, _) = Play::swept("");
        let id = play.id(1);
        let told = play.ask(1, pause(PauseAsk::Pause(None)));
        assert_eq!(told, ["save Pauses 2", "call off 1", "publish paused"]);
        if exists {
            let told = play.tell(Event::Started(id.clone(), Ok(address())));
            assert_eq!(told, ["stop 1"]);
            assert_eq!(play.tell(Event::Stopped(id)), ["publish paused"]);
        } else {
            assert_eq!(play.tell(Event::CalledOff(id)), ["publish paused"]);
        }
        assert!(play.core.owners.is_empty());
    }
}

#[test]
fn a_worker_that_dies_is_replaced_whatever_it_was_doing() {
    let died = |play: &mut Play| {
        let id = play.id(1);
        let reason = "exit status 1".to_owned();
        play.tell(Event::Exited(WorkerExit { id, reason }))
    };
    // Long after it was ready.
    let mut play = ready("");
    play.wait(600 * SECOND);
    let told = died(&mut play);
    assert_eq!(told, ["forget 1", "start 2 as #0", "publish starting"]);
    // While it was being started: not at once, but soon.
    let (mut play, _) = Play::swept("");
    assert_eq!(died(&mut play), ["forget 1", "publish starting"]);
    assert_eq!(
        play.wait(60 * SECOND),
        ["start 2 as #0", "publish starting"]
    );
    // While it was being ended: whoever ends it says when nothing is left.
    let mut play = ready("");
    play.report();
    play.ask(1, pause(PauseAsk::Pause(None)));
    play.report();
    assert_eq!(died(&mut play), [""; 0]);
    let id = play.id(1);
    assert_eq!(play.tell(Event::Stopped(id)), ["publish paused"]);
}

#[test]
fn what_is_told_late_of_a_worker_that_is_gone_changes_nothing() {
    let mut play = ready("");
    let id = play.id(1);
    play.wait(600 * SECOND);
    let reason = "killed by SIGKILL".to_owned();
    let exit = WorkerExit {
        id: id.clone(),
        reason,
    };
    play.tell(Event::Exited(exit.clone()));
    for late in [
        Event::Exited(exit),
        Event::Started(id.clone(), Ok(address())),
        Event::Started(id.clone(), Err(StartError::Failed("no".to_owned()))),
        Event::Stopped(id.clone()),
        Event::CalledOff(id.clone()),
        Event::Probed(ProbeEvent::Ready(id.clone())),
        Event::Probed(ProbeEvent::LivenessFailed(id, "no".to_owned())),
        Event::Saved(7, Err(NotSaved::Busy)),
    ] {
        let name = format!("{late:?}");
        assert_eq!(play.tell(late), [""; 0], "{name}");
    }
}

#[test]
fn a_start_without_room_is_tried_again_when_something_ends() {
    let two = "[services.chat.deployments.stable]\nprocess = { command = [\"a\"] }
               [services.talk.deployments.stable]\nprocess = { command = [\"b\"] }";
    let (mut play, _) = Play::new(&config(two));
    play.tell(Event::Swept);
    let (chat, talk) = (play.id(1), play.id(2));
    play.tell(Event::Started(chat.clone(), Ok(address())));
    play.tell(Event::Probed(ProbeEvent::Ready(chat.clone())));
    let full = Err(StartError::NoRoom("no GPU free".to_owned()));
    assert_eq!(
        play.tell(Event::Started(talk, full)),
        ["publish warm, #0 starting"]
    );
    assert_eq!(play.wait(Duration::ZERO), [""; 0]);
    let exit = WorkerExit {
        id: chat,
        reason: "exit status 0".to_owned(),
    };
    let told = play.tell(Event::Exited(exit));
    assert_eq!(
        told,
        ["forget 1", "start 3 as #0", "publish starting starting"]
    );
}

#[test]
fn why_a_worker_did_not_become_ready_is_what_its_probe_said_last() {
    let (mut play, _) = Play::swept("start_timeout = \"10s\"");
    let id = play.id(1);
    play.tell(Event::Started(id.clone(), Ok(address())));
    let failure = ProbeFailure {
        text: "HTTP status 503".into(),
        wrong_port: false,
    };
    play.tell(Event::Probed(ProbeEvent::Says(id, Some(failure))));
    let told = play.wait(10 * SECOND);
    assert_eq!(told, ["stop probing 1", "stop 1", "publish failed"]);
    let status = play.core.service_status("chat").unwrap();
    let reason = status.deployments[0].phase_reason.clone().unwrap();
    assert!(
        reason.ends_with("not ready within start_timeout (10s): HTTP status 503"),
        "{reason}"
    );
}

#[test]
fn what_the_disk_does_not_take_is_given_again_and_said() {
    let mut play = ready("");
    let told = play.ask(1, pause(PauseAsk::Pause(None)));
    assert_eq!(told[0], "save Pauses 2");
    let told = play.tell(Event::Saved(2, Err(NotSaved::Busy)));
    assert_eq!(
        told,
        ["answer 1: NotWritten(\"the disk does not keep up\")"]
    );
    assert_eq!(play.wait(SECOND), ["save Pauses 3"]);
    assert_eq!(play.tell(Event::Saved(3, Ok(()))), [""; 0]);
    // What is in force already but could not be written is said to whoever asks for it again.
    play.tell(Event::StateFile(Some(StateFailure {
        reason: "disk full".into(),
        unwritten: 1,
    })));
    assert_eq!(play.ask(2, pause(PauseAsk::Show)), ["answer 2: done"]);
    let told = play.ask(3, pause(PauseAsk::Resume));
    assert!(told.contains(&"save Pauses 4".to_owned()), "{told:?}");
    let failed = Err(NotSaved::Failed("disk full".into()));
    let told = play.tell(Event::Saved(4, failed));
    assert_eq!(told, ["answer 3: NotWritten(\"disk full\")"]);
    let told = play.ask(4, pause(PauseAsk::Resume));
    assert_eq!(told, ["answer 4: NotWritten(\"disk full\")"]);
}

#[test]
fn the_next_run_takes_over_what_is_there_and_starts_what_is_not() {
    let row = |id: &str, slot, service: &str| WorkerRow {
        sleep: String::new(),
        id: id.to_owned(),
        service: service.to_owned(),
        deployment: "stable".to_owned(),
        slot,
        revision: "old".to_owned(),
        saved: "pid 7".to_owned(),
    };
    let remembered = Remembered {
        workers: vec![
            row("a-8", 0, "chat"),
            row("a-9", 1, "chat"),
            row("b-7", 0, "gone"),
        ],
        ..Remembered::default()
    };
    let settings = "scaling = { min = 2, max = 2 }";
    let (mut play, first) = Play::after(&chat(settings), remembered);
    let expected = [
        "adopt 8",
        "adopt 9",
        "forget 7",
        "sweep all but 2",
        "save Revisions 1",
        "publish starting",
    ];
    assert_eq!(first, expected);
    let (here, lost) = (play.id(8), play.id(9));
    assert_eq!(
        play.tell(Event::Adopted(here.clone(), Some(address()))),
        ["probe 8"]
    );
    assert_eq!(play.tell(Event::Adopted(lost, None)), ["publish starting"]);
    // Nothing is started while earlier runs may hold what it needs.
    assert_eq!(
        play.tell(Event::Swept),
        ["start 1 as #1", "start 2 as #2", "publish starting"]
    );
    // What is there runs something else: it serves until its successors are ready.
    let told = play.tell(Event::Probed(ProbeEvent::Ready(here)));
    assert_eq!(told[0], "publish warm, #0");
}

#[test]
fn the_next_run_desires_what_was_desired_and_not_the_worker_that_an_update_added() {
    let row = |number: u32| WorkerRow {
        sleep: String::new(),
        id: format!("a-{number}"),
        service: "chat".to_owned(),
        deployment: "stable".to_owned(),
        slot: number,
        revision: if number == 9 { "new" } else { "old" }.to_owned(),
        saved: "pid 7".to_owned(),
    };
    let desired = |at_ms, desired| DesiredRow {
        at_ms,
        service: "chat".to_owned(),
        deployment: "stable".to_owned(),
        desired,
    };
    for (known, expected) in [
        (vec![desired(1, 4), desired(2, 2)], 2),
        (vec![desired(1, 9)], 5),
        (Vec::new(), 3),
    ] {
        let remembered = Remembered {
            workers: vec![row(7), row(8), row(9)],
            desired: known,
            ..Remembered::default()
        };
        let (play, _) = Play::after(&chat("scaling = { min = 1, max = 5 }"), remembered);
        let status = play.core.service_status("chat").unwrap();
        assert_eq!(status.deployments[0].desired, expected);
    }
}

#[test]
fn a_shutdown_ends_when_every_worker_is_gone() {
    let mut play = ready("");
    let told = play.tell(Event::Shutdown);
    assert_eq!(told, ["publish cold, #0 drains"]);
    let told = play.wait(Duration::ZERO);
    assert_eq!(
        told,
        ["stop probing 1", "stop 1", "publish cold, #0 drains"]
    );
    let id = play.id(1);
    assert_eq!(play.tell(Event::Stopped(id)), ["publish cold", "ended"]);
}
