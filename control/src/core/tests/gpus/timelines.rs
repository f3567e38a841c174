//! What is done, step by step. After a wanted change run with `UPDATE_GOLDEN=1` and read the difference.

use std::{env, fs, path::Path, time::Duration};

use super::{super::play::config, house::House};
use crate::core::{Ask, AskId, Event, WorkersAsk, WorkersRequest};

const SECOND: Duration = Duration::from_secs(1);

/// Services whose deployments have one worker at most, with further settings, and these devices.
fn house(gpus: &str, services: &[(&str, &str)]) -> House {
    let services = services.iter().map(|(name, settings)| {
        format!(
            "[services.{name}.deployments.stable]
             process = {{ command = [\"serve\"], gpus = 1 }}
             max_concurrency = 1
             {settings}\n"
        )
    });
    let text = format!("{gpus}\n{}", services.collect::<String>());
    House::new(&config(&text), 10 * SECOND, true)
}

const ON_DEMAND: &str = "scaling = { min = 0, max = 1, idle_timeout = \"1h\" }";

fn check(name: &str, house: &House) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/core/tests/gpus")
        .join(format!("{name}.timeline"));
    let told: String = house.told.iter().map(|line| format!("{line}\n")).collect();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        told == expected,
        "{name}, expected:\n{expected}\ngot:\n{told}"
    );
}

#[test]
fn an_idle_worker_makes_room_for_a_request_elsewhere() {
    let mut house = house(
        "[gpus]\ndevices = [\"0\"]",
        &[("a", ON_DEMAND), ("b", ON_DEMAND)],
    );
    house.arrive("a", SECOND, 5 * SECOND);
    house.arrive("b", 40 * SECOND, 5 * SECOND);
    house.run(60 * SECOND);
    assert_eq!((house.all_queued(), house.loaded().len()), (0, 1));
    check("idle", &house);
}

#[test]
fn what_min_keeps_stays_and_who_waits_is_told_why() {
    let kept = "scaling = { min = 1, max = 1 }";
    let mut house = house(
        "[gpus]\ndevices = [\"0\"]",
        &[("a", kept), ("b", ON_DEMAND)],
    );
    house.arrive("b", 30 * SECOND, 5 * SECOND);
    house.run(60 * SECOND);
    assert_eq!(house.queued("b"), 1);
    check("kept", &house);
}

#[test]
fn of_idle_workers_the_one_with_the_least_priority_makes_room() {
    let low = format!("priority = -1\n{ON_DEMAND}");
    let services = [("a", ON_DEMAND), ("b", &low), ("c", ON_DEMAND)];
    let mut house = house("[gpus]\ndevices = [\"0\", \"1\"]", &services);
    house.arrive("a", SECOND, SECOND);
    house.arrive("b", 20 * SECOND, SECOND);
    house.arrive("c", 60 * SECOND, SECOND);
    house.run(80 * SECOND);
    assert_eq!(house.loaded().into_iter().collect::<Vec<_>>(), ["a", "c"]);
    check("priority", &house);
}

#[test]
fn a_busy_model_gives_way_when_a_request_has_waited_for_too_long_and_has_its_turn_again() {
    let mut house = house(
        "[gpus]\ndevices = [\"0\"]\ngive_way_after = \"60s\"",
        &[("a", ON_DEMAND), ("b", ON_DEMAND)],
    );
    // One after the other, without a pause.
    for number in 0..60 {
        house.arrive("a", SECOND + number * 3 * SECOND, 3 * SECOND);
    }
    house.arrive("b", 30 * SECOND, 5 * SECOND);
    house.run(300 * SECOND);
    assert_eq!(house.all_queued(), 0);
    check("turn", &house);
}

#[test]
fn a_worker_takes_of_the_best_group_and_then_of_the_next_and_leaves_what_is_reserved() {
    let groups =
        "[gpus.groups.fast]\ndevices = [\"0\"]\n[gpus.groups.slow]\ndevices = [\"1\", \"2\"]
                  [gpus.groups.own]\ndevices = [\"3\"]\nreserved_for = [\"c\"]";
    let choice = "[services.b.deployments.stable]
                  process = { command = [\"serve\"], gpus = { groups = [\"fast\", \"slow\"] } }
                  scaling = { min = 2, max = 2 }
                  [services.c.deployments.stable]
                  process = { command = [\"serve\"], gpus = 1 }
                  scaling = { min = 1, max = 1 }";
    let config = config(&format!("{groups}\n{choice}"));
    let mut house = House::new(&config, 10 * SECOND, true);
    house.run(20 * SECOND);
    check("groups", &house);
}

#[test]
fn what_advice_or_a_hand_keeps_makes_no_room_and_nothing_goes_round_in_circles() {
    let advises = "scaling = { min = 0, max = 1, mode = \"advise\" }";
    for (settings, scales) in [(advises, false), (ON_DEMAND, true)] {
        let mut house = house(
            "[gpus]\ndevices = [\"0\"]",
            &[("a", settings), ("b", ON_DEMAND)],
        );
        if scales {
            house.tell(Event::Asked(AskId(1), scale_to_one("a")));
        }
        house.arrive("b", 30 * SECOND, SECOND);
        house.run(60 * SECOND);
        assert_eq!((house.queued("b"), house.starts), (1, 1), "{settings}");
        assert!(house.loaded().contains("a"), "{settings}");
        assert!(house.told.len() < 40, "{:#?}", house.told);
    }
}

fn scale_to_one(service: &str) -> Ask {
    Ask::Workers(WorkersRequest {
        service: service.to_owned(),
        deployment: None,
        ask: WorkersAsk::Scale(Some(1)),
        by: None,
        reason: None,
    })
}

#[test]
fn by_hand_a_worker_is_wanted_as_much_as_by_min() {
    let mut house = house(
        "[gpus]\ndevices = [\"0\"]",
        &[("a", ON_DEMAND), ("b", ON_DEMAND)],
    );
    house.arrive("b", SECOND, SECOND);
    house.run(30 * SECOND);
    house.tell(Event::Asked(AskId(1), scale_to_one("a")));
    house.run(30 * SECOND);
    assert_eq!(house.loaded().into_iter().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn an_update_for_which_others_keep_all_gpus_leaves_the_old_worker_serving() {
    let file = |group: &str| {
        let worker = |name: &str, group: &str| {
            format!(
                "[services.{name}.deployments.stable]
                 process = {{ command = [\"serve\"], gpus = {{ count = 1, groups = [\"{group}\"] }} }}
                 scaling = {{ min = 1, max = 1 }}\n"
            )
        };
        config(&format!(
            "[gpus.groups.one]\ndevices = [\"0\"]\n[gpus.groups.two]\ndevices = [\"1\"]\n{}{}",
            worker("a", group),
            worker("b", "two")
        ))
    };
    let mut house = House::new(&file("one"), 10 * SECOND, true);
    house.run(30 * SECOND);
    house.reload(&file("two"));
    house.run(60 * SECOND);
    assert_eq!(house.starts, 2);
    assert_eq!(house.loaded().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    house.arrive("a", SECOND, SECOND);
    house.run(10 * SECOND);
    assert_eq!(house.all_queued(), 0, "the old worker serves on");
}

#[test]
fn what_is_promised_is_given_to_others_when_its_group_is_not_wanted_any_more() {
    let file = |group: &str| {
        let service = |name: &str, group: &str, min: u32| {
            format!(
                "[services.{name}.deployments.stable]
                 process = {{ command = [\"serve\"], gpus = {{ groups = [\"{group}\"] }} }}
                 max_concurrency = 1
                 scaling = {{ min = {min}, max = 1, idle_timeout = \"1h\" }}\n"
            )
        };
        config(&format!(
            "[gpus]\ngive_way_after = \"5s\"\n[gpus.groups.g1]\ndevices = [\"0\"]
             [gpus.groups.g2]\ndevices = [\"1\"]\n{}{}{}",
            service("a", group, 0),
            service("b", "g1", 0),
            service("c", "g2", 1)
        ))
    };
    let mut house = House::new(&file("g1"), 10 * SECOND, false);
    // `b` is to give way when it has done what it does.
    house.arrive("b", SECOND, 60 * SECOND);
    house.arrive("a", 30 * SECOND, SECOND);
    house.arrive("b", 50 * SECOND, SECOND);
    house.run(45 * SECOND);
    house.reload(&file("g2"));
    house.run(75 * SECOND);
    assert_eq!((house.queued("b"), house.queued("a")), (0, 1));
}

/// `a` is updated while `b` waits for a GPU that one worker of `a` may not have been idle for.
fn updated(update: &str) -> House {
    let busy = format!("scaling = {{ min = 1, max = 1 }}\nupdate = {update}\npriority = -5");
    let other = "scaling = { min = 0, max = 1 }\npriority = 5";
    let mut house = house("[gpus]\ndevices = [\"0\"]", &[("a", &busy), ("b", other)]);
    // One that takes long, so that the old worker drains for a while.
    house.arrive("a", 20 * SECOND, 20 * SECOND);
    house.arrive("b", 25 * SECOND, 5 * SECOND);
    house.run(30 * SECOND);
    let other = other.to_owned();
    let text = |command: &str, settings: &str, name: &str| {
        format!(
            "[services.{name}.deployments.stable]
             process = {{ command = [\"{command}\"], gpus = 1 }}
             max_concurrency = 1
             {settings}\n"
        )
    };
    let services = [text("newer", &busy, "a"), text("serve", &other, "b")].concat();
    house.reload(&config(&format!("[gpus]\ndevices = [\"0\"]\n{services}")));
    house.run(60 * SECOND);
    house
}

#[test]
fn an_update_that_ends_old_workers_first_keeps_their_gpus_for_the_new_ones() {
    for (name, update) in [
        ("replaced", "{ max_surge = 0, max_unavailable = 1 }"),
        ("recreated", "\"recreate\""),
    ] {
        let house = updated(update);
        assert!(house.loaded().contains("a"), "{:#?}", house.told);
        assert_eq!(
            (house.queued("b"), house.starts),
            (1, 2),
            "{:#?}",
            house.told
        );
        check(name, &house);
    }
}
