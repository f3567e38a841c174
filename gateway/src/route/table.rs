//! Everything requests are routed by: one immutable value, replaced when services change.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use penstock_balancer::{BudgetRules, RetryBudget};
use penstock_config::{
    DeploymentName, Protocol, Retries, Service, ServiceName, TokenUsage,
    fleet::{ServiceFleet, ServiceLoad},
};

use crate::{
    admit::{access::Access, classes::Classes, limits::Limits},
    base::date,
    count::{
        metrics::{DeploymentMetrics, Page},
        tokens::Names,
    },
    fleet::deployment::DeploymentState,
    request::request_key::RequestHead,
    route::{
        hosts_and_paths::{RouteTable, Target},
        known::{self, Place},
        mirroring::MirrorState,
        models::{Known, Models},
        split::{Choice, ServiceSplit},
    },
};

/// Most addresses that a client is told which asked at another one.
const ADDRESSES_SHOWN: usize = 20;

/// Seconds for which the trickle of a budget can be saved, as in linkerd; and the fewest retries that
/// can, so that a budget of a share alone can save any.
const SAVED_SECONDS: u32 = 10;

/// The services and the way to them.
pub(crate) struct Table {
    /// No other has it.
    number: u64,
    routes: Arc<RouteTable>,
    services: Vec<Arc<ServiceState>>,
}

/// Where a request goes.
pub(crate) enum Leads<'t> {
    /// To this service, and its deployment if the host names one.
    Service(&'t Arc<ServiceState>, Option<usize>),
    /// To the service that has the model which the request names.
    FrontDoor,
}

/// One service as requests see it. Requests keep the one they began with.
pub(crate) struct ServiceState {
    /// What the user set.
    pub(crate) spec: Arc<Service>,
    /// Its deployments, in the order of names.
    pub(crate) deployments: Vec<Arc<DeploymentState>>,
    /// Who may use it; `None`: everybody.
    pub(crate) access: Option<Access>,
    /// How much of it may be used; `None`: as much as anybody likes.
    pub(crate) limits: Option<Limits>,
    /// Counts of the requests that it did not let in.
    pub(crate) turned_away: Arc<DeploymentMetrics>,
    /// Classes of its requests in the queue.
    pub(crate) classes: Classes,
    /// What its retries may cost.
    pub(crate) retry_budget: Arc<RetryBudget>,
    /// Copies of its requests, if there are to be any.
    pub(crate) mirror: Option<MirrorState>,
    /// The names of its models, where answers are read; `None`: they are not.
    pub(crate) reads: Option<Arc<Names>>,
    /// Whether some of its workers speak HTTP/2.
    pub(crate) speaks_h2: bool,
    /// Since when it is there, in seconds of Unix time.
    pub(crate) since: u64,
    split: ServiceSplit,
}

