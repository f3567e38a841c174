use std::path::Path;

use super::*;

fn chat(deployments: &[&str]) -> Service {
    let mut text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for name in deployments {
        text += &format!(
            "[services.chat.deployments.{name}]\nstatic = {{ addresses = [\"127.0.0.1:1\"] }}\n"
        );
    }
    let config = penstock_config::parse(&text, Path::new("/penstock.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    Service::clone(&config.services["chat"])
}

fn change(at_ms: u64, reason: &str) -> Change {
    Change {
        at_ms,
        by: Some("ann".to_owned()),
        reason: Some(reason.to_owned()),
    }
}

/// With the service and its deployment `a` paused until these times.
fn paused(service: &Service, whole: Option<u64>, a: Option<u64>) -> Pauses {
    let mut pauses = Pauses::default();
    for (of, until, reason) in [(None, whole, "whole"), (Some("a"), a, "own")] {
        let replaced = pauses.pause(service, of, until, change(1, reason));
        assert_eq!(replaced, Ok(None));
    }
    pauses
}

fn reason(pauses: &Pauses, deployment: &str) -> Option<String> {
    let pause = pauses.of(deployment)?;
    Some(pause.reason().to_owned())
}

#[test]
fn a_pause_of_the_service_holds_for_every_deployment_also_for_one_that_comes_later() {
    let service = chat(&["a", "b"]);
    let mut pauses = Pauses::default();
    let replaced = pauses.pause(&service, None, None, change(5, "new GPUs"));
    assert_eq!(replaced, Ok(None));
    for name in ["a", "b", "later"] {
        assert_eq!(reason(&pauses, name).as_deref(), Some("new GPUs"));
    }
    assert_eq!(pauses.own(Some("a")), None);
}

#[test]
fn pausing_again_replaces_reason_and_end_and_not_the_beginning() {
    let service = chat(&["a"]);
    let mut pauses = Pauses::default();
    let mut pause = |until, change| pauses.pause(&service, Some("a"), until, change);
    assert_eq!(pause(Some(50), change(5, "first")), Ok(None));
    let replaced = pause(None, change(9, "second")).expect("there is an a");
    assert_eq!(replaced.map(|pause| pause.until_ms), Some(Some(50)));
    let now = pauses.of("a").expect("it is paused");
    assert_eq!((now.since_ms, now.until_ms), (5, None));
    assert_eq!(now.about(), " by ann: second");
}

#[test]
fn of_two_pauses_the_one_that_lasts_longer_is_told_and_each_ends_by_itself() {
    let service = chat(&["a", "b"]);
    let told = |whole, a| reason(&paused(&service, whole, a), "a").expect("it is paused");
    assert_eq!(told(Some(50), Some(60)), "own");
    assert_eq!(told(Some(50), None), "own");
    assert_eq!(told(Some(60), Some(50)), "whole");
    assert_eq!(told(None, None), "whole");

    let mut pauses = paused(&service, Some(50), Some(60));
    assert_eq!(pauses.next_end_ms(), Some(50));
    assert_eq!(pauses.take_ended(49), []);
    let ended = pauses.take_ended(50);
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0].0, ended[0].1.reason()), (&None, "whole"));
    assert_eq!(reason(&pauses, "b"), None);
    assert_eq!(reason(&pauses, "a").as_deref(), Some("own"));
    assert_eq!(pauses.take_ended(99)[0].0.as_deref(), Some("a"));
    assert!(pauses.is_empty() && pauses.next_end_ms().is_none());
}

#[test]
fn what_is_resumed_is_the_service_or_the_deployment_and_not_both() {
    let service = chat(&["a"]);
    let mut pauses = paused(&service, None, None);
    let own = pauses.resume(&service, Some("a")).expect("there is an a");
    assert_eq!(own.expect("it was paused").reason(), "own");
    assert_eq!(reason(&pauses, "a").as_deref(), Some("whole"));
    assert_eq!(pauses.resume(&service, Some("a")), Ok(None));
    assert!(pauses.resume(&service, None).expect("good").is_some());
    assert!(pauses.is_empty());
}

#[test]
fn a_deployment_that_is_not_there_is_named_with_those_that_are() {
    let service = chat(&["a", "b"]);
    let mut pauses = Pauses::default();
    let words = "chat has no deployment c; there are: a, b";
    let error = pauses.pause(&service, Some("c"), None, change(1, "x"));
    assert_eq!(error.expect_err("no c").to_string(), words);
    let error = pauses.resume(&service, Some("c"));
    assert_eq!(error.expect_err("no c").to_string(), words);
    assert!(pauses.is_empty());
}

#[test]
fn a_deployment_that_is_removed_takes_its_pause_along_and_the_service_keeps_its_own() {
    let service = chat(&["a", "b"]);
    let mut pauses = paused(&service, None, None);
    assert_eq!(pauses.follow(&service), Vec::<String>::new());
    assert_eq!(pauses.follow(&chat(&["b"])), ["a"]);
    assert_eq!(reason(&pauses, "b").as_deref(), Some("whole"));
    assert_eq!(pauses.own(Some("a")), None);
}

#[test]
fn what_is_remembered_can_be_read_again() {
    let service = chat(&["a"]);
    let pauses = paused(&service, Some(7), None);
    let text = serde_json::to_string(&pauses).expect("it is JSON");
    let read: Pauses = serde_json::from_str(&text).expect("it is a pause");
    assert_eq!(read, pauses);
}

#[test]
fn a_pause_says_until_when_by_whom_and_why_as_far_as_it_is_known() {
    let mut pause = Pause {
        since_ms: 0,
        until_ms: Some(1_700_000_000_000),
        change: change(0, "new GPUs"),
    };
    assert_eq!(
        pause.about(),
        " until 2023-11-14T22:13:20Z by ann: new GPUs"
    );
    pause.change = Change::default();
    pause.until_ms = None;
    assert_eq!(
        (&*pause.about(), pause.reason()),
        ("", "paused by the operator")
    );
}
