use std::path::Path;

use super::*;

fn service(deployments: &str) -> Service {
    let text = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{deployments}");
    let config = penstock_config::parse(&text, Path::new("/penstock.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    Service::clone(&config.services["chat"])
}

fn deployment(name: &str, weight: u32) -> String {
    format!(
        "[services.chat.deployments.{name}]\nweight = {weight}\nstatic = {{ addresses = [\"127.0.0.1:1\"] }}\n"
    )
}

fn chat() -> Service {
    service(&(deployment("stable", 90) + &deployment("canary", 10)))
}

fn map(weights: &[(&str, u32)]) -> WeightMap {
    let owned = |(name, weight): &(&str, u32)| ((*name).to_owned(), *weight);
    weights.iter().map(owned).collect()
}

fn change(at_ms: u64) -> Change {
    Change {
        at_ms,
        ..Change::default()
    }
}

fn in_force(weights: &Weights) -> Option<&WeightMap> {
    weights.by_hand().map(|by_hand| &by_hand.weights)
}

#[test]
fn those_not_named_keep_their_weights() {
    let (service, mut weights) = (chat(), Weights::default());
    let wanted = map(&[("canary", 30)]);
    weights
        .set(&service, &wanted, &file(&service), change(1))
        .expect("it is good");
    assert_eq!(
        in_force(&weights),
        Some(&map(&[("canary", 30), ("stable", 90)]))
    );
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (mut service, mut weights) = (chat(), Weights::default());
    let mut refused = |service: &Service, wanted: &[(&str, u32)]| {
        let error = weights.set(service, &map(wanted), &file(service), change(1));
        assert!(weights.is_empty());
        error.expect_err("it is refused").to_string()
    };
    assert_eq!(
        refused(&service, &[]),
        "no deployment is named: which of chat is to have which weight?"
    );
    assert_eq!(
        refused(&service, &[("canry", 1)]),
        "chat has no deployment canry; there are: canary, stable"
    );
    assert_eq!(
        refused(&service, &[("canary", 0), ("stable", 0)]),
        "no deployment of chat would take traffic: at least one weight must be above 0"
    );
    assert_eq!(
        refused(&service, &[("canary", 1_000_001)]),
        "weight 1000001 of canary: must be at most 1000000"
    );
    service.split = Split::Workers;
    assert!(refused(&service, &[("canary", 1)]).contains("split by its ready workers"));
    service.split = Split::Weights;
    let canary = service.deployments.get_mut("canary").expect("it is there");
    std::sync::Arc::make_mut(canary).takes_traffic = false;
    assert!(refused(&service, &[("canary", 1)]).contains("takes_traffic = false"));
    // A weight for a deployment that is kept out of the split serves nobody.
    let error = weights.set(&service, &map(&[("stable", 0)]), &file(&service), change(1));
    assert!(matches!(error, Err(Refused::NoneLeft { .. })));
}

#[test]
fn changes_are_taken_back_one_after_the_other() {
    let (service, mut weights) = (chat(), Weights::default());
    let file = file(&service);
    weights
        .set(&service, &map(&[("canary", 20)]), &file, change(1))
        .expect("good");
    weights
        .promote(&service, "canary", change(2))
        .expect("good");
    assert_eq!(
        in_force(&weights),
        Some(&map(&[("canary", 100), ("stable", 0)]))
    );
    // The same again is no change.
    weights
        .promote(&service, "canary", change(3))
        .expect("good");
    assert!(weights.reset() && !weights.reset());
    let mut back = |at| {
        weights
            .roll_back(&service, change(at))
            .map(|()| in_force(&weights).cloned())
    };
    assert_eq!(back(4), Ok(Some(map(&[("canary", 100), ("stable", 0)]))));
    assert_eq!(back(5), Ok(Some(map(&[("canary", 20), ("stable", 90)]))));
    assert_eq!(back(6), Ok(None));
    assert!(matches!(back(7), Err(Refused::NothingBefore { .. })));
    assert!(!weights.can_roll_back());
}

#[test]
fn only_so_many_changes_are_remembered() {
    let (service, mut weights) = (chat(), Weights::default());
    for weight in 1..100 {
        let wanted = map(&[("canary", weight)]);
        weights
            .set(&service, &wanted, &file(&service), change(1))
            .expect("good");
    }
    let mut taken_back = 0;
    while weights.roll_back(&service, change(1)).is_ok() {
        taken_back += 1;
    }
    assert_eq!(taken_back, EARLIER_MAX);
}

#[test]
fn a_deployment_that_is_gone_drops_out_and_the_others_stay() {
    let (before, mut weights) = (chat(), Weights::default());
    let wanted = map(&[("canary", 20), ("stable", 80)]);
    weights
        .set(&before, &wanted, &file(&before), change(1))
        .expect("good");
    let after = service(&(deployment("stable", 50) + &deployment("next", 50)));
    assert_eq!(
        weights.follow(&after),
        [Followed::Dropped("canary".to_owned())]
    );
    let by_hand = weights.by_hand().expect("it stands");
    assert_eq!((by_hand.of("stable"), by_hand.of("next")), (80, 0));
    assert!(by_hand.file_changed(&after));
    assert!(weights.follow(&after).is_empty());
}

#[test]
fn an_override_of_which_nothing_is_left_gives_way_to_the_file() {
    let (before, mut weights) = (chat(), Weights::default());
    weights.promote(&before, "canary", change(1)).expect("good");
    let after = service(&deployment("stable", 50));
    let followed = weights.follow(&after);
    assert_eq!(
        followed,
        [
            Followed::Dropped("canary".to_owned()),
            Followed::NothingLeft
        ]
    );
    assert_eq!(weights.by_hand(), None);
}
