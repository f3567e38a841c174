//! What operators do with workers, and what comes of an update, step by step.

use std::{net::SocketAddr, time::Duration};

use super::play::{Play, config};
use crate::{
    core::{Ask, Event, ProbeEvent, StartError, WorkerExit, WorkersAsk, WorkersRequest},
    revisions::{Origin, Via},
};

const SECOND: Duration = Duration::from_secs(1);

fn file(command: &str, settings: &str) -> String {
    format!(
        "[services.chat.deployments.stable]\nprocess = {{ command = [\"{command}\"] }}\n{settings}"
    )
}

fn apply(command: &str) -> Ask {
    Ask::Apply(config(&file(command, "")), Origin::of(Via::File))
}

fn by_hand(ask: WorkersAsk) -> Ask {
    Ask::Workers(WorkersRequest {
        service: "chat".to_owned(),
        deployment: None,
        ask,
        by: Some("ann".to_owned()),
        reason: None,
    })
}

/// A core whose only worker is ready.
fn ready(settings: &str) -> Play {
    let (mut play, _) = Play::new(&config(&file("one", settings)));
    play.tell(Event::Swept);
    become_ready(&mut play, 1);
    play.report();
    play
}

/// The file with this command, where no worker is kept without requests.
fn apply_for_none(command: &str, settings: &str) -> Ask {
    let scaling = "scaling = { min = 0, max = 1, idle_timeout = \"10s\" }";
    let text = file(command, &format!("{scaling}\n{settings}"));
    Ask::Apply(config(&text), Origin::of(Via::File))
}

/// A core whose only worker is ready and will go, because nobody asks for it.
fn ready_for_none(settings: &str) -> Play {
    let mut play = ready(settings);
    play.ask(0, apply_for_none("one", settings));
    play
}

/// Lets a minute pass without requests.
fn idle(play: &mut Play) {
    for _ in 0..60 {
        play.report();
        play.wait(SECOND);
    }
}

fn become_ready(play: &mut Play, number: u64) -> Vec<String> {
    let address: SocketAddr = ([127, 0, 0, 1], 8000).into();
    let id = play.id(number);
    play.tell(Event::Started(id.clone(), Ok(address)));
    play.tell(Event::Probed(ProbeEvent::Ready(id)))
}

fn stopped(play: &mut Play, number: u64) -> Vec<String> {
    let id = play.id(number);
    play.tell(Event::Stopped(id))
}

/// What the status says of the update and of the revision in force.
fn update(play: &Play) -> (Option<u64>, Option<String>) {
    let status = play.core.service_status("chat").unwrap();
    let found = &status.deployments[0];
    let words = found.update.as_ref().map(|update| update.words.clone());
    (found.revision, words)
}

#[test]
fn an_update_starts_a_worker_beside_the_old_one_and_lets_that_go_when_it_is_ready() {
    let mut play = ready("");
    assert_eq!(
        play.ask(1, apply("two")),
        [
            "save Revisions 2",
            "start 2 as #1",
            "publish warm, #0",
            "answer 1: applied"
        ],
        "what it is comes into the state file before it runs"
    );
    assert_eq!(become_ready(&mut play, 2), ["publish warm, #0 drains, #1"]);
    assert_eq!(
        play.report(),
        ["stop probing 1", "stop 1", "publish warm, #0 drains, #1"]
    );
    assert_eq!(stopped(&mut play, 1), ["publish warm, #1"]);
    assert!(update(&play).1.is_some(), "it has still to prove good");
    assert_eq!(play.wait(10 * SECOND), ["save Revisions 3"]);
    assert_eq!(update(&play), (Some(2), None));
}

#[test]
fn an_update_that_fails_stops_and_goes_on_when_it_is_asked_to() {
    let mut play = ready("");
    play.ask(1, apply("two"));
    let failed = Err(StartError::Failed("no such program".to_owned()));
    let id = play.id(2);
    assert_eq!(
        play.tell(Event::Started(id, failed)),
        ["save Revisions 3", "publish warm, #0"]
    );
    let (revision, words) = update(&play);
    assert_eq!(revision, Some(2));
    assert_eq!(
        words.unwrap(),
        "the update to revision 2 has stopped: no such program; revision 1 serves on (penstock switch \
         chat/stable 2 tries it again, penstock switch chat/stable 1 gives it up)"
    );
    assert_eq!(
        play.wait(600 * SECOND),
        [""; 0],
        "nothing is tried by itself"
    );
    let told = play.ask(2, by_hand(WorkersAsk::Switch(Some(2))));
    assert_eq!(
        told,
        ["save Revisions 4", "start 3 as #1", "publish warm, #0"]
    );
    assert_eq!(play.tell(Event::Saved(4, Ok(()))), ["answer 2: done"]);
    let told = play.ask(3, by_hand(WorkersAsk::Switch(Some(1))));
    assert_eq!(told, ["save Revisions 5", "call off 3", "publish warm, #0"]);
}

