//! What is compared: scaling configurations, and the published algorithms of other systems.

use std::{collections::BTreeMap, fmt::Display, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use penstock_config::{Config, Deployment, Scaling, Service};
use penstock_control::simulate::{
    Penstock, Scaler,
    reference::{Bounds, Hpa, Kpa, Plain, Ray, SageMaker},
};

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
            drain_timeout: deployment.drain_timeout,
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
        candidates.extend(references(args)?);
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

fn references(args: &SimulateArgs) -> anyhow::Result<Vec<Candidate>> {
    let (service, deployment) = default(args)?;
    let bounds = Bounds {
        min: args.min,
        max: args.max,
        max_concurrency: args.max_concurrency,
    };
    let makes: [fn(Bounds) -> Box<dyn Scaler>; 5] = [
        |bounds| Box::new(Kpa::new(bounds)),
        |bounds| Box::new(Hpa::new(bounds)),
        |bounds| Box::new(Ray::new(bounds)),
        |bounds| Box::new(SageMaker::new(bounds)),
        |bounds| Box::new(Plain::new(bounds)),
    ];
    let candidates = makes.into_iter().map(|make| Candidate {
        kind: Kind::Reference(make, bounds),
        ..Candidate::penstock(String::new(), &service, &deployment, args)
    });
    Ok(candidates.collect())
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