impl Table {
    /// A table of these services, in the order of their names. The routes of `previous` are kept when no settings changed.
    pub(crate) fn new(services: Vec<Arc<ServiceState>>, previous: Option<&Self>) -> Self {
        let same_settings = |previous: &&Self| {
            let specs = |services: &[Arc<ServiceState>]| {
                services
                    .iter()
                    .map(|service| Arc::as_ptr(&service.spec))
                    .collect::<Vec<_>>()
            };
            specs(&previous.services) == specs(&services)
        };
        let routes = match previous.filter(same_settings) {
            Some(previous) => Arc::clone(&previous.routes),
            None => {
                let specs = services.iter().map(|service| &*service.spec).enumerate();
                Arc::new(RouteTable::build(specs))
            }
        };
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            routes,
            services,
        }
    }

    /// Where a request goes.
    pub(crate) fn find(&self, host: &[u8], path: &[u8]) -> Option<Leads<'_>> {
        let place = known::find(self.number, (host, path), || {
            let rules = self.routes.rules(host)?;
            if rules.is_front_door(path) {
                return Some(Place::FrontDoor);
            }
            rules.find(path).map(Place::Service)
        });
        Some(match place? {
            Place::FrontDoor => Leads::FrontDoor,
            Place::Service(Target {
                service,
                deployment,
            }) => Leads::Service(&self.services[service], deployment),
        })
    }

    /// The models at the front door.
    pub(crate) fn models(&self) -> &Models {
        &self.routes.models
    }

    /// The service that has a model.
    pub(crate) fn service_of(&self, model: &Known) -> Option<&Arc<ServiceState>> {
        self.services.get(model.service)
    }

    /// The hosts and paths at which there are services, in words.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<String> = self.services.iter().flat_map(|s| s.addresses()).collect();
        if all.is_empty() {
            return "there are no services".to_owned();
        }
        let shown = all.len().min(ADDRESSES_SHOWN);
        let more = match all.len() - shown {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("services are at {}{more}", all[..shown].join(", "))
    }

    /// The service with this name.
    pub(crate) fn service(&self, name: &ServiceName) -> Option<&Arc<ServiceState>> {
        // They are in the order of names.
        let place = |service: &Arc<ServiceState>| service.spec.name.cmp(name);
        let place = self.services.binary_search_by(place).ok()?;
        self.services.get(place)
    }

    /// Whether there is this deployment of this service.
    pub(crate) fn lists(&self, service: &ServiceName, deployment: &DeploymentName) -> bool {
        let service = self.service(service);
        service.is_some_and(|service| service.spec.deployments.contains_key(deployment))
    }

    /// All services.
    pub(crate) fn services(&self) -> &[Arc<ServiceState>] {
        &self.services
    }
}

impl ServiceState {
    /// A service; its split, limits and counts go on from where `previous` was.
    pub(crate) fn new(
        fleet: &ServiceFleet,
        deployments: Vec<Arc<DeploymentState>>,
        previous: Option<&Self>,
    ) -> Self {
        let spec = &fleet.spec;
        let mirror = previous.and_then(|previous| previous.mirror.as_ref());
        Self {
            access: Access::of(&spec.access),
            limits: Limits::of(spec, previous.and_then(|previous| previous.limits.as_ref())),
            turned_away: previous.map_or_else(
                || Arc::new(DeploymentMetrics::turned_away(&spec.name)),
                |previous| Arc::clone(&previous.turned_away),
            ),
            classes: Classes::new(spec, previous.map(|previous| &previous.classes)),
            retry_budget: retry_budget(spec, &deployments, previous),
            mirror: MirrorState::new(spec, &deployments, mirror),
            reads: (spec.token_usage != TokenUsage::Off).then(|| names(spec)),
            spec: Arc::clone(spec),
            speaks_h2: deployments
                .iter()
                .any(|deployment| deployment.view().spec.protocol == Protocol::H2),
            deployments,
            since: previous.map_or_else(date::unix_seconds, |previous| previous.since),
            split: ServiceSplit::new(fleet, previous.map(|previous| &previous.split)),
        }
    }

    /// Where it answers: each host with each path.
    fn addresses(&self) -> impl Iterator<Item = String> {
        let Service { hosts, paths, .. } = &*self.spec;
        let each = |host| paths.iter().map(move |path| at(host, path));
        hosts.iter().flat_map(move |host| each(host))
    }

