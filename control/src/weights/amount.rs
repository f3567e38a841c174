//! What an operator wants deployments to have: weights in relation to each other, or shares of the
//! traffic; and the weights that come of it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use penstock_config::Service;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refused, WEIGHT_MAX, WeightMap};

/// All of the traffic, in the units of [`Share`].
const WHOLE: u32 = 1_000_000;

/// Digits after the point of a share in percent.
const DIGITS: usize = 4;

/// What somebody wants a deployment to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Amount {
    /// A weight, in relation to those of the others: `10`.
    Weight(u32),
    /// A share of the traffic: `10%`.
    Share(Share),
}

/// A share of the traffic, in ten-thousandths of a percent; at most 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// Amounts by deployment.
pub type Wanted = BTreeMap<String, Amount>;

impl Amount {
    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Weight(0) | Self::Share(Share(0)))
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" must be a weight (a whole number from 0 on) or a share of the traffic, such as 10%"
            )
        };
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Weight).map_err(|_| wrong());
        };
        let (whole, part) = percent.trim_end().split_once('.').unwrap_or((percent, "0"));
        let is_number = |digits: &str| {
            !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let (whole, part) = (whole.trim_end(), part.trim_end());
        if !is_number(whole) || !is_number(part) {
            return Err(wrong());
        }
        if part.len() > DIGITS {
            return Err(format!(
                "\"{text}\": a share has at most {DIGITS} digits after the point"
            ));
        }
        let parse = |digits: &str| digits.parse::<u32>().map_err(|_| wrong());
        let parts = parse(&format!("{part:0<DIGITS$}"))?;
        let share = parse(whole)?
            .checked_mul(WHOLE / 100)
            .and_then(|share| share.checked_add(parts));
        match share {
            Some(share) if share <= WHOLE => Ok(Self::Share(Share(share))),
            _ => Err(format!("\"{text}\": a share is at most 100%")),
        }
    }
}

impl TryFrom<Value> for Amount {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Weight(weight) => weight.into(),
            Amount::Share(share) => format!("{share}%").into(),
        }
    }
}

/// In percent, without the sign.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(share) = self;
        let (whole, part) = (share / (WHOLE / 100), share % (WHOLE / 100));
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0DIGITS$}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

/// The weights that these amounts come to, where `in_force` hold now. Each tier is shared out by itself.
pub(super) fn weights(
    service: &Service,
    wanted: &Wanted,
    in_force: &WeightMap,
) -> Result<WeightMap, Refused> {
    let mut tiers: BTreeMap<u8, (BTreeMap<String, u32>, WeightMap)> = BTreeMap::new();
    for (name, amount) in wanted {
        let (shares, weights) = tiers.entry(tier(service, name)).or_default();
        match amount {
            Amount::Weight(weight) => drop(weights.insert(name.clone(), *weight)),
            Amount::Share(Share(share)) => drop(shares.insert(name.clone(), *share)),
        }
    }
    let mut all = in_force.clone();
    for (shares, weights) in tiers.values() {
        all = match (shares.is_empty(), weights.is_empty()) {
            (true, _) => by_weights(service, weights, &all)?,
            (false, true) => by_shares(service, shares, &all)?,
            (false, false) => return Err(Refused::SharesAndWeights),
        };
    }
    Ok(all)
}

/// Bare numbers are weights. Where deployments are left out they could be meant in percent as well;
/// they are taken only if both come to the same.
fn by_weights(
    service: &Service,
    wanted: &WeightMap,
    in_force: &WeightMap,
) -> Result<WeightMap, Refused> {
    let mut weights = in_force.clone();
    weights.extend(wanted.iter().map(|(name, weight)| (name.clone(), *weight)));
    let others = others(service, wanted);
    let any = wanted.keys().next();
    let total = any.map_or(0, |any| total_beside(service, &weights, any));
    let differs = wanted
        .iter()
        .find(|(_, weight)| **weight > 0 && total != 100);
    match differs {
        Some((name, weight)) if !others.is_empty() => Err(Refused::WeightOrShare {
            deployment: name.clone(),
            number: *weight,
            percent: percent(service, &weights, name),
            all: all_named(service, &weights),
        }),
        _ => Ok(weights),
    }
}