#[test]
fn a_count_by_hand_stands_above_the_rules_until_it_is_given_back() {
    let mut play = ready("scaling = { min = 1, max = 3 }");
    let told = play.ask(1, by_hand(WorkersAsk::Scale(Some(2))));
    assert_eq!(
        told,
        ["save Revisions 2", "start 2 as #1", "publish warm, #0"]
    );
    assert_eq!(play.tell(Event::Saved(2, Ok(()))), ["answer 1: done"]);
    become_ready(&mut play, 2);
    let told = play.ask(2, by_hand(WorkersAsk::Scale(None)));
    assert_eq!(told, ["save Revisions 3"], "the rules are patient");
    assert_eq!(play.tell(Event::Saved(3, Ok(()))), ["answer 2: done"]);
}

#[test]
fn a_worker_drained_by_hand_is_replaced_at_once_and_not_taken_back() {
    let mut play = ready("");
    let told = play.ask(1, by_hand(WorkersAsk::Drain(0)));
    assert_eq!(
        told,
        [
            "save Revisions 2",
            "start 2 as #1",
            "publish starting, #0 drains"
        ]
    );
    assert_eq!(play.tell(Event::Saved(2, Ok(()))), ["answer 1: done"]);
    assert_eq!(
        play.report(),
        ["stop probing 1", "stop 1", "publish starting, #0 drains"]
    );
}

#[test]
fn a_restart_is_an_update_to_the_same_revision() {
    let mut play = ready("");
    let told = play.ask(1, by_hand(WorkersAsk::Restart));
    assert_eq!(
        told,
        ["save Revisions 2", "start 2 as #1", "publish warm, #0"]
    );
    let (revision, words) = update(&play);
    assert_eq!(revision, Some(1));
    assert_eq!(
        words.unwrap(),
        "the restart of revision 1 is under way: 0 of 1 workers are new and ready, 1 old ones are left"
    );
    assert_eq!(become_ready(&mut play, 2), ["publish warm, #0 drains, #1"]);
}

#[test]
fn an_update_whose_workers_only_crashed_is_not_finished_when_none_is_wanted_any_more() {
    let mut play = ready_for_none("update = \"recreate\"");
    // A count by hand is a request that is always there.
    play.ask(1, by_hand(WorkersAsk::Scale(Some(1))));
    play.ask(2, apply_for_none("two", "update = \"recreate\""));
    play.report();
    let told = stopped(&mut play, 1);
    assert!(told.contains(&"start 2 as #0".to_owned()), "{told:?}");
    let (id, reason) = (play.id(2), "exit status 1".to_owned());
    play.tell(Event::Exited(WorkerExit { id, reason }));
    play.ask(3, by_hand(WorkersAsk::Scale(None)));
    idle(&mut play);
    let (revision, words) = update(&play);
    let status = play.core.service_status("chat").unwrap();
    assert_eq!((revision, status.deployments[0].desired), (Some(2), 0));
    assert!(words.unwrap().contains("is under way"));
}

#[test]
fn an_update_while_no_worker_runs_goes_back_to_the_revision_that_has_been_ready() {
    let mut play = ready_for_none("");
    idle(&mut play);
    stopped(&mut play, 1);
    assert!(play.core.owners.is_empty());
    for (command, number) in [("two", 2), ("three", 3)] {
        play.ask(number, apply_for_none(command, ""));
        idle(&mut play);
        let (revision, words) = update(&play);
        assert_eq!(revision, Some(number));
        assert_eq!(
            words.unwrap(),
            format!(
                "the update to revision {number} is under way: no worker is wanted now, and it ends when a new one has been ready"
            )
        );
    }
    let told = play.ask(4, by_hand(WorkersAsk::Scale(Some(1))));
    assert!(told.contains(&"start 2 as #0".to_owned()), "{told:?}");
    let error = StartError::Failed("no such program".to_owned());
    let told = play.tell(Event::Started(play.id(2), Err(error)));
    assert!(told.contains(&"start 3 as #0".to_owned()), "{told:?}");
    let words = update(&play).1.unwrap();
    assert!(
        words.contains("no such program; revision 1 serves on"),
        "{words}"
    );
    // Back at what is known to work there is nothing to prove.
    play.ask(5, by_hand(WorkersAsk::Switch(Some(1))));
    assert_eq!(update(&play), (Some(1), None));
}

#[test]
fn the_first_revision_that_ever_was_is_no_update_before_it_has_been_ready() {
    let (mut play, _) = Play::new(&config(&file("one", "")));
    play.tell(Event::Swept);
    let error = StartError::Failed("no such program".to_owned());
    play.tell(Event::Started(play.id(1), Err(error)));
    play.ask(1, apply("two"));
    assert_eq!(update(&play), (Some(2), None), "nothing is known to work");
}
