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

/// What is wanted: bare numbers and percents, as they are written.
fn wanted(amounts: &[(&str, &str)]) -> Wanted {
    let parsed = |(name, amount): &(&str, &str)| {
        let amount = amount.parse().unwrap_or_else(|error| panic!("{error}"));
        ((*name).to_owned(), amount)
    };
    amounts.iter().map(parsed).collect()
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

/// What a service with these weights has after this was asked for.
fn set(in_force: &[(&str, u32)], amounts: &[(&str, &str)]) -> Result<WeightMap, String> {
    let deployments = in_force
        .iter()
        .map(|(name, weight)| deployment(name, *weight));
    let service = service(&deployments.collect::<String>());
    let mut weights = Weights::default();
    weights
        .set(&service, &wanted(amounts), &map(in_force), change(1))
        .map_err(|refused| refused.to_string())?;
    Ok(weights.by_hand().expect("it was set").weights.clone())
}

#[test]
fn a_share_is_a_share_of_the_traffic_and_the_others_keep_their_proportion() {
    type Case<'a> = (
        &'a [(&'a str, u32)],
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, u32)],
    );
    let cases: [Case<'_>; 7] = [
        (
            &[("a", 1), ("b", 1)],
            &[("b", "10%")],
            &[("a", 90), ("b", 10)],
        ),
        (
            &[("a", 1), ("b", 0)],
            &[("b", "0.5%")],
            &[("a", 199), ("b", 1)],
        ),
        (
            &[("a", 2), ("b", 7), ("c", 1)],
            &[("b", "10%")],
            &[("a", 60), ("b", 10), ("c", 30)],
        ),
        (
            &[("a", 7), ("b", 3), ("c", 1)],
            &[("b", "20%")],
            &[("a", 70), ("b", 20), ("c", 10)],
        ),
        // After a promotion of b the only other one has the rest.
        (
            &[("a", 0), ("b", 100)],
            &[("b", "10%")],
            &[("a", 90), ("b", 10)],
        ),
        (
            &[("a", 3), ("b", 1)],
            &[("b", "100%")],
            &[("a", 0), ("b", 100)],
        ),
        (
            &[("a", 3), ("b", 1)],
            &[("a", "33.3%"), ("b", "66.7%")],
            &[("a", 333), ("b", 667)],
        ),
    ];
    for (in_force, amounts, expected) in cases {
        assert_eq!(
            set(in_force, amounts),
            Ok(map(expected)),
            "{in_force:?} {amounts:?}"
        );
    }
}

#[test]
fn shares_that_do_not_add_up_are_refused() {
    let refused = |in_force: &[(&str, u32)], amounts: &[(&str, &str)]| {
        set(in_force, amounts).expect_err("it is refused")
    };
    let two = [("a", 1), ("b", 1)];
    assert_eq!(
        refused(&two, &[("a", "60%"), ("b", "50%")]),
        "the shares add up to 110 %, and no deployment is left for the rest: must be 100 %"
    );
    assert_eq!(
        refused(&two, &[("a", "60%"), ("b", "30%")]),
        "the shares add up to 90 %, and no deployment is left for the rest: must be 100 %"
    );
    let three = [("a", 1), ("b", 1), ("c", 1)];
    assert_eq!(
        refused(&three, &[("a", "60%"), ("b", "50.5%")]),
        "the shares add up to 110.5 %: must be at most 100 %"
    );
    assert_eq!(
        refused(&[("a", 0), ("b", 1), ("c", 0)], &[("b", "50%")]),
        "none of a, c has traffic now: say which of them gets how much of the rest"
    );
    assert!(refused(&two, &[("a", "90%"), ("b", "10")]).contains("not both"));
}

#[test]
fn a_bare_number_is_taken_only_where_it_can_mean_one_thing() {
    assert_eq!(
        set(&[("canary", 1), ("stable", 1)], &[("canary", "10")]),
        Err(
            "canary=10 could mean two things: 10 % of the traffic is canary=10%; as a weight beside \
             the others' it is 90.91 % of it, and then all are to be named: canary=10 stable=1"
                .to_owned()
        )
    );
    let both = set(
        &[("canary", 1), ("stable", 1)],
        &[("canary", "1"), ("stable", "9")],
    );
    assert_eq!(both, Ok(map(&[("canary", 1), ("stable", 9)])));
    // Ten of a hundred, and nothing, are the same by either reading.
    let same = set(&[("canary", 1), ("stable", 90)], &[("canary", "10")]);
    assert_eq!(same, Ok(map(&[("canary", 10), ("stable", 90)])));
    let nothing = set(&[("canary", 1), ("stable", 7)], &[("canary", "0")]);
    assert_eq!(nothing, Ok(map(&[("canary", 0), ("stable", 7)])));
}

#[test]
fn an_amount_is_a_whole_number_or_a_percentage_up_to_a_hundred() {
    for (text, again) in [
        ("10%", "10%"),
        ("0.05%", "0.05%"),
        ("12.50%", "12.5%"),
        ("100 %", "100%"),
    ] {
        let amount: Amount = text.parse().expect(text);
        assert_eq!(serde_json::Value::from(amount), again, "{text}");
    }
    assert_eq!("10".parse(), Ok(Amount::Weight(10)));
    for text in [
        "",
        "%",
        "-1",
        "1.5",
        "many",
        "101%",
        "1e1%",
        "1.23456%",
        "-5%",
        ".5%",
        "5.%",
        "99999999999%",
    ] {
        assert!(text.parse::<Amount>().is_err(), "{text}");
    }
    let json = |text: &str| serde_json::from_str::<Amount>(text);
    assert_eq!(json("7").expect("a weight"), Amount::Weight(7));
    assert_eq!(
        json("\"7%\"").expect("a share"),
        "7%".parse().expect("a share")
    );
    for text in ["7.5", "-7", "null", "true", "[]", "\"\""] {
        assert!(json(text).is_err(), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (mut service, mut weights) = (chat(), Weights::default());
    let mut refused = |service: &Service, wanted: &[(&str, u32)]| {
        let wanted = wanted
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), Amount::Weight(*weight)));
        let error = weights.set(service, &wanted.collect(), &file(service), change(1));
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
    let error = weights.set(
        &service,
        &wanted(&[("stable", "0")]),
        &file(&service),
        change(1),
    );
    assert!(matches!(error, Err(Refused::NoneLeft { .. })));
}

#[test]
fn changes_are_taken_back_one_after_the_other() {
    let (service, mut weights) = (chat(), Weights::default());
    let file = file(&service);
    weights
        .set(&service, &wanted(&[("canary", "20%")]), &file, change(1))
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
    assert_eq!(back(5), Ok(Some(map(&[("canary", 20), ("stable", 80)]))));
    assert_eq!(back(6), Ok(None));
    assert!(matches!(back(7), Err(Refused::NothingBefore { .. })));
    assert!(!weights.can_roll_back());
}

#[test]
fn only_so_many_changes_are_remembered() {
    let (service, mut weights) = (chat(), Weights::default());
    for weight in 1..100 {
        let wanted = wanted(&[("canary", &weight.to_string()), ("stable", "1")]);
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
    let wanted = wanted(&[("canary", "20"), ("stable", "80")]);
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
