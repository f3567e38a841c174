//! What is compared: scaling configurations, and the published algorithms of other systems.

use std::{collections::BTreeMap, fmt::Display, path::Path, sync::Arc, time::Duration};

use crate::simulate::{
    Penstock, Scaler,
    reference::{Bounds, Hpa, Kpa, Plain, Ray, SageMaker},
};
use anyhow::{Context, anyhow, bail};
use penstock_config::{Config, Deployment, Scaling, Service};

use super::SimulateArgs;

/// Something that scales, with the settings around it.
pub(super) struct Candidate {
    kind: Kind,
    /// What is not simulated of it.
    pub(super) left_out: Option<String>,
    pub(super) max_concurrency: u32,
    pub(super) ramp: bool,
    pub(super) max_requests: usize,
    pub(super) max_wait: Duration,
    pub(super) sheds_early: bool,
    pub(super) max_workers: u32,
    pub(super) drain_timeout: Duration,
}

enum Kind {
    Penstock(String, Scaling),
    Reference(fn(Bounds) -> Box<dyn Scaler>, Bounds),
}

impl Candidate {
    /// A scaler that begins.
    pub(super) fn scaler(&self) -> Box<dyn Scaler> {
        match &self.kind {
            Kind::Penstock(name, scaling) => Box::new(Penstock::new(name, scaling.clone())),
            Kind::Reference(make, bounds) => make(*bounds),
        }
    }

    /// Its name and bounds, if it is one of ours.
    fn bounds(&self) -> Option<(&str, Bounds)> {
        let Kind::Penstock(name, scaling) = &self.kind else {
            return None;
        };
        let bounds = Bounds {
            min: scaling.min,
            max: scaling.max,
            max_concurrency: self.max_concurrency,
        };
        Some((name, bounds))
    }

    fn penstock(
        name: String,
        service: &Service,
        deployment: &Deployment,
        args: &SimulateArgs,
    ) -> Self {
        let mut scaling = deployment.scaling.clone();
        // There is always another rule beside them.
        scaling.rules.retain(|rule| rule.worker_metric().is_none());
        let metrics = deployment.scaling.worker_metrics();
        let metrics: Vec<_> = metrics.iter().map(|m| format!("worker:{m}")).collect();
        let left_out = (!metrics.is_empty()).then(|| {
            let metrics = metrics.join(", ");
            format!("{name}: simulated workers have no metrics, rules on {metrics} are left out")
        });
        Self {
            kind: Kind::Penstock(name, scaling),
            left_out,
            max_concurrency: deployment.max_concurrency.unwrap_or(args.max_concurrency),
            ramp: deployment.ramp,
            max_requests: service.queue.max_requests,
            max_wait: service.queue.max_wait,
            sheds_early: service.queue.shed_early,
            max_workers: deployment.scaling.max_at_any_time(),
            // Nothing forces a worker that is not needed any more to stop.
            drain_timeout: deployment.voluntary_drain_timeout,
        }
    }
}

/// All candidates that the arguments name.
pub(super) fn all(args: &SimulateArgs) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    if args.compare.is_empty() {
        let (service, deployment) = default(args)?;
        let name = "Penstock".to_owned();
        candidates.push(Candidate::penstock(name, &service, &deployment, args));
    }
    for what in &args.compare {
        let (service, deployment) = configured(what)?;
        let name = format!("Penstock, {}", short(what));
        candidates.push(Candidate::penstock(name, &service, &deployment, args));
    }
    if args.references {
        let references = references(&candidates)?;
        candidates.extend(references);
    }
    Ok(candidates)
}

/// `FILE` without its folder and `.toml`, and what is named in it.
fn short(what: &str) -> String {
    let (file, place) = parts(what);
    let path = Path::new(file);
    let stem = path
        .file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    match place {
        Some(place) => format!("{stem}:{place}"),
        None => stem.into_owned(),
    }
}

/// Another system, as it is documented.
struct Reference {
    make: fn(Bounds) -> Box<dyn Scaler>,
    /// How long a worker that goes may finish its requests.
    drain: Duration,
}

const REFERENCES: [Reference; 5] = [
    // The grace period of its pods is the revision's `timeoutSeconds`.
    Reference::new(|bounds| Box::new(Kpa::new(bounds)), 300),
    // The default of `terminationGracePeriodSeconds`.
    Reference::new(|bounds| Box::new(Hpa::new(bounds)), 30),
    // `graceful_shutdown_timeout_s`.
    Reference::new(|bounds| Box::new(Ray::new(bounds)), 20),
    // The longest that an answer of an endpoint may take.
    Reference::new(|bounds| Box::new(SageMaker::new(bounds)), 60),
    Reference::new(|bounds| Box::new(Plain::new(bounds)), 30),
];