    /// Each deployment with its weight in the split, as it is in force.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&Arc<DeploymentState>, u32)> {
        self.deployments.iter().zip(self.split.weights())
    }

    /// Adds its counts and gauges to the metrics page.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        page.add_unrouted(&self.turned_away);
        self.classes.write_metrics(page);
        self.shares()
            .for_each(|(deployment, weight)| deployment.write_metrics(page, weight));
    }

    /// What there is to tell of it besides the load; `None` where it has neither classes nor a mirror nor
    /// several tiers.
    pub(crate) fn report(&self) -> Option<ServiceLoad> {
        let target = self.spec.mirror.as_ref().map(|mirror| &mirror.to);
        let has_tiers = self.spec.overflow_after.is_some();
        if target.is_none() && self.classes.is_empty() && !has_tiers {
            return None;
        }
        let overflow = self.deployments.iter().filter(|_| has_tiers);
        let overflow = overflow.map(|deployment| deployment.report_overflow());
        let mut deployments = self.deployments.iter();
        let target = deployments.find(|deployment| Some(&deployment.name) == target);
        Some(ServiceLoad {
            service: self.spec.name.clone(),
            classes: self.classes.queued(),
            mirror: target.map(|target| target.copies.report()),
            overflow: overflow.collect(),
        })
    }

    /// Whether requests may go on seeing this state under a newer fleet.
    pub(crate) fn suits(&self, fleet: &ServiceFleet) -> bool {
        Arc::ptr_eq(&self.spec, &fleet.spec) && self.split.suits(fleet)
    }

    /// Chooses the deployment of a request at `now`.
    pub(crate) fn choose(&self, head: &RequestHead<'_>, now: Duration) -> Option<Choice> {
        self.split.choose(&self.spec, &self.deployments, head, now)
    }

    /// A deployment that `may_take` a request, of the lowest of these tiers that has one. `by`: what binds the
    /// request to deployments, and the time.
    pub(crate) fn choose_in(
        &self,
        tiers: RangeInclusive<u8>,
        by: (Option<u64>, Duration),
        may_take: impl Fn(&Arc<DeploymentState>) -> bool,
    ) -> Option<&Arc<DeploymentState>> {
        let all = &self.deployments;
        let chosen = self
            .split
            .choose_in(tiers, all, by, |index| may_take(&all[index]));
        all.get(chosen?)
    }

    /// Whether a deployment that `may_take` a request gets any, of whatever tier.
    pub(crate) fn has_one(&self, may_take: impl Fn(&Arc<DeploymentState>) -> bool) -> bool {
        let all = &self.deployments;
        self.split.has_one(|index| may_take(&all[index]))
    }

    /// What binds a request to deployments of several tiers.
    pub(crate) fn binding(&self, head: &RequestHead<'_>) -> Option<u64> {
        self.split.binding(&self.spec, head).0
    }

    /// Chooses anew for a request whose deployment was paused.
    pub(crate) fn choose_another(&self, head: &RequestHead<'_>, now: Duration) -> Option<Choice> {
        let split = &self.split;
        split.choose_another(&self.spec, &self.deployments, head, now)
    }
}

/// Its models, as answers name them.
fn names(spec: &Service) -> Arc<Names> {
    let models = spec.models.iter();
    Arc::new(Names::of(
        models.map(|model| (&*model.name, &*model.upstream)),
    ))
}

/// `host/path`; all paths are not worth a word.
fn at(host: &str, path: &str) -> String {
    [host, path.trim_end_matches('/')].concat()
}

/// The budget of a service; one with the same rules goes on as it is, any other with the balance.
fn retry_budget(
    spec: &Service,
    deployments: &[Arc<DeploymentState>],
    previous: Option<&ServiceState>,
) -> Arc<RetryBudget> {
    let rules = budget_rules(&spec.retries);
    let now = deployments
        .first()
        .map_or(Duration::ZERO, |deployment| deployment.now());
    match previous.map(|previous| &previous.retry_budget) {
        Some(budget) if budget.rules() == rules => Arc::clone(budget),
        Some(budget) => Arc::new(budget.with_rules(rules, now)),
        None => Arc::new(RetryBudget::new(rules, now)),
    }
}

/// The balancer's form of a service's budget.
fn budget_rules(retries: &Retries) -> BudgetRules {
    BudgetRules {
        share: f64::from(retries.budget_percent) / 100.0,
        per_second: retries.budget_per_second,
        burst: (retries.budget_per_second * SAVED_SECONDS).max(SAVED_SECONDS),
    }
}
