//! What a service is set to do with its traffic, in words.

use std::collections::BTreeMap;

use penstock_config::{Balance, Overflow, Service, Split};

/// One line per setting that is worth a look.
pub(crate) fn describe(service: &Service) -> Vec<String> {
    let mut lines = vec![split(service), balance(service)];
    lines.extend(tiers(service));
    lines
}

/// Which deployments requests go to one after the other, if not all are of one tier.
fn tiers(service: &Service) -> Option<String> {
    let after = service.overflow_after?;
    let mut tiers: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
    for (name, deployment) in &service.deployments {
        tiers
            .entry(deployment.tier)
            .or_default()
            .push(name.as_str());
    }
    let tiers = tiers.into_iter();
    let tiers: Vec<String> = tiers
        .map(|(tier, names)| format!("{tier} ({})", names.join(", ")))
        .collect();
    Some(format!(
        "tiers: {}, each for what the one before could not serve within {}",
        tiers.join(", "),
        humantime::format_duration(after)
    ))
}

fn split(service: &Service) -> String {
    let mut text = format!("split: {}", service.split);
    if let (Split::Hash, Some(hash)) = (service.split, &service.hash) {
        text += &format!(" by {}", hash.by);
    }
    if let Some(sticky) = &service.sticky {
        text += &format!(", sticky by {}", sticky.by);
    }
    match service.matches.len() {
        0 => {}
        1 => text += ", after 1 rule",
        rules => text += &format!(", after {rules} rules"),
    }
    text
}

fn balance(service: &Service) -> String {
    let mut text = format!("balance: {}", service.balance);
    if let (Balance::Hash, Some(hash)) = (service.balance, &service.hash) {
        text += &format!(" by {}", hash.by);
        text += &match hash.overflow {
            Overflow::AboveMean(factor) => format!(", elsewhere above {factor} × the mean load"),
            Overflow::WhenFull => ", elsewhere when full".to_owned(),
            Overflow::Never => ", never elsewhere".to_owned(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn described(keys: &str) -> Vec<String> {
        let text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
            [services.chat]
            {keys}
            [services.chat.deployments.main]
            process = {{ command = [\"true\"] }}"
        );
        let config = penstock_config::parse(&text, Path::new("/test.toml"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        describe(config.services.values().next().expect("the service"))
    }

    #[test]
    fn what_is_set_is_told_in_the_words_of_the_file() {
        assert_eq!(
            described(""),
            ["split: weights", "balance: least-connections"]
        );
        assert_eq!(
            described(
                "sticky = { cookie = \"variant\" }
                match = [{ to = \"main\", path = \"/v2\" }]
                balance = \"hash\"
                hash = { header = \"x-user\" }"
            ),
            [
                "split: weights, sticky by cookie variant, after 1 rule",
                "balance: hash by header x-user, elsewhere above 1.25 × the mean load",
            ]
        );
    }
}