impl Reference {
    const fn new(make: fn(Bounds) -> Box<dyn Scaler>, drain_seconds: u64) -> Self {
        Self {
            make,
            drain: Duration::from_secs(drain_seconds),
        }
    }

    /// Within these bounds, with clients that wait so long. It fills a worker at once and lets everybody
    /// wait who comes: gentle filling and early refusal are Penstock's own.
    fn candidate(&self, bounds: Bounds, max_wait: Duration) -> Candidate {
        Candidate {
            kind: Kind::Reference(self.make, bounds),
            left_out: None,
            max_concurrency: bounds.max_concurrency,
            ramp: false,
            max_requests: usize::MAX,
            max_wait,
            sheds_early: false,
            max_workers: bounds.max,
            drain_timeout: self.drain,
        }
    }
}

/// The other systems, within the bounds of what they are compared with, for clients that are as patient.
fn references(ours: &[Candidate]) -> anyhow::Result<Vec<Candidate>> {
    let bounds = common_bounds(ours)?;
    let patience = ours.iter().map(|candidate| candidate.max_wait).max();
    let patience = patience.unwrap_or(Duration::MAX);
    let all = REFERENCES.iter();
    Ok(all.map(|other| other.candidate(bounds, patience)).collect())
}

/// The bounds that all of `ours` have. With others than theirs a comparison would say nothing.
fn common_bounds(ours: &[Candidate]) -> anyhow::Result<Bounds> {
    let mut all = ours.iter().filter_map(Candidate::bounds);
    let (first, bounds) = all.next().context("there is nothing to compare with")?;
    if let Some((other, others)) = all.find(|(_, others)| *others != bounds) {
        bail!(
            "--references needs the same min, max and max_concurrency in all that it is compared with: {first} \
             has {}, {other} has {}; compare them one by one",
            in_words(bounds),
            in_words(others)
        );
    }
    Ok(bounds)
}

fn in_words(bounds: Bounds) -> String {
    let Bounds {
        min,
        max,
        max_concurrency,
    } = bounds;
    format!("{min} to {max} workers of {max_concurrency}")
}

/// A deployment of which nothing is set but what the arguments say.
fn default(args: &SimulateArgs) -> anyhow::Result<(Arc<Service>, Arc<Deployment>)> {
    let SimulateArgs {
        min,
        max,
        max_concurrency,
        ..
    } = args;
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.service.deployments.deployment]\n\
         process.shell = \"true\"\nmax_concurrency = {max_concurrency}\n\
         scaling = {{ min = {min}, max = {max} }}\n"
    );
    let config = penstock_config::parse(&text, Path::new("arguments"));
    let config = config.map_err(|errors| anyhow!("{errors}"))?;
    only(&config, None, None)
}

/// `FILE`, `FILE:SERVICE` or `FILE:SERVICE/DEPLOYMENT`: the file, and what comes after it.
fn parts(what: &str) -> (&str, Option<&str>) {
    match what.rsplit_once(':') {
        Some((file, place)) if !Path::new(what).exists() => (file, Some(place)),
        _ => (what, None),
    }
}

fn configured(what: &str) -> anyhow::Result<(Arc<Service>, Arc<Deployment>)> {
    let (file, place) = parts(what);
    let (service, deployment) = match place.map(|place| place.split_once('/')) {
        None => (None, None),
        Some(None) => (place, None),
        Some(Some((service, deployment))) => (Some(service), Some(deployment)),
    };
    let config = penstock_config::load(Path::new(file)).map_err(|errors| anyhow!("{errors}"))?;
    only(&config, service, deployment).with_context(|| format!("in {file}"))
}

/// The service and deployment of these names, or the only ones there are.
fn only(
    config: &Config,
    service: Option<&str>,
    deployment: Option<&str>,
) -> anyhow::Result<(Arc<Service>, Arc<Deployment>)> {
    let service = pick("service", &config.services, service)?;
    let deployment = pick("deployment", &service.deployments, deployment)?;
    if deployment.source.is_fixed() {
        bail!(
            "deployment {} does not scale: its addresses are given",
            deployment.name
        );
    }
    Ok((Arc::clone(service), Arc::clone(deployment)))
}

fn pick<'c, Name: Display + Ord, Value>(
    kind: &str,
    all: &'c BTreeMap<Name, Value>,
    name: Option<&str>,
) -> anyhow::Result<&'c Value> {
    let names = || {
        let names: Vec<_> = all.keys().map(ToString::to_string).collect();
        names.join(", ")
    };
    match name {
        Some(name) => {
            let found = all.iter().find(|(known, _)| known.to_string() == name);
            let (_, value) =
                found.with_context(|| format!("there is no {kind} {name}, but {}", names()))?;
            Ok(value)
        }
        None => match all.values().next() {
            Some(value) if all.len() == 1 => Ok(value),
            _ => bail!("say which {kind}: {}", names()),
        },
    }
}

#[cfg(test)]
mod tests;