/// Those named get their shares; what is left is shared by the others as before.
fn by_shares(
    service: &Service,
    wanted: &BTreeMap<String, u32>,
    in_force: &WeightMap,
) -> Result<WeightMap, Refused> {
    let sum: u64 = wanted.values().map(|share| u64::from(*share)).sum();
    let others = others(service, wanted);
    if sum > u64::from(WHOLE) || others.is_empty() && sum < u64::from(WHOLE) {
        return Err(Refused::SharesDoNotAddUp {
            sum: sum as f64 * 100.0 / f64::from(WHOLE),
            all_named: others.is_empty(),
        });
    }
    let rest = u64::from(WHOLE) - sum;
    let mut had: Vec<u64> = others
        .iter()
        .map(|name| u64::from(in_force.get(*name).copied().unwrap_or(0)))
        .collect();
    if rest > 0 && had.iter().all(|weight| *weight == 0) {
        let [only] = had.as_mut_slice() else {
            return Err(Refused::WhoGetsTheRest {
                others: others.iter().map(|name| (*name).to_owned()).collect(),
            });
        };
        *only = 1;
    }
    let all: u64 = had.iter().sum::<u64>().max(1);
    let named = wanted
        .iter()
        .map(|(name, share)| (name.as_str(), u64::from(*share) * all));
    let left = others
        .iter()
        .zip(&had)
        .map(|(name, weight)| (*name, rest * weight));
    let mut weights = in_force.clone();
    for (name, weight) in reduced(named.chain(left).collect()) {
        weights.insert(name.to_owned(), weight);
    }
    Ok(weights)
}

/// The deployments that share the traffic with those that are named, all of one tier.
fn others<'s, T>(service: &'s Service, named: &BTreeMap<String, T>) -> Vec<&'s str> {
    let own = named.keys().next().map_or(0, |name| tier(service, name));
    let deployments = service.deployments.iter();
    deployments
        .filter(|(_, deployment)| deployment.takes_traffic && deployment.tier == own)
        .filter(|(name, _)| !named.contains_key(name.as_str()))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The same proportions in numbers that people like: percents where they come out even.
fn reduced(weights: Vec<(&str, u64)>) -> Vec<(&str, u32)> {
    let divisor = weights
        .iter()
        .fold(0, |divisor, (_, weight)| gcd(divisor, *weight))
        .max(1);
    let total = weights
        .iter()
        .map(|(_, weight)| weight / divisor)
        .sum::<u64>()
        .max(1);
    let times = if 100 % total == 0 { 100 / total } else { 1 };
    let fits = total <= u64::from(WEIGHT_MAX);
    let fitted = |weight: u64| {
        let exact = weight / divisor * times;
        let scaled = if fits {
            exact
        } else {
            // Not nothing for whoever had something.
            (u128::from(exact) * u128::from(WEIGHT_MAX) / u128::from(total)) as u64
                + u64::from(exact > 0 && exact < total / u64::from(WEIGHT_MAX))
        };
        u32::try_from(scaled).unwrap_or(WEIGHT_MAX)
    };
    weights
        .into_iter()
        .map(|(name, weight)| (name, fitted(weight)))
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The weights of those that take traffic, together.
pub(crate) fn total(service: &Service, weights: &WeightMap) -> u64 {
    sum(service, weights, |_| true)
}

/// Those of a deployment and the others of its tier.
fn total_beside(service: &Service, weights: &WeightMap, name: &str) -> u64 {
    let own = tier(service, name);
    sum(service, weights, |tier| tier == own)
}

fn sum(service: &Service, weights: &WeightMap, of: impl Fn(u8) -> bool) -> u64 {
    let takes = |name: &str| {
        let deployment = service.deployments.get(name);
        deployment.is_some_and(|deployment| deployment.takes_traffic && of(deployment.tier))
    };
    let shared = weights.iter().filter(|(name, _)| takes(name));
    shared.map(|(_, weight)| u64::from(*weight)).sum()
}

fn tier(service: &Service, name: &str) -> u8 {
    service.deployments.get(name).map_or(0, |found| found.tier)
}

/// The share of a deployment of what its tier gets, in percent.
pub(crate) fn percent(service: &Service, weights: &WeightMap, name: &str) -> f64 {
    let weight = weights.get(name).copied().unwrap_or(0);
    let takes = service
        .deployments
        .get(name)
        .is_some_and(|found| found.takes_traffic);
    match total_beside(service, weights, name) {
        total if total > 0 && takes => 100.0 * f64::from(weight) / total as f64,
        _ => 0.0,
    }
}

/// Every weight, as on the command line.
fn all_named(service: &Service, weights: &WeightMap) -> String {
    let takers = service
        .deployments
        .iter()
        .filter(|(_, found)| found.takes_traffic);
    let each = takers.map(|(name, _)| {
        let weight = weights.get(name.as_str()).copied().unwrap_or(0);
        format!("{name}={weight}")
    });
    each.collect::<Vec<_>>().join(" ")
}
